"""JSON that somebody else wrote: no number beyond int64, no deep nesting, inf and nan where allowed."""

import json
import math
import re
from typing import Any

_INT64 = 1 << 63
_LONG = re.compile(
    r"(?:^|[:,\[\s-])[0-9]{19}"
)  # 2^63 has as many digits; after this a number begins
_DIGITS = 21  # of the longest int64, with its sign, and one more


def parse(text: str | bytes, *, finite: bool = False) -> Any:
    """Read one document; raises ValueError with what is wrong. `finite` refuses inf and nan too."""
    try:
        if finite:
            return json.loads(
                text, parse_int=_int64, parse_float=_finite, parse_constant=_refuse_constant
            )
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text), "surrogatepass")
        if not _LONG.search(text):
            return json.loads(text)  # without a call for each number
        return json.loads(text, parse_int=_int64)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _int64(text: str) -> int:
    number = int(text) if len(text) < _DIGITS else _INT64
    if not -_INT64 <= number < _INT64:
        raise ValueError(f"the number {text:.24} is beyond int64")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text:.24} is not finite")
    return number


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a finite number")
