"""Files that are no models, and external data that may not be read."""

from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from perf.backends import Unsupported
from perf.worker.model_signature import BadModel
from perf.worker.prepare import PrepareRequest, prepare_sets
from tests import models
from tests.inprocess.asking import model_file, stored_sets


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1])
def test_a_truncated_model_is_named(tmp_path: Path, cut: int) -> None:
    folder = models.linear(tmp_path / "m")
    file = folder / "model.onnx"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(BadModel, match=r"model\.onnx: truncated, or not an ONNX model"):
        stored_sets(folder, tmp_path / "o")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_raise_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("m")
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises((BadModel, Unsupported)) as told:
        prepare_sets(model_file(folder), PrepareRequest("zoo"), folder / "o")
    assert "\n" not in str(told.value).strip()


def external(folder: Path, location: str, *, size: int | None = None) -> Path:
    models.linear(folder)
    model = onnx.load(folder / "model.onnx")
    weight = model.graph.initializer[0]
    raw = weight.raw_data
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(raw)))):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    if size is not None:
        (folder / location).write_bytes(b"\0" * size)
    return folder


@pytest.mark.parametrize(
    ("location", "size", "says"),
    [
        ("weights.bin", None, "'weights.bin' is missing"),
        ("weights.bin", 5, "'weights.bin' has 5 bytes"),
        ("../outside.bin", 500, "outside the model's folder"),
        ("/etc/hostname", None, "outside the model's folder"),
    ],
)
def test_external_data_must_be_there_and_inside(
    tmp_path: Path, location: str, size: int | None, says: str
) -> None:
    folder = external(tmp_path / "m", location, size=size)
    with pytest.raises(BadModel, match=says):
        stored_sets(folder, tmp_path / "o")


def test_external_data_behind_a_link_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = external(tmp_path / "m", "weights.bin")
    (tmp_path / "elsewhere.bin").write_bytes(b"\0" * 500)
    (folder / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(BadModel, match="outside the model's folder"):
        stored_sets(folder, tmp_path / "o")


def test_external_data_are_not_read(tmp_path: Path) -> None:
    folder = external(tmp_path / "m", "weights.bin", size=500)
    assert len(stored_sets(folder, tmp_path / "o")) == 2
