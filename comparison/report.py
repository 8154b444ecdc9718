"""Verdicts as rows of a CSV, the worst first, and what makes a gate close."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from comparison.cell_summary import Metric
from comparison.noise import MEASURED
from comparison.verdict import (
    Added,
    Broke,
    Change,
    Faster,
    Fixed,
    Line,
    NotComparable,
    Removed,
    Same,
    Slower,
    Unclear,
    Verdict,
    change_of,
    text_of,
    verdict_word,
)
from perf.report.factors import tell_factor, tell_interval
from perf.results.columns import Value

HEADER = (
    "cell", "model", "target", "metric", "verdict", "worse", "unit", "previous", "current", "ratio", "low",
    "high", "detectable_pct", "p", "basis", "launches_previous", "launches_current", "why", "across",
    "noise_seen", "expected", "confirmed", "shapes",
)  # fmt: skip
# Worst first; within one kind by how much changed.
RANK: tuple[type[Verdict], ...] = (
    Broke, Slower, Removed, Unclear, NotComparable, Added, Fixed, Faster, Same,
)  # fmt: skip
_RANKS = {kind: at for at, kind in enumerate(RANK)}
_METRICS = {metric: at for at, metric in enumerate(Metric)}


def is_worse(line: Line) -> bool:
    """Whether a line makes the exit status 1."""
    match line.verdict:
        case Broke() | Slower() | Added(_, True):
            return not line.expected
        case _:
            return False


def describe_nothing_comparable(lines: Sequence[Line]) -> str:
    """Why a gate must not open: none of what was measured could be compared; "" where something could."""
    asked = [x for x in lines if x.metric is not Metric.STATUS] or list(lines)
    if any(not isinstance(x.verdict, NotComparable | Added | Removed) for x in asked):
        return ""
    reasons = Counter(text_of(x.verdict) for x in asked if isinstance(x.verdict, NotComparable))
    if reasons:
        return f"nothing was comparable: {reasons.most_common(1)[0][0]}"
    return "nothing was comparable: no cell was measured on both sides"


def sort_worst_first(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Lines in the order people read them."""
    return tuple(sorted(lines, key=rank))


def make_rows(lines: Sequence[Line]) -> Iterator[tuple[Value, ...]]:
    """CSV rows under HEADER; what is unknown is None."""
    return map(_make_row, sort_worst_first(lines))


def describe_common_shift(lines: Sequence[Line]) -> str:
    """A remark where most cells moved alike: that is the machine's doing. "" where they did not."""
    logs = sorted(
        c.log
        for x in lines
        if x.metric is Metric.P50 and (c := change_of(x.verdict)) and c.basis == "stored"
    )
    if len(logs) < 5:
        return ""
    low, middle, high = (logs[round(q * (len(logs) - 1))] for q in (0.1, 0.5, 0.9))
    if abs(middle) < math.log(1.02) or low * high <= 0:
        return ""
    return (
        f"Nine of ten of the {len(logs)} latencies moved the same way, "
        f"{tell_ratio(Metric.P50, math.exp(middle))} in the middle: that looks like the machine "
        "rather than the cells."
    )


def rank(line: Line) -> tuple[int, bool, float, str, int]:
    """The worse the smaller."""
    c = change_of(line.verdict)
    kind, metric = _RANKS[type(line.verdict)], _METRICS[line.metric]
    return kind, bool(line.expected), -abs(c.log) if c else 0.0, line.name, metric


def _make_row(line: Line) -> tuple[Value, ...]:
    c = change_of(line.verdict)
    numbers: tuple[Value, ...] = (None,) * 10
    if c:
        figures = (c.previous, c.current, c.ratio, c.low, c.high, 100 * c.detectable)
        p = None if c.p is None else _round_digits(c.p)
        numbers = (*map(_round_digits, figures), p, c.basis, *c.launches)
    return (
        line.cell, line.model, line.target, line.metric.value, verdict_word(line), is_worse(line),
        find_unit(line), *numbers, text_of(line.verdict), "; ".join(line.across),
        "; ".join(line.disturbances), line.expected, line.confirmed, line.shapes,
    )  # fmt: skip


def find_unit(line: Line) -> str:
    """Of the numbers that a verdict compares; "" for plain facts."""
    if line.metric is Metric.ACCURACY:
        return "relative norm"
    return MEASURED[line.metric].unit if line.metric in MEASURED else ""


def tell_change(metric: Metric, c: Change) -> str:
    """How much a metric changed, with its 95 % interval: 1.60 × slower [1.47, 1.75]."""
    return f"{tell_ratio(metric, c.ratio)} {tell_interval(c.low, c.high, c.ratio, fine=True)}"


def tell_ratio(metric: Metric, ratio: float) -> str:
    """Current over previous in words: 1.60 × slower, 2 × larger."""
    is_memory = metric in (Metric.HOST_MEMORY, Metric.GPU_MEMORY)
    more, less = ("larger", "smaller") if is_memory else ("slower", "faster")
    return tell_factor(ratio, more, less, fine=True)


def _round_digits(value: float) -> float:
    return float(f"{value:.6g}")
