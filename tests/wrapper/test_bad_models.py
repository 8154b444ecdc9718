"""Models and test data that are wrong: an outcome of their own cells, and no other cell is harmed."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, numpy_helper

from perf.schema.record import ArtefactFailed, Mismatched, Outcome, Passed, Raised
from tests import models
from tests.asking import CURRENT, QUICK, Said, ask, snapshot


def truncated(folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:40])


def empty(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"")


def not_onnx(folder: Path) -> None:
    (folder / "model.onnx").write_text("<html>404 Not Found</html>", encoding="utf-8")


def newer_opset(folder: Path) -> None:
    changed(folder, lambda model: model.opset_import[0].__setattr__("version", 9999))


def external(folder: Path, location: str) -> None:
    path = folder / "model.onnx"
    model = onnx.load(str(path))
    tensor = numpy_helper.from_array(models.noise(1, (4,)), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    model.graph.initializer.append(tensor)
    path.write_bytes(model.SerializeToString())


def missing_external(folder: Path) -> None:
    external(folder, "weights.bin")


def short_external(folder: Path) -> None:
    external(folder, "weights.bin")
    (folder / "weights.bin").write_bytes(b"1234")


def outside_external(folder: Path) -> None:
    (folder.parent.parent / "secret.bin").write_bytes(b"0" * 16)
    external(folder, "../../secret.bin")


def linked_external(folder: Path) -> None:
    (folder.parent.parent / "secret.bin").write_bytes(b"0" * 16)
    external(folder, "weights.bin")
    (folder / "weights.bin").symlink_to("../../secret.bin")


def wrong_shape(folder: Path) -> None:
    stored(folder, models.noise(1, (3, 3)))


def wrong_type(folder: Path) -> None:
    stored(folder, models.noise(1, (2, 8)).astype("float64"))


def wrong_output(folder: Path) -> None:
    tensor = numpy_helper.from_array(models.noise(1, (1, 8)), "y")
    (folder / "test_data_set_0" / "output_0.pb").write_bytes(tensor.SerializeToString())


def torn_data(folder: Path) -> None:
    path = folder / "test_data_set_1" / "input_0.pb"
    path.write_bytes(path.read_bytes()[:-9])


def no_input(folder: Path) -> None:
    (folder / "test_data_set_0" / "input_0.pb").unlink()


def too_many_inputs(folder: Path) -> None:
    tensor = numpy_helper.from_array(models.noise(1, (2, 8)), "other")
    (folder / "test_data_set_0" / "input_1.pb").write_bytes(tensor.SerializeToString())


def stored(folder: Path, array: object) -> None:
    tensor = numpy_helper.from_array(array, "x")
    (folder / "test_data_set_0" / "input_0.pb").write_bytes(tensor.SerializeToString())


def changed(folder: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    path = folder / "model.onnx"
    model = onnx.load(str(path))
    change(model)
    path.write_bytes(model.SerializeToString())


def unknown_op(folder: Path) -> None:
    changed(folder, lambda model: model.graph.node[0].__setattr__("op_type", "Frobnicate"))


BAD: dict[Callable[[Path], None], tuple[type[Outcome], str]] = {
    truncated: (ArtefactFailed, "model.onnx: truncated, or not an ONNX model"),
    empty: (ArtefactFailed, "model.onnx: truncated, or not an ONNX model"),
    not_onnx: (ArtefactFailed, "model.onnx: truncated, or not an ONNX model"),
    newer_opset: (Raised, "9999"),
    unknown_op: (Raised, "Frobnicate"),
    missing_external: (ArtefactFailed, "external data 'weights.bin' is missing; copy it beside"),
    short_external: (ArtefactFailed, "external data 'weights.bin' has 4 bytes, 'w' needs 16"),
    outside_external: (
        ArtefactFailed,
        "external data '../../secret.bin' lies outside the model's",
    ),
    linked_external: (ArtefactFailed, "external data 'weights.bin' lies outside the model's"),
    wrong_shape: (ArtefactFailed, "'x' is [2,8] in the model, [3,3] in the test data"),
    wrong_type: (ArtefactFailed, "'x' is float32 in the model, float64 in the test data"),
    wrong_output: (Mismatched, "test_data_set_0/y: shape [2, 8], expected [1, 8]"),
    torn_data: (ArtefactFailed, "test_data_set_1/input_0.pb: "),
    no_input: (ArtefactFailed, "test_data_set_0: no data for input 'x' (0 of 1 given)"),
    too_many_inputs: (ArtefactFailed, "input_1.pb: the model has only 1 inputs"),
}


@pytest.fixture(scope="module")
def beside_bad_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Said, Path]]:
    """One run over a model of every bad kind and two good ones."""
    home = tmp_path_factory.mktemp("bad") / "home"
    home.mkdir()
    (home / "environments.toml").write_text(CURRENT, encoding="utf-8")
    for spoil in BAD:
        spoil(models.relu(home / "models" / spoil.__name__))
    models.relu(home / "models" / "a_good_one")
    models.linear(home / "models" / "the_last_one")
    before = snapshot(home / "models")
    yield ask(home, *QUICK, "-r", "both"), home
    assert snapshot(home / "models") == before


@pytest.mark.parametrize("spoil", BAD, ids=lambda f: f.__name__)
def test_a_bad_model_is_an_outcome_of_its_own_cell(
    beside_bad_models: tuple[Said, Path], spoil: Callable[[Path], None]
) -> None:
    said, _ = beside_bad_models
    record = said.records[f"{spoil.__name__}::CPUExecutionProvider"]
    kind, says = BAD[spoil]
    assert isinstance(record.outcome, kind), record.outcome
    text = said.cells[record.cell.id]["detail"]
    assert says in text
    assert "\n" not in text


def test_good_models_beside_bad_ones_are_measured(beside_bad_models: tuple[Said, Path]) -> None:
    said, _ = beside_bad_models
    assert said.status == 0
    for name in ("a_good_one", "the_last_one"):
        record = said.records[f"{name}::CPUExecutionProvider"]
        assert record.outcome == Passed()
        assert len(record.launches) == 3
    assert said.out.strip().endswith("would make the exit status 1.")


def test_nothing_is_ever_written_into_a_models_folder(
    beside_bad_models: tuple[Said, Path],
) -> None:
    _, home = beside_bad_models
    left = {
        p.relative_to(home / "models").parts[-1]
        for p in (home / "models").rglob("*")
        if p.is_file()
    }
    assert {p for p in left if not p.endswith((".onnx", ".pb", ".bin"))} == set()


def test_the_models_of_a_read_only_folder_can_be_run(home: Path) -> None:
    for path in [*(home / "models").rglob("*"), home / "models"]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    said = ask(home, *QUICK)
    for path in [home / "models", *(home / "models").rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert said.status == 0
    shutil.rmtree(home / "models")
