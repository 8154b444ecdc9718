"""Verdicts as a CSV, as a table on the terminal with the worst first, and as Markdown for a pull request."""

import math
import textwrap
from collections import Counter
from collections.abc import Sequence

from comparison.cell_summary import UNITS, Metric
from comparison.verdict import (
    Added,
    Broke,
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


def worse(line: Line) -> bool:
    """Whether a line makes the exit status 1."""
    if line.expected:
        return False
    match line.verdict:
        case Broke() | Slower() | Added(_, True):
            return True
        case _:
            return False


def worst_first(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Lines in the order people read them."""
    return tuple(sorted(lines, key=_order))


def rows(lines: Sequence[Line]) -> list[tuple[Value, ...]]:
    """CSV rows under HEADER; what is unknown is None."""
    return [_row(line) for line in worst_first(lines)]


def table(lines: Sequence[Line], width: int, *, everything: bool) -> list[str]:
    """Terminal lines: a verdict each, and below it why; what is worth reading, or everything."""
    shown = _merged([x for x in worst_first(lines) if everything or _telling(x)])
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


def markdown(lines: Sequence[Line], summary: Sequence[str]) -> str:
    """A GitHub-flavoured table of what is worth reading, under the summary."""
    shown = [x for x in worst_first(lines) if _telling(x)]
    out = [*(f"{s}  " for s in summary), ""]
    if shown:
        out += ["| verdict | cell | metric | previous | current | change | why |",
                "|---|---|---|--:|--:|--:|---|"]  # fmt: skip
        out += [
            "| " + " | ".join(_escaped(c) for c in (*cells, why)) + " |"
            for cells, why in _merged(shown)
        ]
    return "\n".join(out) + "\n"


def counts(lines: Sequence[Line]) -> str:
    """How many lines of each verdict, worst first."""
    found = Counter(verdict_name(x.verdict) for x in lines)
    told = [f"{found[tag]} {tag}" for tag in map(tag_of, RANK) if found[tag]]
    return ", ".join(told) or "nothing to compare"


def moved_together(lines: Sequence[Line]) -> str:
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
        f"Nine of ten of the {len(logs)} latencies moved the same way, by {_percent(middle)} in the middle: "
        "that looks like the machine rather than the cells."
    )


def _order(line: Line) -> tuple[int, bool, float, str, int]:
    c = change_of(line.verdict)
    moved = abs(c.log) if c else 0.0
    return (
        RANK.index(type(line.verdict)), bool(line.expected), -moved, line.cell,
        list(Metric).index(line.metric),
    )  # fmt: skip


def _telling(line: Line) -> bool:
    return not isinstance(line.verdict, Same)


def _row(line: Line) -> tuple[Value, ...]:
    c = change_of(line.verdict)
    numbers: tuple[Value, ...] = (None,) * 10
    if c:
        numbers = (
            _digits(c.previous), _digits(c.current), _digits(c.ratio), _digits(c.low), _digits(c.high),
            None if c.detectable is None else _digits(100 * c.detectable), _digits(c.p), c.basis, *c.launches,
        )  # fmt: skip
    return (
        line.cell, line.model, line.target, line.metric.value, verdict_word(line), worse(line),
        UNITS.get(line.metric, ""), *numbers, text_of(line.verdict), "; ".join(line.across),
        "; ".join(line.disturbances), line.expected, line.confirmed,
    )  # fmt: skip


def _merged(lines: Sequence[Line]) -> list[tuple[tuple[str, ...], str]]:
    """Texts of each line, and why. What a cell says alike about several metrics is one line: what cannot
    be compared, what was not measured, and, under the first of its metrics, what is unclear."""
    out: list[tuple[tuple[str, ...], str]] = []
    heads: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        heads.setdefault(_theme(line), []).append(line)
    for alike in heads.values():
        first = min(alike, key=lambda x: list(Metric).index(x.metric))
        cells = list(_cells(first))
        if len(alike) > 1:
            cells[2] += f" and {len(alike) - 1} more"
        out.append((tuple(cells), _why(first)))
    return out


def _theme(line: Line) -> tuple[str, ...]:
    """Lines of one theme are shown as one."""
    match line.verdict:
        case Unclear():
            return "Unclear", line.cell
        case NotComparable() | Removed() | Added():
            return verdict_word(line), line.cell, _why(line)
        case _:
            return verdict_word(line), line.cell, line.metric.value


def _cells(line: Line) -> tuple[str, ...]:
    c = change_of(line.verdict)
    unit = UNITS.get(line.metric, "")
    before = f"{c.previous:.4g} {unit}" if c else ""
    after = f"{c.current:.4g} {unit}" if c else ""
    return verdict_word(line), line.cell, line.metric.value, before, after, _moved(line)


def _moved(line: Line) -> str:
    c = change_of(line.verdict)
    if c is None:
        return ""
    text = _percent(c.log)
    if c.low is not None and c.high is not None:
        text += f" [{_percent(math.log(c.low))}, {_percent(math.log(c.high))}]"
    return text


def _why(line: Line) -> str:
    c = change_of(line.verdict)
    parts = [text_of(line.verdict)]
    if c and c.detectable is not None:
        parts.append(_sight(c.detectable))
    parts += [f"differs in {a}" for a in line.across]
    parts += _both(line.disturbances)
    parts += [f"expected: {line.expected}"] if line.expected else []
    parts += [line.confirmed]
    return "; ".join(p for p in parts if p)


def _both(disturbances: Sequence[str]) -> list[str]:
    """What was seen on both sides alike is told once."""
    sides: dict[str, list[str]] = {}
    for text in disturbances:
        side, _, what = text.partition(": ")
        sides.setdefault(what, []).append(side)
    return [f"{' and '.join(s)}: {what}" for what, s in sides.items()]


def _sight(detectable: float) -> str:
    """The smallest change that could have been seen."""
    if detectable < 1:
        return f"could see {100 * detectable:.1f} %"
    if detectable < 9:
        return f"could see a factor of {1 + detectable:.2g}"
    return "could see next to nothing"


def _percent(log_ratio: float) -> str:
    return f"{100 * math.expm1(log_ratio):+.1f} %"


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
