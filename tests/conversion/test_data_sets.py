from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from perf.conversion import data_sets
from perf.conversion.errors import UserError


def test_a_set_comes_back_by_name_whatever_the_order(tmp_path: Path) -> None:
    numbers = np.arange(3, dtype=np.int64)
    inputs = {"b": numbers, "a": np.float32(2.5)}
    data_sets.write_set(tmp_path / "test_data_set_0", inputs, {"y": np.ones(2)})
    found = data_sets.read_tensors(tmp_path / "test_data_set_0", "input", ["a", "b"])
    assert np.array_equal(found["b"], numbers)
    assert found["a"].shape == ()
    assert found["a"] == np.float32(2.5)


def test_unnamed_tensors_go_by_position_and_ten_comes_after_nine(tmp_path: Path) -> None:
    data_set = tmp_path / "test_data_set_0"
    data_set.mkdir()
    for number in range(12):
        tensor = numpy_helper.from_array(np.array(number))
        (data_set / f"input_{number}.pb").write_bytes(tensor.SerializeToString())
    names = [f"n{number}" for number in range(12)]
    found = data_sets.read_tensors(data_set, "input", names)
    assert [int(found[name]) for name in names] == list(range(12))


def test_digits_in_a_parent_folder_do_not_disturb_the_order(tmp_path: Path) -> None:
    folder = tmp_path / "model7"
    for number in (10, 2, 1):
        (folder / f"test_data_set_{number}").mkdir(parents=True)
    assert [path.name for path in data_sets.find_sets(folder)] == [
        "test_data_set_1",
        "test_data_set_2",
        "test_data_set_10",
    ]


def test_a_damaged_tensor_is_named(tmp_path: Path) -> None:
    (tmp_path / "input_0.pb").write_bytes(b"\xff\xff")
    with pytest.raises(UserError, match=r"input_0\.pb: not a readable TensorProto"):
        data_sets.read_tensors(tmp_path, "input", ["x"])


def test_more_files_than_inputs_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"input_{number}.pb").write_bytes(
            numpy_helper.from_array(np.zeros(1)).SerializeToString()
        )
    with pytest.raises(UserError, match="the model has only 1 inputs"):
        data_sets.read_tensors(tmp_path, "input", ["x"])


def test_two_files_for_one_input_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        tensor: onnx.TensorProto = numpy_helper.from_array(np.zeros(1), "x")
        (tmp_path / f"input_{number}.pb").write_bytes(tensor.SerializeToString())
    with pytest.raises(UserError, match="a second tensor for input 'x'"):
        data_sets.read_tensors(tmp_path, "input", ["x", "y"])
