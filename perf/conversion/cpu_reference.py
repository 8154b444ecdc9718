"""One model on the CPU EP with every graph optimisation off: the yardstick of what is made from it."""

import logging
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Before the import: onnxruntime reads it then, and would start a thread that reports home.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from perf.measure import flat_values, ort_values


def open_session(
    model: Path | bytes,
    *,
    threads: int = 0,
    custom_ops: Iterable[str] = (),
    optimised: bool = False,
) -> Any:
    """An InferenceSession, with these libraries of custom ops; onnxruntime's own exceptions come through."""
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    )
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # its exceptions say what its log would
    for library in custom_ops:
        options.register_custom_ops_library(library)
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def silence_engine() -> None:
    """Keep the engine's and its tools' advice off the terminal; their errors come as exceptions."""
    ort.set_default_logger_severity(4)
    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime.quantization logs on the root


def run_session(session: Any, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs by name, as flat_values tells them, of types that numpy lacks too.

    onnxruntime's own exceptions come through.
    """
    types = {output.name: str(output.type) for output in session.get_outputs()}
    input_types = {i.name: str(i.type) for i in session.get_inputs()}
    given = flat_values.group_inputs(input_types, feed)
    if not any(map(ort_values.NO_NUMPY.search, (*types.values(), *input_types.values()))):
        outputs = session.run(list(types), given)
    else:
        values = {name: ort_values.to_ort_value(array) for name, array in given.items()}
        outputs = session.run_with_ort_values(list(types), values)
    return flat_values.name_outputs(types, outputs, ort_values.to_array)


@dataclass(frozen=True)
class Distance:
    """norm(found - expected) / norm(expected), and the root mean square of found - expected."""

    relative: float
    rms: float


def output_distance(found: np.ndarray, expected: np.ndarray) -> Distance | None:
    """How far one output is from another, in float64; None where the shapes differ.

    Equal where both are NaN or the same infinity, infinite where only one is. An all-zero expectation
    gives the norm of what was found.
    """
    apart = Distance(math.inf, math.inf)
    if found.shape != expected.shape:
        return None
    if expected.dtype.kind not in "fciub":
        return Distance(0.0, 0.0) if np.array_equal(found, expected) else apart
    got, want = found.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return apart
    if not np.isfinite(got[finite]).all():
        return apart
    size = float(np.linalg.norm(want[finite]))
    error = float(np.linalg.norm(got[finite] - want[finite]))
    return Distance(error / size if size else error, error / math.sqrt(max(1, finite.sum())))
