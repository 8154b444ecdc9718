"""One model on the CPU EP with every graph optimisation off: this package's yardstick."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# Before the import: onnxruntime reads it then, and would start a thread that reports home.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

Array = npt.NDArray[np.generic]


def open_session(path: Path) -> Any:
    """An InferenceSession; onnxruntime's own exceptions come through."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # its exceptions say what its log would
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(session: Any, feed: Mapping[str, object]) -> dict[str, Array]:
    """The outputs by name; onnxruntime's own exceptions come through."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feed)), strict=True))


def reason(error: BaseException) -> str:
    """An engine's exception as one line, cut to what a person reads."""
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else text[:400] + " …"


def relative_difference(found: Array, expected: Array) -> float | None:
    """norm(found - expected) / norm(expected), in float64; None where the shapes differ.

    Where both are NaN or the same infinity they agree; where only one is, the result is infinite.
    An all-zero expectation is compared by the norm of what was found.
    """
    if found.shape != expected.shape:
        return None
    if expected.dtype.kind not in "fciub":
        return 0.0 if np.array_equal(found, expected) else float("inf")
    got, want = found.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return float("inf")
    if not np.isfinite(got[finite]).all():
        return float("inf")
    size = float(np.linalg.norm(want[finite]))
    distance = float(np.linalg.norm(got[finite] - want[finite]))
    return distance / size if size else distance
