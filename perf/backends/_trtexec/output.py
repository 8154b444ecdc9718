"""What trtexec writes, read by label and never by position: times, outputs, warm-up and errors."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_WARMUPS = re.compile(r"\[I\]\s+Warmup completed ([\d,]*\d) queries")
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
_FIELDS = (("latencyMs", ""), ("h2dMs", "inMs"), ("computeMs", ""), ("d2hMs", "outMs"))


class BadOutputError(ValueError):
    """trtexec wrote something that cannot be what it says; the message says what, in one line."""


@dataclass(frozen=True)
class Iteration:
    """One timed request, in ms on the device's clock; latency is the sum of the three."""

    latency_ms: float
    h2d_ms: float
    compute_ms: float
    d2h_ms: float


def warmup_requests(text: str) -> int:
    """How many requests it warmed up with; 0 where it does not say."""
    found = _WARMUPS.search(text)
    return int(found.group(1).replace(",", "")) if found else 0  # a locale may separate thousands


def parse_times(text: str) -> tuple[Iteration, ...]:
    """Read --exportTimes; raises BadOutputError for a file that is torn, empty or not times."""
    try:
        rows = json.loads(text)
        out = tuple(
            Iteration(*(float(row[old if old in row else name]) for name, old in _FIELDS))
            for row in rows
        )
    except json.JSONDecodeError as e:
        raise BadOutputError(f"trtexec's times file is torn at character {e.pos}") from e
    except (KeyError, TypeError, ValueError) as e:
        raise BadOutputError(f"trtexec's times file has no {e} in a row") from e
    if not out:
        raise BadOutputError("trtexec's times file holds no iteration")
    for i in out:
        if not (all(map(math.isfinite, astuple(i))) and min(i.latency_ms, i.compute_ms) > 0):
            raise BadOutputError("trtexec's times file holds a time that is not positive")
    return out


def parse_outputs(text: str, types: Mapping[str, str]) -> dict[str, "np.ndarray"]:
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


def errors_text(text: str) -> str:
    """The errors that trtexec printed, in one line; "" where there are none."""
    lines = [_STAMP.sub("", line) for line in text.splitlines()]
    errors = [line.removeprefix("[E]").strip() for line in lines if line.startswith("[E]")]
    return " | ".join(dict.fromkeys(e for e in errors if e))[:1500]


def memory_error(text: str) -> str:
    """The error line that tells of exhausted device memory; "" where none does.

    A tactic skipped for want of memory is a warning of a build that goes on, and is not meant.
    """
    lines = (_STAMP.sub("", line) for line in text.splitlines())
    return next((x for x in lines if x.startswith("[E]") and _OUT_OF_MEMORY.search(x)), "")


def reports_failure(text: str) -> bool:
    """Whether trtexec's last word is that it failed, whatever its exit status."""
    words = [line for line in text.splitlines() if line.startswith("&&&& ")]
    return bool(words) and words[-1].startswith("&&&& FAILED")


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
