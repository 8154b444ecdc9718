"""What trtexec writes, read by label and never by position: its summary, times, outputs and complaints."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
_METRICS = ("Latency", "Enqueue Time", "H2D Latency", "GPU Compute Time", "D2H Latency")
_METRIC = re.compile(rf"\[I\]\s+({'|'.join(_METRICS)}):\s+(min = .*)$", re.MULTILINE)
_STATISTIC = re.compile(rf"(min|max|mean|median|percentile\({_NUMBER}%\)) = ({_NUMBER}) ms")
_THROUGHPUT = re.compile(rf"\[I\]\s+Throughput:\s+({_NUMBER}) qps")
_WARMUPS = re.compile(rf"\[I\]\s+Warmup completed ({_NUMBER}) queries")
_QUERIES = re.compile(rf"\[I\]\s+Timing trace has ({_NUMBER}) queries")
_STAMP = re.compile(r"^\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\]\s*")
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemory|insufficient (?:device )?memory|cudaErrorMemoryAllocation", re.I
)
_OUTPUT = re.compile(
    r'\{\s*"name"\s*:\s*"(?P<name>.*?)"\s*\n\s*,\s*"dimensions"\s*:\s*"(?P<dims>[^"]*)"\s*\n'
    r'\s*,\s*"values"\s*:\s*\[(?P<values>[^\]]*?)\]',
)
_FINAL = re.compile(r"Final shape is (\S*) reported by the output allocator\.\s*")
# 8.4 and before called the transfers "in" and "out"
_FIELDS = (("latencyMs",), ("h2dMs", "inMs"), ("computeMs",), ("d2hMs", "outMs"))


class BadOutputError(ValueError):
    """trtexec wrote something that cannot be what it says; the message says what, in one line."""


@dataclass(frozen=True)
class Summary:
    """The printed summary: statistics in ms by metric; counts are None where a line is missing."""

    metrics: Mapping[str, Mapping[str, float]]
    throughput_qps: float | None
    warmups: int | None
    queries: int | None


@dataclass(frozen=True)
class Iteration:
    """One timed request, in ms on the device's clock; latency is the sum of the three."""

    latency_ms: float
    h2d_ms: float
    compute_ms: float
    d2h_ms: float


def summary(text: str) -> Summary:
    """Read the performance summary wherever its lines are, and whatever stands between them.

    The command's own echo, which holds words such as "--percentile", is not taken for a result.
    """
    metrics = {
        m.group(1): {s.group(1): number(s.group(2)) for s in _STATISTIC.finditer(m.group(2))}
        for m in _METRIC.finditer(text)
    }
    throughput = _THROUGHPUT.search(text)
    return Summary(
        metrics,
        number(throughput.group(1)) if throughput else None,
        _count(_WARMUPS, text),
        _count(_QUERIES, text),
    )


def number(text: str) -> float:
    """A number as C++ prints it, with or without the thousands separators of a locale."""
    return float(text.replace(",", ""))


def times(text: str) -> tuple[Iteration, ...]:
    """Read --exportTimes; raises BadOutputError for a file that is torn, empty or not times."""
    try:
        rows = json.loads(text)
        out = tuple(Iteration(*(_field(row, *k) for k in _FIELDS)) for row in rows)
    except json.JSONDecodeError as e:
        raise BadOutputError(f"trtexec's times file is torn at character {e.pos}") from e
    except (KeyError, TypeError, ValueError) as e:
        raise BadOutputError(f"trtexec's times file has no {e} in a row") from e
    if not out:
        raise BadOutputError("trtexec's times file holds no iteration")
    if not all(math.isfinite(i.latency_ms) and i.latency_ms > 0 for i in out):
        raise BadOutputError("trtexec's times file holds a time that is not positive")
    return out


def outputs(text: str, types: Mapping[str, str]) -> dict[str, "np.ndarray"]:
    """Read --exportOutput into arrays of the types named (float32 else); raises BadOutputError.

    trtexec prints six significant digits and C's nan and inf, which is why this is no JSON parser. A shape
    that depends on the data is printed among the values.
    """
    out = {
        m["name"]: _array(m["name"], m["dims"], m["values"], types) for m in _OUTPUT.finditer(text)
    }
    if not text.rstrip().endswith("]"):
        raise BadOutputError("trtexec's outputs file is torn: it does not end with ]")
    if missing := [n for n in types if n not in out]:
        raise BadOutputError(f"trtexec wrote no output {missing[0]!r}")
    return out


def problem(text: str) -> str:
    """The errors that trtexec printed, in one line; "" where there are none."""
    lines = [_STAMP.sub("", line) for line in text.splitlines()]
    errors = [line.removeprefix("[E]").strip() for line in lines if line.startswith("[E]")]
    return " | ".join(dict.fromkeys(e for e in errors if e))[:1500]


def out_of_memory(text: str) -> str:
    """The error line that tells of exhausted device memory; "" where none does.

    A tactic skipped for want of memory is a warning of a build that goes on, and is not meant.
    """
    lines = (_STAMP.sub("", line) for line in text.splitlines())
    return next((x for x in lines if x.startswith("[E]") and _OUT_OF_MEMORY.search(x)), "")


def failed(text: str) -> bool:
    """Whether trtexec's last word is that it failed, whatever its exit status."""
    words = [line for line in text.splitlines() if line.startswith("&&&& ")]
    return bool(words) and words[-1].startswith("&&&& FAILED")


def _field(row: Mapping[str, float], *names: str) -> float:
    return float(next((row[n] for n in names if n in row), None) or row[names[0]])


def _count(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return int(number(found.group(1))) if found else None


def _array(name: str, dims: str, values: str, types: Mapping[str, str]) -> "np.ndarray":
    import numpy as np

    if final := _FINAL.search(values):
        dims, values = final.group(1), _FINAL.sub("", values)
    shape = _shape(name, dims)
    bfloat16 = types.get(name) == "bfloat16"
    wanted = np.dtype("float32" if bfloat16 else types.get(name, "float32"))
    whole = wanted.kind in "iub"
    words = values.replace("\n", " ").split(",") if values.strip() else []
    try:
        flat = np.array([w.strip() for w in words]).astype(np.int64 if whole else np.float64)
    except ValueError as e:
        raise BadOutputError(f"output {name!r}: {e}") from e
    if flat.size != math.prod(shape):
        raise BadOutputError(
            f"output {name!r} has {flat.size} values for a shape of {dims or 'scalar'}"
        )
    array = flat.astype(wanted).reshape(shape)
    if bfloat16:  # numpy has none: its bits, rounded from the digits that were printed
        return ((array.view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint16)
    return array


def _shape(name: str, dims: str) -> Sequence[int]:
    words = [w for w in re.split(r"[x,\s()\[\]]+", dims) if w]
    if not all(w.isdigit() for w in words):
        raise BadOutputError(f"output {name!r} has a shape of {dims!r}")
    return tuple(int(w) for w in words)
