"""One ONNX file made a model with test sets and references, or one line and nothing changed."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from perf.conversion import cpu_reference, data_sets
from perf.conversion.errors import UserError
from perf.conversion.model_inputs import Override, Overrides
from perf.conversion.signature import read_signature
from perf.measure import tensor_io
from perf.request.model_list import find_test_sets, load_models
from perf.request.programs import command_of
from setup_models import add, cross_check
from setup_models.reference import SetOptions, SetReport
from tests.inprocess.asking import prepared
from tests.setup_models.tiny import mlp, model_of, save, tree


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "setup_models.add", *map(str, arguments)]
    return subprocess.run(whole, capture_output=True, text=True, check=False)


def added(model: onnx.ModelProto, folder: Path, name: str = "mine", **options: Any) -> SetReport:
    source = save(model, folder / "mine.onnx")
    return add.add_model(source, folder / "models", name, SetOptions(**options))


def test_one_command_makes_a_model_that_the_harness_reads(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "mine.onnx")
    done = command(source, "--models", tmp_path / "models", "--sets", "3", "--range", "x=-1:1")
    assert done.returncode == 0, done.stderr
    assert "input  x [1, 8]" in done.stdout
    assert "cross-checked by onnx.reference: relative difference" in done.stdout
    (model,) = load_models(tmp_path / "models" / "model_list.json")
    assert model.name == "mine"
    assert (model.inputs["x"].shape, model.inputs["x"].range) == ((1, 8), (-1.0, 1.0))
    session, signature = cpu_reference.open_session(Path(model.path)), read_signature(source)
    sets = find_test_sets(tmp_path / "models" / "mine")
    feeds = [data_sets.read_inputs(data_set, signature) for data_set in sets]
    for data_set, feed in zip(sets, feeds, strict=True):
        stored = data_sets.read_outputs(data_set, signature)
        assert np.array_equal(cpu_reference.run_session(session, feed)["y"], stored["y"])
    assert len({feed["x"].tobytes() for feed in feeds}) == 3


@pytest.mark.parametrize(("declared", "fed"), [(0, (0, 8)), (-1, (1, 8)), ("batch", (1, 8))])
def test_a_run_takes_what_is_added(
    declared: int | str, fed: tuple[int, int], tmp_path: Path
) -> None:
    rows = helper.make_node("Concat", ["x", "row"], ["y"], axis=0)
    added(model_of([rows], {"row": np.ones((1, 8), np.float32)}, [declared, 8]), tmp_path)
    (model,) = load_models(tmp_path / "models" / "model_list.json")
    for data in ("zoo", "random"):
        sets = prepared(model, tmp_path / data, data)
        assert {one.inputs[0].shape for one in sets} == {fed}


def test_a_text_that_is_given_is_fed_and_listed(tmp_path: Path) -> None:
    model = model_of([helper.make_node("Identity", ["x"], ["y"])])
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.elem_type = TensorProto.STRING
    added(model, tmp_path, overrides=Overrides({"x": Override(value="hi")}))
    (listed,) = load_models(tmp_path / "models" / "model_list.json")
    (one,) = prepared(listed, tmp_path / "o", "random")
    assert np.load(one.inputs[0].path).tolist() == [["hi"] * 8]


T = TensorProto


@pytest.mark.parametrize(
    ("onnx_type", "words", "fed"),
    [
        (T.STRING, ("--value", "x=012"), "012"),
        (T.STRING, ("--value", "x=true"), "true"),
        (T.INT64, ("--value", "x=9007199254740993"), 2**53 + 1),
        (T.INT64, ("--range", "x=9007199254740993:9007199254740993"), 2**53 + 1),
        (T.BFLOAT16, ("--value", "x=2.0"), 2.0),
        (T.FLOAT8E4M3FN, ("--range", "x=2:2"), 2.0),
        (T.INT4, ("--range", "x=-3:-3"), -3),
        (T.UINT4, ("--value", "x=15"), 15),
        (T.BOOL, ("--value", "x=true"), True),
    ],
)
def test_a_value_of_any_type_is_added_listed_and_fed_by_a_run(
    tmp_path: Path, onnx_type: int, words: tuple[str, ...], fed: object
) -> None:
    # the CPU EP has a Transpose of 4-bit integers, and an Identity of everything else
    op = "Transpose" if onnx_type in (T.INT4, T.UINT4) else "Identity"
    model = model_of([helper.make_node(op, ["x"], ["y"])])
    model.opset_import[0].version, model.ir_version = 21, 10
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.elem_type = onnx_type
    source = save(model, tmp_path / "mine.onnx")
    assert add.main([str(source), "--models", str(tmp_path / "models"), *words]) == 0
    (listed,) = load_models(tmp_path / "models" / "model_list.json")
    for data in ("zoo", "random"):
        (one, *_) = prepared(listed, tmp_path / data, data)
        for tensors in (tensor_io.load_inputs(one), tensor_io.load_expected(one)):
            for array in tensors.values():
                assert tensor_io.onnx_type_of(array) == onnx_type
                assert set(tensor_io.decode(array).ravel().tolist()) == {fed}


def test_open_dims_are_asked_for_and_nothing_is_made(tmp_path: Path) -> None:
    total = helper.make_node("ReduceSum", ["x"], ["y"])
    source = save(model_of([total], {}, ["length", "width"]), tmp_path / "mine.onnx")
    done = command(source, "--models", tmp_path / "models")
    assert done.returncode == 2
    says, _, again = done.stderr.partition("; try ")
    assert says == "error: dynamic dims need sizes: x [length,width]"
    assert not (tmp_path / "models").exists()
    pasted = shlex.split(again.removeprefix(f"{command_of('setup_models.add')} "))
    assert command(*pasted).returncode == 0
    assert (
        command(source, "--models", tmp_path / "n", "--dim", "length=5", "width=3").returncode == 0
    )


def test_a_first_dim_is_taken_as_a_batch_of_one_where_runs_prove_it(tmp_path: Path) -> None:
    report = added(mlp(batch="unk__749"), tmp_path)
    assert report.input_shapes == {"x": (1, 8)}
    assert any(
        note.startswith("first dim taken as 1, a batch: x [unk__749,8]") for note in report.notes
    )
    (model,) = load_models(tmp_path / "models" / "model_list.json")
    assert model.inputs["x"].shape == (1, 8)


def test_a_name_that_is_taken_or_none_is_refused_before_work(tmp_path: Path) -> None:
    added(mlp(), tmp_path)
    before = tree(tmp_path / "models")
    with pytest.raises(UserError, match="already there; remove it first, or choose another name"):
        added(model_of([]), tmp_path)  # not even looked at
    for name in ("../x", "", ".hidden", "a/b"):
        with pytest.raises(UserError, match="cannot name a model's folder"):
            added(model_of([]), tmp_path, name)
    assert tree(tmp_path / "models") == before
    added(mlp(), tmp_path, "other")
    rows = json.loads((tmp_path / "models" / "model_list.json").read_text())
    assert [row["model_name"] for row in rows] == ["mine", "other"]
    assert tree(tmp_path / "models" / "mine") == tree(tmp_path / "models" / "other")  # same seed


def test_a_model_that_fails_on_the_inputs_says_which_options_help(tmp_path: Path) -> None:
    cast = helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64)
    gather = helper.make_node("Gather", ["table", "i"], ["y"], "lookup")
    lookup = model_of([cast, gather], {"table": np.ones((4, 2), np.float32)})
    log = model_of([helper.make_node("Log", ["x"], ["y"])])
    for model, low, says in ((lookup, 10.0, "fails on"), (log, -2.0, "'y' holds NaN on")):
        overrides = Overrides({"x": Override(range=(low, low + 1))})
        with pytest.raises(UserError, match=f"{says} the generated inputs.*give --shape, --range"):
            added(model, tmp_path, overrides=overrides)
    assert not (tmp_path / "models").exists()


def test_what_was_not_checked_is_remarked_on(tmp_path: Path) -> None:
    zero = {"zero": np.zeros((1, 8), np.float32)}
    report = added(model_of([helper.make_node("Mul", ["x", "zero"], ["y"])], zero), tmp_path)
    assert any("same for different inputs" in note for note in report.notes)
    other = model_of([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")])
    other.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    report = added(other, tmp_path, "other")
    assert report.notes[0].startswith(
        "cross-checked by the CPU EP optimised alone: onnx.reference cannot run it"
    )
    nothing = [
        helper.make_node("NonZero", ["x"], ["n"]),
        helper.make_node("Cast", ["n"], ["y"], to=1),
    ]
    no_input = Overrides({"x": Override(value="0")})
    none = added(model_of(nothing), tmp_path, "none", overrides=no_input)
    assert none.notes[0].startswith("not cross-checked: no output has an element")


def old_softmax() -> onnx.ModelProto:
    """Before opset 13 the classes of [1, C, 1, 1] are one distribution; onnx.reference takes the last axis."""
    return model_of([helper.make_node("Softmax", ["x"], ["y"])], x=(1, 10, 1, 1), opset=9)


def test_a_model_that_onnx_reference_alone_gets_wrong_is_added_and_the_op_is_named(
    tmp_path: Path,
) -> None:
    note = added(old_softmax(), tmp_path).notes[0]
    assert note.startswith("two of three agree: onnx.reference differs by ")
    assert (
        "computes Softmax 'y' otherwise than onnxruntime, which follows the model's opset" in note
    )
    report = added(old_softmax(), tmp_path, "again", cross_check=False)
    assert report.notes == ("not cross-checked: --no_cross_check",)


@pytest.mark.parametrize("seed", [{}, {"seed": 7.0}], ids=["unseeded", "seeded"])
def test_a_model_that_draws_at_random_is_added_and_its_outputs_named(
    tmp_path: Path, seed: dict[str, float]
) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["e"], **seed),
        helper.make_node("Add", ["x", "e"], ["y"]),
    ]
    note = added(model_of(nodes), tmp_path).notes[0]
    assert note.startswith("outputs 'y' are not reproducible (RandomNormalLike)")


@pytest.mark.parametrize(
    ("engines", "plain", "tuned", "says", "alone"),
    [
        (0.0, 1e-6, 1e-6, "cross-checked by onnx.reference", False),
        (0.0, 6.9, 6.9, "two of three agree: onnx.reference differs", False),
        (0.5, 1e-6, 0.5, "two of three agree: the CPU EP optimised differs", False),
        (0.5, 0.5, 1e-6, "two of three agree: the unoptimised CPU EP differs", True),
        (
            0.5,
            0.4,
            0.3,
            "undecided: the CPU EP, itself optimised and onnx.reference all differ",
            False,
        ),
        (0.5, np.inf, np.inf, "undecided", False),  # another shape
    ],
)
def test_the_opinion_of_two_of_three_counts(
    engines: float, plain: float, tuned: float, says: str, alone: bool
) -> None:
    note, instead = cross_check.judge_opinions(engines, plain, tuned)
    assert note.startswith(says)
    assert instead is alone


def test_outputs_of_a_type_that_numpy_lacks_are_reproducible(tmp_path: Path) -> None:
    for kind in (TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT16):
        model = model_of([helper.make_node("Cast", ["x"], ["y"], to=kind)], opset=19)
        model.graph.output[0].type.tensor_type.elem_type = kind
        name = f"cast_{kind}"
        source = save(model, tmp_path / f"{name}.onnx")
        report = add.add_model(source, tmp_path / "models", name, SetOptions())
        assert report.notes[0].startswith("cross-checked by onnx.reference: relative difference")


def test_a_model_past_two_gib_is_added_with_its_external_data(tmp_path: Path) -> None:
    """Its external data is mostly a hole: large to every reader, small on the disk."""
    size_bytes, values = (2 << 30) + 4096, np.arange(8, dtype=np.float32)
    model = model_of([helper.make_node("Add", ["x", "w"], ["y"])], {"w": values.reshape(1, 8)})
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    # ONNX Runtime reads the 32 bytes at the far end, past 2 GiB.
    entries = {"location": "weights.bin", "offset": str(size_bytes - 32), "length": "32"}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    with (tmp_path / "weights.bin").open("wb") as file:
        file.seek(size_bytes - 32)
        file.write(values.tobytes())
    report = added(model, tmp_path)
    assert report.notes[0] == "not cross-checked: the weights are too large"
    brought = (tmp_path / "models" / "mine" / "weights.bin").stat()
    assert brought.st_size == size_bytes
    assert brought.st_blocks * 512 < 3 << 20  # a hole still
    assert brought.st_nlink == 1  # onnx refuses external data that is hard-linked
    signature = read_signature(tmp_path / "models" / "mine" / "mine.onnx")
    stored = tmp_path / "models" / "mine" / "test_data_set_0"
    x = data_sets.read_inputs(stored, signature)["x"]
    assert np.array_equal(data_sets.read_outputs(stored, signature)["y"], x + values)


def test_options_are_understood() -> None:
    found = add.parse_overrides(
        ["a=1x3x4", "scalar="], ["a=-1:1.5"], ["sr=16000", "flag=true", "t=hi"], ["batch=4"]
    )
    inputs = {
        "a": Override((1, 3, 4), (-1.0, 1.5)),
        "scalar": Override(()),
        "sr": Override(value="16000"),  # as it stands: "012" is another text than "12"
        "flag": Override(value="true"),
        "t": Override(value="hi"),
    }
    assert found == Overrides(inputs, {"batch": 4})


@pytest.mark.parametrize("words", ["--shape a", "--shape a=1xb", "--shape a=-1", "--range a=2:1", "--dim n=x"])  # fmt: skip
def test_options_that_make_no_sense_are_refused(words: str) -> None:
    with pytest.raises(UserError, match=f"{words}: not understood"):
        add.main(["model.onnx", *words.split()])


def test_own_data_are_added_with_the_outputs_that_came_with_them(tmp_path: Path) -> None:
    source, own = save(mlp(), tmp_path / "mine.onnx"), tmp_path / "own"
    own.mkdir()
    x = np.linspace(-1, 1, 24).reshape(3, 8)
    np.savez(own / "a.npz", x=x)
    np.savez(own / "b.npz", x=x, y=np.zeros((3, 4)))
    done = command(source, "--models", tmp_path / "models", "--inputs", own)
    assert done.returncode == 0, done.stderr
    assert "input  x [3, 8]" in done.stdout
    assert "b.npz: 'x' cast from float64 to float32" in done.stdout
    assert "set 1: the given output 'y' is" in done.stdout
    signature = read_signature(source)
    first, second = find_test_sets(tmp_path / "models" / "mine")
    assert np.array_equal(data_sets.read_inputs(first, signature)["x"], x.astype(np.float32))
    assert data_sets.read_outputs(first, signature)["y"].any()
    assert not data_sets.read_outputs(second, signature)["y"].any()
    done = command(source, "--models", tmp_path / "models", "--name", "n", "--inputs", "nowhere")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
