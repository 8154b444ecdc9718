"""Test data sets in the zoo's layout: test_data_set_N/{input,output}_M.pb, read and written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from perf.conversion.errors import UserError

Tensors = dict[str, npt.NDArray[np.generic]]


def find_sets(folder: Path) -> list[Path]:
    """The `test_data*` folders directly below `folder`, in the order of the numbers in their names."""
    if not folder.is_dir():
        return []
    sets = (
        path for path in folder.iterdir() if path.is_dir() and path.name.startswith("test_data")
    )
    return sorted(sets, key=_natural)


def tensor_files(data_set: Path, kind: str) -> list[Path]:
    """The set's `input*.pb` or `output*.pb` files; input_10 comes after input_9."""
    return sorted(data_set.glob(f"{kind}*.pb"), key=_natural)


def read_tensors(data_set: Path, kind: str, names: Sequence[str]) -> Tensors:
    """The set's tensors by the model's names: by the name stored in each file, else by position.

    Raises UserError for an unreadable file, or where files and names do not match up.
    """
    found: Tensors = {}
    for position, path in enumerate(tensor_files(data_set, kind)):
        tensor = onnx.TensorProto()
        try:
            tensor.ParseFromString(path.read_bytes())
            array = numpy_helper.to_array(tensor)
        except Exception as error:  # protobuf's and numpy's errors share no other base
            raise UserError(f"{path}: not a readable TensorProto ({error})") from error
        name = tensor.name
        if name not in names:
            if position >= len(names):
                raise UserError(f"{path}: the model has only {len(names)} {kind}s")
            name = names[position]
        if name in found:
            raise UserError(f"{path}: a second tensor for {kind} {name!r}")
        found[name] = array
    return found


def write_set(data_set: Path, inputs: Mapping[str, object], outputs: Mapping[str, object]) -> None:
    """Write one set; each file carries its tensor's name, so that order never matters."""
    data_set.mkdir(parents=True, exist_ok=True)  # an archive may hold the folder and no data
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for position, (name, array) in enumerate(tensors.items()):
            tensor = numpy_helper.from_array(np.asarray(array), name)
            (data_set / f"{kind}_{position}.pb").write_bytes(tensor.SerializeToString())


def _natural(path: Path) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", path.name)], path.name
