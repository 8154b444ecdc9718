"""Writes the node tests that the onnx package generates as folders: NAME/model.onnx and its test data."""

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any


def write(folder: Path) -> int:
    """Write every node test as folder/NAME/{model.onnx,test_data_set_0/…}; returns how many there are.

    A folder that is complete already (its `complete` file says so) is left as it is.
    """
    mark = folder / "complete"
    if mark.exists():
        return int(mark.read_text(encoding="ascii"))
    cases = _generated()
    for case in cases:
        _write_case(folder / case.name, case)
    mark.write_text(str(len(cases)), encoding="ascii")
    return len(cases)


def _generated() -> list[Any]:
    """The package's own cases; its generators print and warn, which says nothing about ours."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return list(load_model_tests(kind="node"))


def _write_case(folder: Path, case: Any) -> None:
    graph = case.model.graph
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{number}"
        data.mkdir(exist_ok=True)
        for stem, values, infos in (
            ("input", inputs, graph.input),
            ("output", outputs, graph.output),
        ):
            for i, (value, info) in enumerate(zip(values, infos, strict=True)):
                (data / f"{stem}_{i}.pb").write_bytes(_serialised(value, info))


def _serialised(value: Any, info: Any) -> bytes:
    """A value as the layout stores it: a TensorProto, SequenceProto or OptionalProto."""
    import numpy as np
    from onnx import TensorProto, numpy_helper

    if info.type.HasField("sequence_type"):
        made = numpy_helper.from_list(value, info.name)
    elif info.type.HasField("optional_type"):
        made = numpy_helper.from_optional(value, info.name)
    elif isinstance(value, TensorProto):
        made = value
    else:
        made = numpy_helper.from_array(np.asarray(value), info.name)
    return bytes(made.SerializeToString())
