"""Converted models: what they hold and are checked with, what is refused, and how each is kept once."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from perf.conversion import artifact, bfloat16, cpu_reference, data_sets
from perf.conversion.artifact import (
    Check,
    ConversionError,
    ConversionRequest,
    Converter,
    Report,
    request_key,
)
from perf.conversion.convert import StoredArtefact, convert, get_or_make, stored_precisions
from perf.conversion.errors import BadModel, UserError
from tests import models
from tests.asking import ROOT
from tests.setup_models.tiny import mlp, model_of, save, tree

Types = dict[str, int]


def converted(model: onnx.ModelProto, folder: Path, **request: Any) -> tuple[Report, Types]:
    """The report, and the types of the artefact's initializers by name; the artefact is a.onnx."""
    source = save(model, folder / "m" / "model.onnx")
    report = convert(source, folder / "a.onnx", ConversionRequest(**request))
    made = onnx.load(str(folder / "a.onnx"))
    return report, {tensor.name: tensor.data_type for tensor in made.graph.initializer}


def difference(report: Report) -> float:
    assert report.check.relative_difference is not None
    return report.check.relative_difference


def calibration(folder: Path, sets: int = 2, width: int = 8) -> Path:
    for number in range(sets):
        x = np.random.default_rng(number).normal(size=(1, width)).astype(np.float32)
        data_sets.write_set(folder / f"test_data_set_{number}", {"x": x}, {})
    return folder


def command(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", name, *map(str, words)]
    return subprocess.run(whole, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("converter", get_args(Converter))
def test_fp16_keeps_the_ends_halves_the_weights_and_is_close(
    converter: Converter, tmp_path: Path
) -> None:
    report, types = converted(mlp(), tmp_path, converter=converter)
    assert report.converter_version == metadata.version(converter)
    made = cpu_reference.open_session(tmp_path / "a.onnx")
    ends = [(end.name, end.type) for end in (*made.get_inputs(), *made.get_outputs())]
    assert ends == [("x", "tensor(float)"), ("y", "tensor(float)")]
    assert set(types.values()) == {TensorProto.FLOAT16}
    assert 0 < difference(report) < 5e-3
    assert report.size_bytes < (tmp_path / "m" / "model.onnx").stat().st_size
    onnx.checker.check_model(onnx.load(str(tmp_path / "a.onnx")))
    assert sorted(tree(tmp_path)) == ["a.onnx", "m", "m/model.onnx"]
    assert (tmp_path / "m" / "model.onnx").read_bytes() == mlp().SerializeToString()
    with pytest.raises(ConversionError, match="already holds half-precision tensors"):
        convert(tmp_path / "a.onnx", tmp_path / "again.onnx", ConversionRequest())


@pytest.mark.parametrize("name", ["perf.conversion.convert", "setup_models.half"])
def test_the_report_names_the_artefact_by_its_key(name: str, tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    path, report = tmp_path / "a.onnx", tmp_path / "r" / "report.json"
    blocks = ["--op_block_list", "Relu", "--node_block_list", "mm0"]
    done = command(name, source, path, *blocks, "--report", report)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(report.read_text())
    request = ConversionRequest(op_block_list=("Relu",), node_block_list=("mm0",))
    assert found["key"] == artifact.request_key(found["source_sha256"], request)
    assert "Relu" in found["op_block_list"]
    assert found["check"]["outputs"]["y"] == found["check"]["relative_difference"]
    types = {tensor.name: tensor.data_type for tensor in onnx.load(str(path)).graph.initializer}
    assert types == {"W": TensorProto.FLOAT, "b": TensorProto.FLOAT16, "V": TensorProto.FLOAT16}


@pytest.mark.parametrize("body", [None, b"garbage", b""])
def test_a_failed_conversion_is_one_line_and_no_file(body: bytes | None, tmp_path: Path) -> None:
    source, report = tmp_path / "model.onnx", tmp_path / "report.json"
    if body is not None:
        source.write_bytes(body)
    done = command(
        "perf.conversion.convert", source, tmp_path / "out" / "a.onnx", "--report", report
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert ("not an ONNX model" if body is not None else "No such file") in done.stderr
    why = done.stderr.removeprefix("error: ").strip()
    assert json.loads(report.read_text()) == {"failed": why}
    assert list((tmp_path / "out").glob("*")) == []


def test_a_cast_that_the_converter_emits_twice_is_dropped(tmp_path: Path) -> None:
    """Two Resize on one `scales` that is computed: onnxruntime's converter emits its Cast twice."""
    weights = {
        "scales": np.array([1, 1, 2, 2], np.float32),
        "zero": np.zeros(4, np.float32),
        "shape": np.array([1, 2, 2, 2], np.int64),
    }
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["x4"]),
        helper.make_node("Add", ["scales", "zero"], ["s"], "make_scales"),
        helper.make_node("Resize", ["x4", "", "s"], ["a"], "r0", mode="nearest"),
        helper.make_node("Resize", ["x4", "", "s"], ["b"], "r1", mode="nearest"),
        helper.make_node("Add", ["a", "b"], ["y"], "sum"),
    ]
    report, _ = converted(model_of(nodes, weights), tmp_path)
    assert "1 duplicate Casts dropped" in report.notes
    assert difference(report) < 1e-3


def test_a_block_list_saves_a_constant_that_fp16_has_no_room_for(tmp_path: Path) -> None:
    """A batch norm whose variance, a Constant, is below fp16's smallest number: refused without it."""
    values = {"scale": 1e-5, "bias": 0.0, "mean": 0.0, "var": 1e-9}
    nodes = [
        helper.make_node(
            "Constant", [], [name], value=numpy_helper.from_array(np.full(8, v, np.float32))
        )
        for name, v in values.items()
    ]
    nodes += [helper.make_node("BatchNormalization", ["x", *values], ["y"], "bn", epsilon=1e-12)]
    model = model_of(nodes)
    with pytest.raises(ConversionError, match=r"differ from fp32's by .* block its worst ops"):
        converted(model, tmp_path)
    assert sorted(tree(tmp_path)) == ["m", "m/model.onnx"]
    report, _ = converted(model, tmp_path, op_block_list=("BatchNormalization",))
    assert "4 Constants made initializers" in report.notes
    assert difference(report) < 1e-2


def test_a_constant_that_is_an_output_stays_one(tmp_path: Path) -> None:
    value = numpy_helper.from_array(np.array([1.5, 2.5], np.float32))
    constant = helper.make_node("Constant", [], ["c"], value=value)
    model = model_of([constant, helper.make_node("Relu", ["x"], ["y"])])
    model.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [2]))
    assert converted(model, tmp_path)[0].check.outputs["c"] == 0.0


def test_what_it_is_checked_with_is_said(tmp_path: Path) -> None:
    total = model_of([helper.make_node("ReduceSum", ["x"], ["y"])], {}, ["length", 8])
    report, _ = converted(total, tmp_path)
    assert report.check.kind == "loaded on the CPU EP"
    assert report.check.relative_difference is None
    assert "--shape x=128x8" in report.check.inputs
    report, _ = converted(mlp(batch="unk__7"), tmp_path)  # proved to be a batch
    assert report.check.inputs.startswith("seeded inputs")
    report, _ = converted(mlp(), tmp_path, calibration=tmp_path)  # no test sets there
    assert report.check.inputs.startswith("seeded inputs")
    assert difference(report) < 5e-3
    report, _ = converted(mlp(), tmp_path, calibration=calibration(tmp_path / "sets"))
    assert report.check.inputs == "test_data_set_0"
    assert difference(report) < 5e-3
    wrong = calibration(tmp_path / "wrong", width=5)
    with pytest.raises(BadModel, match=r"\[batch,8\] in the model, \[1,5\] in the test data"):
        converted(mlp(), tmp_path, calibration=wrong)


def test_data_that_fp32_itself_fails_on_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    model = model_of([node], {"shape": np.array([3, 3], np.int64)})
    with pytest.raises(ConversionError, match="fp32 itself does not run on test_data_set_0"):
        converted(model, tmp_path, calibration=calibration(tmp_path / "sets"))
    assert converted(model, tmp_path)[0].check.inputs.startswith("not run: fp32 fails on seeded")


def test_int8_is_calibrated_on_the_test_sets(tmp_path: Path) -> None:
    sets = calibration(tmp_path / "sets", 3)
    report, types = converted(mlp(), tmp_path, precision="int8", calibration=sets)
    assert "calibrated on 3 test sets" in report.notes
    assert TensorProto.INT8 in types.values()
    assert 0 < difference(report) < 0.2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "m", "sets"]
    blocked = ("mm0", "mm1", "add0", "relu0")
    with pytest.raises(ConversionError, match="nothing was quantised"):
        converted(mlp(), tmp_path, precision="int8", calibration=sets, node_block_list=blocked)


def test_int8_says_which_test_sets_it_needs_and_no_failure_is_kept(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    for folder, says in (
        (None, "--calibration FOLDER"),
        (tmp_path, r"no test_data_set_\* folder"),
    ):
        with pytest.raises(ConversionError, match=says):
            get_or_make(source, tmp_path / "cache", ConversionRequest("int8", calibration=folder))
    left = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert left == {"lock"}


def test_external_data_is_read_and_the_artefact_is_whole(tmp_path: Path) -> None:
    source = tmp_path / "m" / "model.onnx"
    source.parent.mkdir()
    onnx.save(mlp(), str(source), save_as_external_data=True, location="w.data", size_threshold=0)
    assert difference(convert(source, tmp_path / "a.onnx", ConversionRequest())) < 5e-3
    (source.parent / "w.data").unlink()
    with pytest.raises(UserError, match=r"external data 'w\.data' is missing"):
        convert(source, tmp_path / "b.onnx", ConversionRequest())
    assert not (tmp_path / "b.onnx").exists()


def test_the_key_changes_with_parts_not_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = calibration(tmp_path / "sets")
    request = ConversionRequest(op_block_list=("A", "B"), node_block_list=("n",), calibration=sets)
    key, int8 = artifact.request_key("source", request), replace(request, precision="int8")
    assert len(key) == 32
    assert artifact.request_key("source", replace(request, op_block_list=("B", "A", "B"))) == key
    others: list[dict[str, Any]] = [{"precision": "bf16"}, {"op_block_list": ("A",)}]
    others += [{"node_block_list": ("n", "m")}, {"node_block_list": ()}]
    keys = {artifact.request_key("source", replace(request, **other)) for other in others}
    keys |= {key, artifact.request_key("source", int8), artifact.request_key("another", request)}
    calibration(tmp_path / "sets", 3)  # what int8 depends on
    keys |= {artifact.request_key("source", request), artifact.request_key("source", int8)}
    assert len(keys) == 8
    with pytest.raises(ConversionError, match=r"no-such-thing.*perf\.sh --setup=dev"):
        artifact.converter_version("no-such-thing")  # type: ignore[arg-type]
    monkeypatch.setattr(artifact, "converter_version", lambda _: "another")
    for converter in get_args(Converter):
        keys.add(artifact.request_key("source", replace(request, converter=converter)))
    assert len(keys) == 10


def test_rounding_is_not_called_a_difference() -> None:
    cases = {(0.4, 9): False, (0.6, 9): True, (1e5, 1e-9): False, (math.inf, math.inf): True}
    assert {case: Check("", "", *case).too_far("fp16") for case in cases} == cases


def test_what_is_nan_on_one_side_only_is_infinitely_far() -> None:
    good = np.array([1.0, np.nan, np.inf])
    assert cpu_reference.output_distance(good.copy(), good) == cpu_reference.Distance(0.0, 0.0)
    bad = cpu_reference.output_distance(np.array([np.nan, np.nan, np.inf]), good)
    assert bad == cpu_reference.Distance(float("inf"), float("inf"))
    assert cpu_reference.output_distance(np.zeros(2), np.zeros(3)) is None


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save(mlp(), tmp_path / "model.onnx")


def test_whoever_asks_again_gets_the_first_ones(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = get_or_make(source, cache, ConversionRequest())
    assert first.path == cache / first.report["key"] / "model.fp16.onnx"
    assert not first.before
    assert first.report == json.loads(first.path.with_name("report.json").read_text())
    written_ns = first.path.stat().st_mtime_ns
    copy = save(mlp(), tmp_path / "b" / "copy.onnx")
    for asked in (source, copy):
        again = get_or_make(asked, cache, ConversionRequest())
        assert again == StoredArtefact(first.path, first.report, before=True)
        assert again.path.stat().st_mtime_ns == written_ns
    other = get_or_make(save(mlp(width=9), source), cache, ConversionRequest())
    assert (other.before, other.path == first.path) == (False, False)


def test_what_is_not_whole_is_made_anew(source: Path, tmp_path: Path) -> None:
    made = get_or_make(source, tmp_path / "cache", ConversionRequest())
    whole, report = made.path.read_bytes(), made.path.with_name("report.json")
    damages: list[Callable[[], object]] = [made.path.unlink, report.unlink]
    damages += [lambda: report.write_text("{"), lambda: made.path.write_bytes(whole[:-1])]
    for damage in damages:
        damage()
        assert not get_or_make(source, tmp_path / "cache", ConversionRequest()).before
        assert made.path.read_bytes() == whole


def test_those_who_ask_at_once_wait_for_one_conversion(source: Path, tmp_path: Path) -> None:
    def ask(_number: int) -> StoredArtefact:
        return get_or_make(source, tmp_path / "cache", ConversionRequest())

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert sorted(answer.before for answer in answers) == [False, True, True, True]
    assert len({answer.path for answer in answers}) == 1


def test_artefacts_are_told_by_their_reports(tmp_path: Path) -> None:
    folders = {
        "made": {"source_sha256": "aa", "precision": "int8"},
        "also": {"source_sha256": "aa", "precision": "fp16"},
        "gone": {"source_sha256": "aa", "precision": "bf16"},
        "other": {"source_sha256": "bb", "precision": "bf16"},
        "stranger": ["not", "ours"],
        "torn": None,
    }
    for name, report in folders.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text("{" if report is None else json.dumps(report))
        if name != "gone":
            (tmp_path / name / "model.onnx").write_bytes(b"x")
    assert stored_precisions("aa", sorted(tmp_path.iterdir())) == ["fp16", "int8"]


def test_bf16_rounds_from_fp32_and_says_what_of_it_was_run(tmp_path: Path) -> None:
    report, types = converted(mlp(), tmp_path, precision="bf16")
    assert set(types.values()) == {TensorProto.BFLOAT16}
    original = {t.name: numpy_helper.to_array(t) for t in mlp().graph.initializer}
    made = onnx.load(str(tmp_path / "a.onnx"))
    for tensor in made.graph.initializer:  # to nearest: by way of fp16 it would be farther off
        bits = original[tensor.name].view(np.uint32)
        nearest = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        assert np.array_equal(numpy_helper.to_array(tensor).view(np.uint16), nearest)
    assert 1e-4 < difference(report) < 2e-2
    assert "weights rounded to bf16 and arithmetic in fp32" in report.check.kind
    assert sorted(tree(tmp_path)) == ["a.onnx", "m", "m/model.onnx"]
    onnx.checker.check_model(made, full_check=True)


def test_what_bf16_cannot_do_stays_fp32(tmp_path: Path) -> None:
    one = numpy_helper.from_array(np.ones(1, np.float32))
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["x4"]),
        helper.make_node("Conv", ["x4", "w"], ["c"], "conv"),
        helper.make_node("ConstantOfShape", ["shape"], ["ones"], "ones", value=one),
        helper.make_node("Add", ["c", "ones"], ["sum"], "sum"),
        helper.make_node("Relu", ["sum"], ["y"], "relu"),
    ]
    weights = {"w": np.ones((2, 2, 1, 1), np.float32), "shape": np.array([1, 2, 2, 2], np.int64)}
    report, types = converted(model_of(nodes, weights), tmp_path, precision="bf16")
    assert "kept fp32, opset 17 has no bf16 for them: ConstantOfShape, Conv" in report.notes
    assert types["w"] == TensorProto.FLOAT
    onnx.checker.check_model(onnx.load(str(tmp_path / "a.onnx")), full_check=True)
    with pytest.raises(ConversionError, match="bf16 needs opset 13 or later, the model has 12"):
        converted(mlp(opset=12), tmp_path, precision="bf16")


def test_widening_keeps_what_is_not_finite() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 3.4e38, 1.5], np.float32)
    model = model_of([], {"w": values.astype(bfloat16.BFLOAT16)})
    bfloat16.widen(model)
    widened = numpy_helper.to_array(model.graph.initializer[0])
    assert widened.dtype == np.float32
    np.testing.assert_array_equal(widened, np.array([np.nan, np.inf, -np.inf, np.inf, 1.5]))


def with_custom_op(folder: Path) -> tuple[Path, Path]:
    """relu(Shift(x @ W)) @ V, and the library whose Shift adds 1."""
    weights = {"W": models.noise(1, (8, 8)), "V": models.noise(2, (8, 4))}
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["h"]),
        helper.make_node("Shift", ["h"], ["s"], domain="acme.ops"),
        helper.make_node("Relu", ["s"], ["r"]),
        helper.make_node("MatMul", ["r", "V"], ["y"]),
    ]
    model = model_of(nodes, weights, (2, 8), (2, 4))
    model.opset_import.append(helper.make_opsetid("acme.ops", 1))
    library = folder / "shift.so"
    source = ROOT / "tests" / "fakes" / "custom_op.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return save(model, folder / "net.onnx"), library


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_model_of_custom_ops_is_converted_around_them_and_checked_with_their_library(
    precision: artifact.Precision, tmp_path: Path
) -> None:
    source, library = with_custom_op(tmp_path)
    request = ConversionRequest(precision, custom_ops=(str(library),))
    report = convert(source, tmp_path / "half" / "net.onnx", request)
    assert "custom ops kept fp32: Shift" in report.notes
    assert report.check.relative_difference is not None
    assert 0 < report.check.relative_difference < 0.02
    model = onnx.load(tmp_path / "half" / "net.onnx")
    types = {t.data_type for t in model.graph.initializer}
    assert types == {TensorProto.FLOAT16 if precision == "fp16" else TensorProto.BFLOAT16}
    if precision == "fp16":
        assert all(
            run.note for run in report.check.arithmetics
        )  # what no evaluator of ours can run
    assert [p.name for p in (tmp_path / "half").iterdir()] == ["net.onnx"]


def test_a_key_changes_with_the_library_of_custom_ops_and_int8_says_why_it_takes_none(
    source: Path, tmp_path: Path
) -> None:
    one, other = tmp_path / "one.so", tmp_path / "other.so"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    requests = [
        ConversionRequest(),
        *(ConversionRequest(custom_ops=(str(p),)) for p in (one, other)),
    ]
    assert len({request_key("a", r) for r in requests}) == 3
    with pytest.raises(
        ConversionError, match="calibrates in sessions that take no custom-op library"
    ):
        convert(source, tmp_path / "q.onnx", ConversionRequest("int8", custom_ops=(str(one),)))


def test_external_data_that_are_links_of_a_hubs_cache_are_converted(
    source: Path, tmp_path: Path
) -> None:
    blobs, cache = tmp_path / "blobs", tmp_path / "cache"
    blobs.mkdir()
    cache.mkdir()
    onnx.save(
        onnx.load(source), blobs / "model.onnx", save_as_external_data=True, location="data",
        size_threshold=0,
    )  # fmt: skip
    for name in ("model.onnx", "data"):
        (cache / name).symlink_to(blobs / name)
    report = convert(cache / "model.onnx", tmp_path / "half.onnx", ConversionRequest())
    assert report.check.kind.startswith("run on the CPU EP beside fp32")
    assert sorted(p.name for p in cache.iterdir()) == ["data", "model.onnx"]
