"""Verdicts as a CSV, as a table on the terminal with the worst first, and as Markdown for a pull request."""

import math
import textwrap
from collections import Counter
from collections.abc import Sequence

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
    verdict_name,
    verdict_word,
)
from perf.report.layout import printable
from perf.results.columns import Value
from perf.schema.codec import tag_of

HEADER = (
    "cell", "model", "target", "metric", "verdict", "worse", "unit", "previous", "current", "ratio", "low",
    "high", "detectable_pct", "p", "basis", "launches_previous", "launches_current", "why", "across",
    "noise_seen", "expected", "confirmed",
)  # fmt: skip
HEADINGS = ("verdict", "metric", "previous", "current", "change", "cell")
NUMBERS = (2, 3, 4)  # columns of HEADINGS that are aligned on the right
# Worst first; within one kind by how much changed.
RANK: tuple[type[Verdict], ...] = (
    Broke, Slower, Removed, Unclear, NotComparable, Added, Fixed, Faster, Same,
)  # fmt: skip


def is_worse(line: Line) -> bool:
    """Whether a line makes the exit status 1."""
    match line.verdict:
        case Broke() | Slower() | Added(_, True):
            return not line.expected
        case _:
            return False


def sort_worst_first(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Lines in the order people read them."""
    return tuple(sorted(lines, key=_rank))


def make_rows(lines: Sequence[Line]) -> list[tuple[Value, ...]]:
    """CSV rows under HEADER; what is unknown is None."""
    return [_make_row(line) for line in sort_worst_first(lines)]


def format_table(lines: Sequence[Line], width: int, *, everything: bool) -> list[str]:
    """Terminal lines: a verdict each, and below it why; what is worth reading, or everything."""
    shown = _merge_alike(
        [x for x in sort_worst_first(lines) if everything or _is_worth_reading(x)]
    )
    if not shown:
        return []
    body = tuple((c[0], c[2], *c[3:6], c[1]) for c, _ in shown)
    sizes = [max(len(row[i]) for row in (*body, HEADINGS)) for i in range(len(HEADINGS) - 1)]
    out = []
    for row, why in zip((HEADINGS, *body), ("", *(why for _, why in shown)), strict=True):
        texts = [
            t.rjust(n) if i in NUMBERS else t.ljust(n)
            for i, (t, n) in enumerate(zip(row, sizes, strict=False))
        ]
        out.append(printable("  ".join([*texts, row[-1]]).rstrip()))
        if why:
            out += textwrap.wrap(
                printable(why), max(width, 40), initial_indent="    ", subsequent_indent="    "
            )
    return out


def format_markdown(lines: Sequence[Line], summary: Sequence[str]) -> str:
    """A GitHub-flavoured table of what is worth reading, under the summary."""
    shown = [x for x in sort_worst_first(lines) if _is_worth_reading(x)]
    out = [*(f"{s}  " for s in summary), ""]
    if shown:
        out += ["| verdict | cell | metric | previous | current | change | why |",
                "|---|---|---|--:|--:|--:|---|"]  # fmt: skip
        out += [
            "| " + " | ".join(_escape_markdown(c) for c in (*cells, why)) + " |"
            for cells, why in _merge_alike(shown)
        ]
    return "\n".join(out) + "\n"


def count_verdicts(lines: Sequence[Line]) -> str:
    """How many lines of each verdict, worst first."""
    found = Counter(verdict_name(x.verdict) for x in lines)
    counts = [f"{found[tag]} {tag}" for tag in map(tag_of, RANK) if found[tag]]
    return ", ".join(counts) or "nothing to compare"


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
        f"Nine of ten of the {len(logs)} latencies moved the same way, by {_format_percent(middle)} "
        "in the middle: that looks like the machine rather than the cells."
    )


def _rank(line: Line) -> tuple[int, bool, float, str, int]:
    c = change_of(line.verdict)
    kind, metric = RANK.index(type(line.verdict)), list(Metric).index(line.metric)
    return kind, bool(line.expected), -abs(c.log) if c else 0.0, line.cell, metric


def _is_worth_reading(line: Line) -> bool:
    return not isinstance(line.verdict, Same)


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
        "; ".join(line.disturbances), line.expected, line.confirmed,
    )  # fmt: skip


def _merge_alike(lines: Sequence[Line]) -> list[tuple[tuple[str, ...], str]]:
    """Texts of each line, and why. What a cell says alike about several metrics is one line: what cannot
    be compared, what was not measured, and, under the first of its metrics, what is unclear."""
    out: list[tuple[tuple[str, ...], str]] = []
    themes: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        themes.setdefault(_find_theme(line), []).append(line)
    for alike in themes.values():
        head = min(alike, key=lambda x: list(Metric).index(x.metric))
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        out.append((_format_cells(head, more), _explain(head)))
    return out


def _find_theme(line: Line) -> tuple[str, ...]:
    """Lines of one theme are shown as one."""
    match line.verdict:
        case Unclear():
            return "Unclear", line.cell
        case NotComparable() | Removed() | Added():
            return verdict_word(line), line.cell, _explain(line)
        case _:
            return verdict_word(line), line.cell, line.metric.value


def _format_cells(line: Line, more: str) -> tuple[str, ...]:
    c, unit = change_of(line.verdict), find_unit(line)
    numbers = (f"{c.previous:.4g} {unit}", f"{c.current:.4g} {unit}") if c else ("", "")
    metric = line.metric.value + more
    return verdict_word(line), line.cell, metric, *numbers, _format_change(c) if c else ""


def _format_change(c: Change) -> str:
    low, high = _format_percent(math.log(c.low)), _format_percent(math.log(c.high))
    return f"{_format_percent(c.log)} [{low}, {high}]"


def _explain(line: Line) -> str:
    c = change_of(line.verdict)
    parts = [
        text_of(line.verdict),
        _describe_detectable(c.detectable) if c else "",
        *(f"differs in {a}" for a in line.across),
        *_merge_runs(line.disturbances),
        f"expected: {line.expected}" if line.expected else "",
        line.confirmed,
    ]
    return "; ".join(p for p in parts if p)


def _merge_runs(disturbances: Sequence[str]) -> list[str]:
    """What was seen in both runs alike is said once."""
    seen_in: dict[str, list[str]] = {}
    for text in disturbances:
        run, _, what = text.partition(": ")
        seen_in.setdefault(what, []).append(run)
    return [f"{' and '.join(runs)}: {what}" for what, runs in seen_in.items()]


def find_unit(line: Line) -> str:
    """Of the numbers that a verdict compares; "" for plain facts."""
    if line.metric is Metric.ACCURACY:
        return "relative norm"
    return MEASURED[line.metric].unit if line.metric in MEASURED else ""


def _describe_detectable(detectable: float) -> str:
    """The smallest change that could have been seen."""
    if detectable < 1:
        return f"could see {100 * detectable:.1f} %"
    if detectable < 9:
        return f"could see a factor of {1 + detectable:.2g}"
    return "could see next to nothing"


def _format_percent(log_ratio: float) -> str:
    return f"{100 * math.expm1(log_ratio):+.1f} %"


def _round_digits(value: float) -> float:
    return float(f"{value:.6g}")


def _escape_markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
