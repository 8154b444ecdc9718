"""The header reader against the onnx package itself, and on files that are not models."""

from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from perf.backends._tensorrt import onnx_header
from perf.backends._tensorrt.onnx_header import HeaderValue
from perf.conversion import signature

dim = st.one_of(st.integers(-2, 10**6), st.sampled_from(["batch", "N"]), st.none())
names = st.text(min_size=1, max_size=8)
values = st.lists(
    st.tuples(names, st.integers(1, 16), st.one_of(st.none(), st.lists(dim, max_size=4))),
    min_size=1,
    max_size=4,
    unique_by=lambda v: v[0],
)


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_reads_what_the_onnx_package_wrote(
    tmp_path_factory: pytest.TempPathFactory,
    inputs: list[tuple[str, int, list[int | str | None] | None]],
    outputs: list[tuple[str, int, list[int | str | None] | None]],
) -> None:
    graph = helper.make_graph(
        [],
        "g",
        [helper.make_tensor_value_info(*v) for v in inputs],
        [helper.make_tensor_value_info(*v) for v in outputs],
    )
    path = tmp_path_factory.mktemp("m") / "m.onnx"
    model = helper.make_model(graph, ir_version=10)
    path.write_bytes(model.SerializeToString())
    got, read = onnx_header.read(path), signature.signature_of(model)
    assert got.inputs == tuple(map(named_alike, read.inputs))
    assert got.outputs == tuple(map(named_alike, read.outputs))


def named_alike(value: signature.Value) -> HeaderValue:
    """As the header's reader tells what the reader with the onnx package does."""
    fixed = None
    if value.dims is not None:
        fixed = tuple(d if isinstance(d, int) else None for d in value.dims)
    return HeaderValue(value.name, value.onnx_type, fixed)


def test_initialisers_are_not_inputs_and_big_weights_are_skipped(tmp_path: Path) -> None:
    import numpy as np

    weight = numpy_helper.from_array(np.ones((512, 512), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 512]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [512, 512]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 512])],
        [weight],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, ir_version=10), path)
    got = onnx_header.read(path)
    assert [v.name for v in got.inputs] == ["x"]
    assert got.inputs[0].dynamic
    assert not HeaderValue("x", 1, (1, 2)).dynamic


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.98])
def test_a_truncated_model_is_refused(tmp_path: Path, keep: float) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    data = helper.make_model(graph, ir_version=10).SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match="truncated, or not an ONNX model"):
        onnx_header.read(path)


def test_text_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="not an ONNX model"):
        onnx_header.read(path)
