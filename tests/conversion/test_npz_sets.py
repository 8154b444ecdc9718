"""A user's .npz as a test set: arrays by name, by number or stacked, and files that are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from perf.conversion import data_sets
from perf.conversion.errors import BadModel
from perf.conversion.signature import Signature, read_signature
from perf.request.model_list import find_test_sets
from perf.request.stored_data import digest_test_data
from tests import models
from tests.inprocess.asking import f32

A, B, SUM = f32([1, 2]), f32([3, 5]), f32([4, 7])


def adder(folder: Path) -> Signature:
    """total = a + b."""
    node = helper.make_node("Add", ["a", "b"], ["total"])
    shapes = {"a": (2,), "b": (2,)}
    return read_signature(models.write(folder, [node], shapes, {"total": (2,)}, []) / "model.onnx")


@pytest.mark.parametrize(
    "arrays",
    [
        {"b": B, "a": A, "total": SUM},
        {"input_0": A, "input_1": B, "output_0": SUM},
        {"inputs": np.array([A, B]), "outputs": np.array([SUM])},
    ],
)
def test_a_user_feeds_an_npz_with_its_outputs(arrays: dict[str, Any], tmp_path: Path) -> None:
    signature, file = adder(tmp_path / "m"), tmp_path / "data.npz"
    np.savez(file, **arrays)
    fed = data_sets.read_inputs(file, signature)
    assert {name: array.tolist() for name, array in fed.items()} == {"a": [1, 2], "b": [3, 5]}
    expected = data_sets.read_outputs(file, signature)
    assert {name: array.tolist() for name, array in expected.items()} == {"total": [4, 7]}


def test_numpys_wide_numbers_are_narrowed_and_that_is_said(tmp_path: Path) -> None:
    node = helper.make_node("Cast", ["ids"], ["y"], to=TensorProto.FLOAT)
    more = helper.make_node("Relu", ["x"], ["z"])
    folder = models.write(
        tmp_path / "m", [node, more], {"ids": (2,), "x": (2,)}, {"y": (2,), "z": (2,)}, [],
        kinds={"ids": TensorProto.INT32},
    )  # fmt: skip
    signature, file = read_signature(folder / "model.onnx"), tmp_path / "data.npz"
    np.savez(file, ids=np.array([1, 2]), x=np.array([0.5, 0.25]))
    paired = data_sets.pair_inputs(file, signature)
    assert [array.dtype.name for array in paired.tensors.values()] == ["int32", "float32"]
    assert paired.notes == (
        "'ids' cast from int64 to int32",
        "'x' cast from float64 to float32",
    )
    np.savez(file, ids=np.array([1, 1 << 40]), x=np.array([0.5, 0.25]))
    with pytest.raises(BadModel, match="'ids' is int32 in the model, int64 in the test data"):
        data_sets.pair_inputs(file, signature)


def test_an_npz_that_cannot_be_fed_is_named(tmp_path: Path) -> None:
    signature, file = adder(tmp_path / "m"), tmp_path / "data.npz"
    np.savez(file, a=A, c=B)
    with pytest.raises(BadModel, match=r"data\.npz: 'c' is no input .*; its inputs are 'a', 'b'"):
        data_sets.read_inputs(file, signature)
    np.savez(file, a=np.array([{"a": 1}], object), b=B)
    with pytest.raises(BadModel, match="holds Python objects, which are never loaded; save one"):
        data_sets.read_inputs(file, signature)
    whole = file.read_bytes()
    for damaged in (whole[:-40], b"", b"PK\3\4 and no more"):
        file.write_bytes(damaged)
        with pytest.raises(BadModel, match=r"not a whole \.npz file"):
            data_sets.read_inputs(file, signature)


def test_the_old_zoos_npz_are_the_sets_where_there_are_no_folders(tmp_path: Path) -> None:
    for number in (10, 9):
        np.savez(tmp_path / f"test_data_{number}.npz", inputs=np.array([A, B]))
    assert [p.name for p in find_test_sets(tmp_path)] == ["test_data_9.npz", "test_data_10.npz"]
    before = digest_test_data(tmp_path)
    np.savez(tmp_path / "test_data_10.npz", inputs=np.array([A, A]))
    assert digest_test_data(tmp_path) not in ("", before)
    (tmp_path / "test_data_set_0").mkdir()
    assert [p.name for p in find_test_sets(tmp_path)] == ["test_data_set_0"]
