import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from perf.conversion import cpu_reference, data_sets, model_inputs
from perf.conversion.errors import UserError
from perf.conversion.model_inputs import Override, Overrides
from perf.request import model_list as model_lists
from setup_models import add, reference
from tests.setup_models.tiny import mlp, model_of, save, tree


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "setup_models.add", *map(str, arguments)]
    return subprocess.run(whole, capture_output=True, text=True, check=False)


def test_one_command_makes_a_model_that_the_harness_reads(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "mine.onnx")
    done = command(source, "--models", tmp_path / "models", "--sets", "3", "--range", "x=-1:1")
    assert done.returncode == 0, done.stderr
    assert "input  x [1, 8]" in done.stdout
    assert "cross-checked by onnx.reference: relative difference" in done.stdout
    (model,) = model_lists.load_models(tmp_path / "models" / "model_list.json")
    assert model.name == "mine"
    assert model.inputs["x"].shape == (1, 8)
    assert model.inputs["x"].range == (-1.0, 1.0)
    sets = data_sets.find_sets(tmp_path / "models" / "mine")
    assert len(sets) == 3
    session = cpu_reference.open_session(Path(model.path))
    for data_set in sets:
        feed = data_sets.read_tensors(data_set, "input", ["x"])
        stored = data_sets.read_tensors(data_set, "output", ["y"])
        assert np.array_equal(cpu_reference.run_session(session, feed)["y"], stored["y"])
    assert not np.array_equal(
        data_sets.read_tensors(sets[0], "input", ["x"])["x"],
        data_sets.read_tensors(sets[1], "input", ["x"])["x"],
    )


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "mine.onnx")
    for folder in ("a", "b"):
        add.add(source, tmp_path / folder, add.AddOptions("mine"))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_open_dims_are_asked_for_and_nothing_is_made(tmp_path: Path) -> None:
    source = save(mlp(batch="length"), tmp_path / "mine.onnx")
    done = command(source, "--models", tmp_path / "models")
    assert done.returncode == 1
    assert done.stderr == "error: dynamic dims need sizes: x [length, 8]: --shape x=<length>x8\n"
    assert not (tmp_path / "models").exists()
    assert command(source, "--models", tmp_path / "models", "--dim", "length=5").returncode == 0


def test_a_name_that_is_taken_is_refused_before_work(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "mine.onnx")
    add.add(source, tmp_path / "models", add.AddOptions("mine"))
    before = tree(tmp_path / "models")
    with pytest.raises(UserError, match="already there; remove it first, or choose another name"):
        add.add(source, tmp_path / "models", add.AddOptions("mine"))
    assert tree(tmp_path / "models") == before
    add.add(source, tmp_path / "models", add.AddOptions("other"))
    rows = json.loads((tmp_path / "models" / "model_list.json").read_text())
    assert [row["model_name"] for row in rows] == ["mine", "other"]


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b"])
def test_a_name_that_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "mine.onnx")
    with pytest.raises(UserError, match="cannot name a model's folder"):
        add.add(source, tmp_path / "models", add.AddOptions(name))
    assert not (tmp_path / "models").exists()


def test_a_model_that_fails_on_the_inputs_says_which_options_help(tmp_path: Path) -> None:
    table = numpy_helper.from_array(np.ones((4, 2), np.float32), "table")
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "i"], ["y"], "lookup"),
    ]
    source = save(model_of(nodes, [table]), tmp_path / "mine.onnx")
    far = Overrides({"x": Override(range=(10.0, 20.0))})
    with pytest.raises(
        UserError, match=r"fails on the generated inputs: .*lookup.*give --shape, --range"
    ):
        add.add(source, tmp_path / "models", add.AddOptions("mine", far))
    assert not (tmp_path / "models").exists()


def test_nan_is_no_reference(tmp_path: Path) -> None:
    source = save(model_of([helper.make_node("Log", ["x"], ["y"])], []), tmp_path / "mine.onnx")
    negative = Overrides({"x": Override(range=(-2.0, -1.0))})
    with pytest.raises(UserError, match="output 'y' holds NaN"):
        add.add(source, tmp_path / "models", add.AddOptions("mine", negative))


def test_outputs_that_do_not_depend_on_the_inputs_are_remarked_on(tmp_path: Path) -> None:
    zero = numpy_helper.from_array(np.zeros((1, 8), np.float32), "zero")
    source = save(
        model_of([helper.make_node("Mul", ["x", "zero"], ["y"])], [zero]), tmp_path / "m.onnx"
    )
    _, made = add.add(source, tmp_path / "models", add.AddOptions("m"))
    assert any("same for different inputs" in note for note in made.notes)


def test_an_op_that_the_reference_lacks_is_told_not_hidden(tmp_path: Path) -> None:
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    model = model_of([node], [])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    _, made = add.add(save(model, tmp_path / "m.onnx"), tmp_path / "models", add.AddOptions("m"))
    assert made.notes[0].startswith("not cross-checked: onnx.reference cannot run it")


def test_a_disagreement_with_the_reference_stops_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only way to a real disagreement is a bound below real rounding: set it to nothing."""
    monkeypatch.setattr(reference, "CROSS_CHECK_DIFFERENCE", -1.0)
    source = save(mlp(), tmp_path / "mine.onnx")
    with pytest.raises(UserError, match=r"onnx.reference gives .* add --no_cross_check"):
        add.add(source, tmp_path / "models", add.AddOptions("mine"))
    _, made = add.add(source, tmp_path / "models", add.AddOptions("mine", cross_check=False))
    assert made.notes == ("not cross-checked: --no_cross_check",)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "no such file"),
        (b"\x00garbage", "not a readable ONNX model"),
        (b"", "its graph is empty"),
    ],
)
def test_what_is_no_model_is_one_line(body: bytes | None, words: str, tmp_path: Path) -> None:
    source = tmp_path / "mine.onnx"
    if body is not None:
        source.write_bytes(body)
    done = command(source, "--models", tmp_path / "models")
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "models").exists()


def big_model(folder: Path, size_bytes: int) -> Path:
    """A model whose external data is mostly a hole: large to every reader, small on the disk."""
    folder.mkdir()
    small = numpy_helper.from_array(np.arange(8, dtype=np.float32).reshape(1, 8), "w")
    model = model_of([helper.make_node("Add", ["x", "w"], ["y"])], [small])
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    # ONNX Runtime reads the 32 bytes at the far end, past 2 GiB.
    entries = {"location": "weights.bin", "offset": str(size_bytes - 32), "length": "32"}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    with (folder / "weights.bin").open("wb") as file:
        file.seek(size_bytes - 32)
        file.write(np.arange(8, dtype=np.float32).tobytes())
    return save(model, folder / "big.onnx")


def test_a_model_past_two_gib_is_added_with_its_external_data(tmp_path: Path) -> None:
    source = big_model(tmp_path / "big", (2 << 30) + 4096)
    assert (source.parent / "weights.bin").stat().st_blocks * 512 < 1 << 20  # a hole, truly
    _, made = add.add(source, tmp_path / "models", add.AddOptions("big"))
    assert made.notes[0] == "not cross-checked: the weights are too large"
    brought = tmp_path / "models" / "big" / "weights.bin"
    assert brought.stat().st_size == (source.parent / "weights.bin").stat().st_size
    assert brought.stat().st_nlink == 1  # onnx refuses external data that is hard-linked
    x = data_sets.read_tensors(tmp_path / "models" / "big" / "test_data_set_0", "input", ["x"])[
        "x"
    ]
    y = data_sets.read_tensors(tmp_path / "models" / "big" / "test_data_set_0", "output", ["y"])[
        "y"
    ]
    assert np.array_equal(y, np.add(x, np.arange(8, dtype=np.float32)))


def test_external_data_that_is_missing_or_elsewhere_is_refused(tmp_path: Path) -> None:
    source = big_model(tmp_path / "big", 4096)
    (source.parent / "weights.bin").rename(tmp_path / "weights.bin")
    with pytest.raises(UserError, match=r"external data file weights\.bin is missing beside it"):
        add.add(source, tmp_path / "models", add.AddOptions("big"))
    model = onnx.load(str(source), load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../weights.bin"
    save(model, source)
    with pytest.raises(UserError, match="lies outside the model's folder"):
        add.add(source, tmp_path / "models", add.AddOptions("big"))


def test_options_are_understood(tmp_path: Path) -> None:
    found = add.parse_overrides(
        ["a=1x3x4", "scalar="], ["a=-1:1.5"], ["sr=16000", "flag=true", "t=hi"], ["batch=4"]
    )
    assert found == model_inputs.Overrides(
        {
            "a": Override((1, 3, 4), (-1.0, 1.5)),
            "scalar": Override(()),
            "sr": Override(value=16000),
            "flag": Override(value=True),
            "t": Override(value="hi"),
        },
        {"batch": 4},
    )


@pytest.mark.parametrize(
    ("shapes", "ranges", "dims"),
    [
        (["a"], [], []),
        (["a=1xb"], [], []),
        (["a=-1"], [], []),
        ([], ["a=2:1"], []),
        ([], [], ["n=x"]),
    ],
)
def test_options_that_make_no_sense_are_refused(
    shapes: list[str], ranges: list[str], dims: list[str]
) -> None:
    with pytest.raises(UserError, match="not understood"):
        add.parse_overrides(shapes, ranges, [], dims)
