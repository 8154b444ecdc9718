import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from perf.measure import tensor_io
from perf.schema.cell import TestSet
from tests import models
from tests.inprocess.asking import f32, stored_sets

CODED = {
    TensorProto.BFLOAT16: ml_dtypes.bfloat16,
    TensorProto.FLOAT8E4M3FN: ml_dtypes.float8_e4m3fn,
    TensorProto.FLOAT8E4M3FNUZ: ml_dtypes.float8_e4m3fnuz,
    TensorProto.FLOAT8E5M2: ml_dtypes.float8_e5m2,
    TensorProto.FLOAT8E5M2FNUZ: ml_dtypes.float8_e5m2fnuz,
    TensorProto.UINT4: ml_dtypes.uint4,
    TensorProto.INT4: ml_dtypes.int4,
    TensorProto.FLOAT4E2M1: ml_dtypes.float4_e2m1fn,
    TensorProto.FLOAT8E8M0: ml_dtypes.float8_e8m0fnu,
    TensorProto.UINT2: ml_dtypes.uint2,
    TensorProto.INT2: ml_dtypes.int2,
}


def test_every_type_that_numpy_lacks_is_known() -> None:
    assert set(CODED) == set(tensor_io.CODED_BITS)
    assert {t: np.dtype(n) for t, n in tensor_io.NUMPY_OF.items()} == {
        t: helper.tensor_dtype_to_np_dtype(t) for t in tensor_io.NUMPY_OF
    }


@pytest.mark.parametrize("onnx_type", sorted(CODED))
def test_every_code_decodes_to_its_value(onnx_type: int) -> None:
    bits = tensor_io.CODED_BITS[onnx_type]
    codes = np.arange(1 << bits).astype(np.uint16 if bits == 16 else np.uint8)
    values = tensor_io.decode(tensor_io.as_coded(codes, onnx_type)).astype(np.float32)
    np.testing.assert_array_equal(values, codes.view(CODED[onnx_type]).astype(np.float32))


@pytest.mark.parametrize("onnx_type", sorted(CODED))
def test_a_pb_of_a_type_that_numpy_lacks_becomes_its_codes(tmp_path: Path, onnx_type: int) -> None:
    array = np.array([[1, 0, 1]], np.float32).astype(CODED[onnx_type])
    folder = models.write(
        tmp_path / "m",
        [helper.make_node("Identity", ["x"], ["y"])],
        {"x": (1, 3)},
        {"y": (1, 3)},
        [({"x": array}, {})],
        kinds={"x": onnx_type, "y": onnx_type},
    )
    given_set = stored_sets(folder, tmp_path / "o")[0]
    fed = tensor_io.load_inputs(given_set)["x"]
    assert given_set.inputs[0].onnx_type == onnx_type
    assert np.load(given_set.inputs[0].path).dtype.kind == "u"
    assert tensor_io.onnx_type_of(fed) == onnx_type
    np.testing.assert_array_equal(
        tensor_io.decode(fed).astype(np.float32), array.astype(np.float32)
    )


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=5
    )
)
def test_strings_survive_without_pickle(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("s")
    saved = tensor_io.save_tensors({"x": np.array(words, object)}, folder)
    read = tensor_io.load_expected(TestSet("s", (), saved))["x"]
    assert read.tolist() == words
    assert saved[0].onnx_type == TensorProto.STRING


def test_saved_outputs_are_read_back_as_they_were(tmp_path: Path) -> None:
    outputs = {
        "a/b:0": f32([[1.5, np.nan]]),
        "scalar": np.array(7),
        "empty": np.zeros((0, 4), bool),
        "bf16": tensor_io.as_coded(np.array([0x3F80, 0xC000], np.uint16), TensorProto.BFLOAT16),
    }
    files = tensor_io.save_tensors(outputs, tmp_path / "new" / "folder")
    read = tensor_io.load_expected(TestSet("s", (), files))
    assert list(read) == list(outputs)
    for name, array in outputs.items():
        np.testing.assert_array_equal(read[name], array)
        assert tensor_io.onnx_type_of(read[name]) == tensor_io.onnx_type_of(array)
    assert tensor_io.decode(read["bf16"]).tolist() == [1.0, -2.0]


def test_a_file_that_was_read_before_is_read_as_it_is_now(tmp_path: Path) -> None:
    """Whoever changed what was read, or the file, changed nothing for the next who reads it."""
    zeros = np.zeros(3, np.float32)
    given = TestSet("set_0", tensor_io.save_tensors({"x": zeros}, tmp_path))
    time.sleep(1.1)  # a younger file is never taken from memory
    tensor_io.load_inputs(given)["x"][:] = 7
    assert tensor_io.load_inputs(given)["x"].tolist() == [0, 0, 0]
    tensor_io.save_tensors({"x": zeros + 1}, tmp_path)
    assert tensor_io.load_inputs(given)["x"].tolist() == [1, 1, 1]


def test_a_torn_npy_is_named(tmp_path: Path) -> None:
    files = tensor_io.save_tensors({"x": np.zeros(1000)}, tmp_path)
    path = Path(files[0].path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"output_0\.npy: not a whole \.npy file"):
        tensor_io.load_inputs(TestSet("s", files))


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    files = tensor_io.save_tensors({"x": np.zeros(1)}, tmp_path / "f")
    Path(files[0].path).write_bytes((tmp_path / "x.npy").read_bytes())
    with pytest.raises(ValueError, match="not a whole"):
        tensor_io.load_inputs(TestSet("s", files))


def test_numpy_helper_agrees_on_what_a_string_tensor_holds() -> None:
    held = numpy_helper.to_array(numpy_helper.from_array(np.array(["ü"], object), "x"))
    assert tensor_io.onnx_type_of(held) == TensorProto.STRING
