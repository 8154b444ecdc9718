"""What a model declares, files that are no models, and external data that may not be read."""

from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from perf.conversion.errors import BadModel, CannotFeed
from perf.conversion.signature import Value, read_signature
from tests import models


@pytest.mark.parametrize(
    ("declared", "dim", "taken"),
    [(3, 3, {3}), (0, 0, {0, 2, 3}), (-1, None, {0, 2, 3}), (None, None, {0, 2, 3}), ("n", "n", {0, 2, 3})],
)  # fmt: skip
def test_a_zero_stays_zero_and_yet_fits_any_size_and_a_negative_dim_is_unknown(
    declared: int | str | None, dim: int | str | None, taken: set[int], tmp_path: Path
) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [declared, 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [x])
    onnx.save(helper.make_model(graph, ir_version=8), tmp_path / "model.onnx")
    (value,) = read_signature(tmp_path / "model.onnx").inputs
    assert value == Value("x", TensorProto.FLOAT, (dim, 4))
    assert {size for size in (0, 2, 3) if value.fits((size, 4))} == taken
    assert not value.fits((3, 5))
    assert not value.fits((3,))


@pytest.mark.parametrize("ir_version", [3, 8])
def test_an_initializer_is_not_an_input_and_before_ir_4_nobody_feeds_one(
    ir_version: int, tmp_path: Path
) -> None:
    folder = models.with_weights_listed(models.linear(tmp_path / "m"), ir_version)
    signature = read_signature(folder / "model.onnx")
    assert signature.inputs == (Value("x", TensorProto.FLOAT, ("batch", 8)),)
    fed = {value.name for value in signature.overridable}
    assert (fed, set(signature.weights)) == (
        (set(), {"weight", "bias"}) if ir_version == 3 else ({"weight", "bias"}, set())
    )


def test_a_truncated_model_is_named(tmp_path: Path) -> None:
    file = models.linear(tmp_path / "m") / "model.onnx"
    whole = file.read_bytes()
    for cut in (0, 1, 10, 100, -1):
        file.write_bytes(whole[:cut])
        with pytest.raises(BadModel, match=r"model\.onnx: truncated, or not an ONNX model"):
            read_signature(file)


@given(st.binary(max_size=200))
def test_bytes_raise_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("m") / "model.onnx"
    file.write_bytes(data)
    with pytest.raises((BadModel, CannotFeed)) as refusal:
        read_signature(file)
    assert "\n" not in str(refusal.value).strip()


def external(folder: Path, location: str, size: int | None, offset: str = "0") -> Path:
    models.linear(folder)
    model = onnx.load(folder / "model.onnx")
    weight = model.graph.initializer[0]
    fields = {"location": location, "offset": offset, "length": str(len(weight.raw_data))}
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in fields.items():
        weight.external_data.add(key=key, value=value)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    if size is not None:
        (folder / location).write_bytes(b"\0" * size)
    return folder / "model.onnx"


@pytest.mark.parametrize(
    ("location", "size", "offset", "says"),
    [
        ("weights.bin", None, "0", "'weights.bin' is missing; copy it beside the model"),
        ("weights.bin", 5, "0", "'weights.bin' has 5 bytes, 'weight' needs 128"),
        ("weights.bin", 500, "x", "external data of 'weight': invalid literal"),
        ("../outside.bin", 500, "0", "outside the model's folder"),
        ("/etc/hostname", None, "0", "outside the model's folder"),
        ("a\0b", None, "0", "external data of 'weight': embedded null byte"),
    ],
)
def test_external_data_lie_inside(
    tmp_path: Path, location: str, size: int | None, offset: str, says: str
) -> None:
    with pytest.raises(BadModel, match=says):
        read_signature(external(tmp_path / "m", location, size, offset))


def test_external_data_are_never_read_and_links_may_not_lead_out(tmp_path: Path) -> None:
    file = external(tmp_path / "blobs", "weights.bin", 500)
    (tmp_path / "cache").mkdir()
    for name in ("model.onnx", "weights.bin"):
        (tmp_path / "cache" / name).symlink_to(file.parent / name)
    for path in (file, tmp_path / "cache" / "model.onnx"):
        assert read_signature(path).outputs[0].name == "y"
    (file.parent / "weights.bin").rename(tmp_path / "elsewhere.bin")
    (file.parent / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(BadModel, match="outside the model's folder"):
        read_signature(file)
