import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from perf.backends import DeviceMemoryExhausted, ProbeResult, Unsupported, cpu
from perf.backends._ort import session as ort_session
from perf.backends._ort import values
from perf.measure import ort_values, tensor_io
from perf.schema.cell import Io, Protocol
from tests import models
from tests.inprocess.asking import cell, f32, model_file, stored_sets

BF16, FP8 = TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN


@pytest.mark.parametrize("io", list(Io))
@pytest.mark.parametrize(
    ("kind", "array"),
    [
        (BF16, tensor_io.as_coded(np.array([0x3F80, 0x8000], np.uint16), BF16)),
        (FP8, tensor_io.as_coded(np.array([1, 255], np.uint8), FP8)),
        (TensorProto.BOOL, np.array([True, False])),
        (TensorProto.FLOAT, np.zeros((0, 2), np.float32)),
        (TensorProto.INT64, np.array(7)),
    ],
)
def test_every_kind_of_tensor_goes_through(
    tmp_path: Path, kind: int, array: np.ndarray, io: Io
) -> None:
    shape = np.shape(array)
    folder = models.write(
        tmp_path / "m", [helper.make_node("Identity", ["x"], ["y"])], {"x": shape}, {"y": shape}, [],
        kinds={"x": kind, "y": kind}, opset=21,
    )  # fmt: skip
    wanted = cell(replace(model_file(folder), test_data=None), io=io, protocol=Protocol(runs=2))
    with cpu.BACKEND.open(wanted, tmp_path) as session:
        runs = session.time([{"x": array}], wanted)
        for outputs in (session.infer({"x": array}), runs.first, runs.last):
            assert tensor_io.onnx_type_of(outputs["y"]) == kind
            assert np.asarray(outputs["y"]).tolist() == np.asarray(array).tolist()
    assert len(runs.timed.samples_ns) == 2


def test_strings_go_through_the_host_and_cannot_be_bound(tmp_path: Path) -> None:
    words = np.array(["añb", ""], object)
    kinds = {"x": TensorProto.STRING, "y": TensorProto.STRING}
    node = helper.make_node("Identity", ["x"], ["y"])
    folder = models.write(tmp_path / "m", [node], {"x": (2,)}, {"y": (2,)}, [], kinds=kinds)
    wanted = cell(model_file(folder), protocol=Protocol(runs=2))
    with cpu.BACKEND.open(wanted, tmp_path) as session:
        for array in (words, words.astype(np.str_)):
            assert session.infer({"x": array})["y"].tolist() == ["añb", ""]
            assert len(session.time([{"x": array}], wanted).timed.samples_ns) == 2
        with pytest.raises(Unsupported, match="strings"):
            session.time([{"x": words}], replace(wanted, io=Io.DEVICE))


@given(st.sampled_from([2, 4]), st.lists(st.integers(0, 15), min_size=1, max_size=9))
def test_small_integers_are_packed_and_unpacked(bits: int, codes: list[int]) -> None:
    kept = np.array(codes, np.uint8) & np.uint8((1 << bits) - 1)
    packed = ort_values.pack(kept, bits)
    assert packed.nbytes == -(-len(codes) * bits // 8)
    np.testing.assert_array_equal(ort_values.unpack(packed, bits, len(codes)), kept)


def test_int4_reaches_the_engine_as_its_values(tmp_path: Path) -> None:
    codes = tensor_io.as_coded(np.array([1, 15, 8, 7, 0], np.uint8), TensorProto.INT4)
    folder = models.write(
        tmp_path / "m", [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        {"x": (5,)}, {"y": (5,)}, [], kinds={"x": TensorProto.INT4}, opset=21,
    )  # fmt: skip
    with cpu.BACKEND.open(cell(model_file(folder)), tmp_path) as session:
        assert session.infer({"x": codes})["y"].tolist() == [1, -1, -8, 7, 0]


def test_a_session_without_its_provider_has_no_latency(tmp_path: Path) -> None:
    """Any provider that is not in the session stands for one whose library did not load."""
    folder = models.relu(tmp_path / "m")
    feed = tensor_io.load_inputs(stored_sets(folder, tmp_path / "o")[0])
    wanted = replace(cell(model_file(folder)), provider="CUDAExecutionProvider")
    with (
        cpu.BACKEND.open(wanted, tmp_path) as session,
        pytest.raises(RuntimeError, match="CUDAExecutionProvider is not"),
    ):
        session.time([feed], wanted)


def test_an_engines_error_is_not_answered_by_another_try(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = models.write(
        tmp_path / "m", [helper.make_node("NoSuchOp", ["x"], ["y"])], {"x": (1,)}, {"y": (1,)}, []
    )
    with (
        pytest.raises(Exception, match="NoSuchOp"),
        cpu.BACKEND.open(cell(model_file(folder)), tmp_path),
    ):
        pass
    assert "Falling back" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("graph", "level"),
    [("disable", "ORT_DISABLE_ALL"), ("basic", "ORT_ENABLE_BASIC"), ("extended", "ORT_ENABLE_EXTENDED"),
     ("layout", "ORT_ENABLE_LAYOUT"), ("all", "ORT_ENABLE_ALL")],
)  # fmt: skip
def test_options_of_a_cell_reach_the_session(graph: str, level: str) -> None:
    wanted = cell(
        model_file(Path("/nowhere/m")), graph_optimization=graph, session_config={"session.a": "b"},
        protocol=Protocol(intra_op_threads=3, inter_op_threads=2),
    )  # fmt: skip
    options = ort_session.session_options(wanted)
    assert options.graph_optimization_level == getattr(ort.GraphOptimizationLevel, level)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 2)
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert options.get_session_config_entry("session.a") == "b"


@pytest.mark.parametrize(
    ("opset", "ir", "says"),
    [
        (99, 8, r"ONNX Opset 99, and this onnxruntime reads up to \d+"),
        (17, 99, r"IR version 99, and this"),
    ],
)
def test_a_model_that_is_too_new_says_so_in_one_line(
    tmp_path: Path, opset: int, ir: int, says: str
) -> None:
    folder = models.relu(tmp_path / "m")
    model = onnx.load(folder / "model.onnx")
    model.opset_import[0].version, model.ir_version = opset, ir
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    wanted = cell(model_file(folder))
    with pytest.raises(ort_session.ModelTooNew, match=says), cpu.BACKEND.open(wanted, tmp_path):
        pass


NO_ROOM = "BFCArena: Failed to allocate memory for requested buffer of size 9"


@pytest.mark.parametrize(
    ("message", "device", "kind"),
    [
        ("CUDA failure 2: out of memory ; GPU=0", "cuda", DeviceMemoryExhausted),
        ("CUBLAS_STATUS_ALLOC_FAILED", "cuda", DeviceMemoryExhausted),
        (NO_ROOM, "cuda", DeviceMemoryExhausted),
        (NO_ROOM, "cpu", MemoryError),
        ("std::bad_alloc", "cpu", MemoryError),
        ("CUDA failure 700: an illegal memory access was encountered", "cuda", RuntimeError),
        ("no kernel for this node", "cpu", RuntimeError),
    ],
)
def test_memory_that_ran_out_is_told_apart(
    message: str, device: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=message[:9]), ort_session.translate_errors(device):
        raise RuntimeError(message)


def test_a_real_allocation_that_cannot_be_is_memory(tmp_path: Path) -> None:
    huge = models.write(
        tmp_path / "m", [helper.make_node("Expand", ["x", "shape"], ["y"])],
        {"x": (1,), "shape": (2,)}, {"y": ("a", "b")}, [], kinds={"shape": TensorProto.INT64},
    )  # fmt: skip
    feed = {"x": f32([1]), "shape": np.array([1 << 30, 1 << 20], np.int64)}
    with (
        cpu.BACKEND.open(cell(model_file(huge)), tmp_path) as session,
        pytest.raises(MemoryError),
    ):
        session.infer(feed)


def test_absent_optionals_and_sequences_are_fed(tmp_path: Path) -> None:
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))
    has = helper.make_node("OptionalHasElement", ["x"], ["y"])
    count = helper.make_node("SequenceLength", ["s"], ["n"])
    split = helper.make_node("Identity", ["s"], ["t"])
    many = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        [has, count, split], "g", [helper.make_value_info("x", kind), many],
        [helper.make_tensor_value_info("y", TensorProto.BOOL, []),
         helper.make_tensor_value_info("n", TensorProto.INT64, []),
         helper.make_tensor_sequence_value_info("t", TensorProto.FLOAT, None)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.onnx").write_bytes(model.SerializeToString())
    with cpu.BACKEND.open(cell(model_file(tmp_path / "m")), tmp_path) as session:
        full = session.infer({"x": f32([1, 2]), "s[0]": f32([3]), "s[1]": f32([4])})
        bare = session.infer({})
    assert (bool(full["y"]), int(full["n"]), float(full["t[1]"][0])) == (True, 2, 4.0)
    assert (bool(bare["y"]), int(bare["n"])) == (False, 0)


def test_device_io_of_what_is_no_tensor_is_declined(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="use -b off"):
        values.to_device_value("s", [f32([1])], "cpu", 0)


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (ProbeResult(), "no onnxruntime there"),
        (
            ProbeResult(errors={"onnxruntime": "ImportError: x"}),
            "be imported there (ImportError: x)",
        ),
        (ProbeResult(("AzureExecutionProvider",)), "built without CPUExecutionProvider"),
        (ProbeResult(("CPUExecutionProvider",)), ""),
    ],
)
def test_a_missing_provider_is_explained(seen: ProbeResult, says: str) -> None:
    reason = cpu.BACKEND.missing(seen)
    assert says in reason if says else reason == ""


def test_threads_of_a_pinned_cell_stay_on_its_cores(tmp_path: Path) -> None:
    models.relu(tmp_path / "m")
    usable = os.sched_getaffinity(0)
    mine = min(usable)
    wanted = cell(model_file(tmp_path / "m"), protocol=Protocol(runs=2, affinity=(mine,)))
    before = {int(t.name) for t in Path("/proc/self/task").iterdir()}
    os.sched_setaffinity(0, wanted.protocol.affinity)
    try:
        with cpu.BACKEND.open(wanted, tmp_path):
            made = {int(t.name) for t in Path("/proc/self/task").iterdir()} - before
            time.sleep(0.3)  # a thread that chooses its cores does so as it starts
            assert [os.sched_getaffinity(t) for t in made] == [{mine}] * len(made)
    finally:
        os.sched_setaffinity(0, usable)
