"""What a person reads of a comparison: what differs, once; a line per cell by importance; reasons, once."""

import math
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from comparison import report
from comparison.cell_summary import Metric
from comparison.verdict import (
    Change,
    Faster,
    Line,
    NotComparable,
    Same,
    Slower,
    Unclear,
    change_of,
    text_of,
    verdict_word,
)
from perf.report.layout import printable

HEADINGS = ("verdict", "metric", "previous", "current", "change", "cell")
NUMBERS = (2, 3, 4)  # columns of HEADINGS that are aligned on the right
NAMED = 3  # cells named per reason
WIDEST = 1.0  # "same within" more than this says nothing
DIGEST = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{4,}\b")


@dataclass(frozen=True)
class CellVerdict:
    """All that was said of a cell (of one of its input shapes, where it was fed several)."""

    head: Line  # the most important
    others: tuple[Line, ...]  # that are worth a word too
    within: Change | None = None  # nothing was told from noise: how much it can be at most

    @property
    def word(self) -> str:
        """The verdict in words: Slower (suspect); Same within 2.1 %."""
        if self.within is not None:
            return f"Same within {100 * reach_of(self.within):.1f} %"
        return verdict_word(self.head)


def reach_of(change: Change) -> float:
    """The largest relative change that its 95 % interval holds, in either direction."""
    return math.expm1(max(abs(math.log(change.low)), abs(math.log(change.high))))


def judge_whole_cells(lines: Sequence[Line]) -> tuple[CellVerdict, ...]:
    """A verdict per cell, the most important first."""
    by_name: dict[str, list[Line]] = {}
    for line in report.sort_worst_first(lines):
        by_name.setdefault(line.name, []).append(line)
    return tuple(
        sorted(
            map(_judge_whole_cell, by_name.values()),
            key=lambda v: (v.within is not None, report.rank(v.head)),
        )
    )


def _judge_whole_cell(mine: Sequence[Line]) -> CellVerdict:
    told = [x for x in mine if not _is_same(x)]
    if told:
        head = min(told, key=lambda x: (report.rank(x)[0], list(Metric).index(x.metric)))
        return CellVerdict(head, tuple(x for x in told if x is not head))
    measured = [(x, c) for x in mine if (c := change_of(x.verdict))]
    if not measured:
        return CellVerdict(mine[0], ())
    head, change = min(measured, key=lambda pair: list(Metric).index(pair[0].metric))
    return CellVerdict(head, (), change)


def _is_same(line: Line) -> bool:
    """No change, or one that its noise explains: what was measured says how large it can be at most."""
    match line.verdict:
        case Same():
            return True
        case Unclear(_, Change() as change, _, False):
            if line.metric is not Metric.P50:
                return True
            return change.low <= 1 <= change.high and reach_of(change) < WIDEST
        case _:
            return False


def describe_sides(previous: str, current: str, found: Sequence[CellVerdict]) -> str:
    """How many cells came to what, in a sentence; where no change was told, how small it must be."""
    ids = len({v.head.cell for v in found})
    cells = f"{ids} cell{'' if ids == 1 else 's'}"
    if len(found) > ids:  # some were fed several
        cells += f", {len(found)} input shapes"
    alike = [reach_of(v.within) for v in found if v.within is not None]
    within = f"ame within {100 * max(alike):.1f} %" if alike else ""
    if alike and len(alike) == len(found):
        return f"{previous} -> {current}: s{within} ({cells})."
    counts = Counter(v.word for v in found if v.within is None)
    told = [f"{n} {word}" for word, n in counts.items()]
    told += [f"{len(alike)} s{within}"] if alike else []
    return f"{previous} -> {current}: {cells}: {', '.join(told) or 'nothing to compare'}."


def list_differences(lines: Sequence[Line]) -> list[str]:
    """What differs between the two sides, each told once, with the flag that makes it the question."""
    cells: dict[str, set[str]] = {}
    asked: set[str] = set()
    for line in lines:
        differing = line.verdict.differing if isinstance(line.verdict, NotComparable) else ()
        asked |= set(differing)
        for text in (*line.across, *differing):
            cells.setdefault(text, set()).add(line.cell)
    total = len({x.cell for x in lines})
    return [
        f"differs in {DIGEST.sub(lambda m: m[1], text)}"
        + ("" if len(mine) == total else f" ({_name(sorted(mine))})")
        + (f"; not compared, unless by --across {text.partition(':')[0]}" if text in asked else "")
        for text, mine in cells.items()
    ]


def format_cells(found: Sequence[CellVerdict], width: int, *, everything: bool) -> list[str]:
    """A line per cell that is worth reading, or of every cell; then why, each reason once."""
    shown = [v for v in found if everything or not _is_quiet(v)]
    if not shown:
        return []
    body = [_texts(v) for v in shown]
    sizes = [max(len(row[i]) for row in (*body, HEADINGS)) for i in range(len(HEADINGS) - 1)]
    out = []
    for row in (HEADINGS, *body):
        texts = [
            t.rjust(n) if i in NUMBERS else t.ljust(n)
            for i, (t, n) in enumerate(zip(row, sizes, strict=False))
        ]
        out.append(printable("  ".join([*texts, row[-1]]).rstrip()))
    for why, names in _group_reasons(shown).items():
        text = printable(f"{_name(names)}: {why}")
        out += textwrap.wrap(
            text, max(width, 40), initial_indent="  ", subsequent_indent="    ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return out


def format_markdown(found: Sequence[CellVerdict], summary: Sequence[str]) -> str:
    """A GitHub-flavoured table of the cells that are worth reading, under the summary."""
    shown = [v for v in found if not _is_quiet(v)]
    out = [*(f"{s}  " for s in summary), ""]
    if shown:
        out += ["| verdict | metric | previous | current | change | cell | why |",
                "|---|---|--:|--:|--:|---|---|"]  # fmt: skip
        out += [
            "| " + " | ".join(_escape_markdown(t) for t in (*_texts(v), _explain(v))) + " |"
            for v in shown
        ]
    return "\n".join(out) + "\n"


def _is_quiet(v: CellVerdict) -> bool:
    return v.within is not None or isinstance(v.head.verdict, Same)


def _texts(v: CellVerdict) -> tuple[str, ...]:
    c, unit = change_of(v.head.verdict), report.find_unit(v.head)
    numbers = (f"{c.previous:.4g} {unit}", f"{c.current:.4g} {unit}") if c else ("", "")
    also = dict.fromkeys(x.metric.value for x in v.others)
    more = f" and {len(also)} more" if also else ""
    change = report.tell_change(v.head.metric, c) if c else ""
    return v.word, v.head.metric.value + more, *numbers, change, v.head.name


def _group_reasons(shown: Sequence[CellVerdict]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for v in shown:
        if why := _explain(v):
            out.setdefault(why, []).append(v.head.name)
    return out


def _explain(v: CellVerdict) -> str:
    line, c = v.head, change_of(v.head.verdict)
    is_claim = isinstance(line.verdict, Slower | Faster)
    parts = [
        "" if isinstance(line.verdict, NotComparable) else text_of(line.verdict),
        _describe_detectable(c.detectable) if c and not is_claim and v.within is None else "",
        *_merge_runs(line.disturbances),
        f"expected: {line.expected}" if line.expected else "",
        line.confirmed,
    ]
    parts += [f"{x.metric.value}: {_shorten(x)}" for x in v.others if not _is_like(x, line)]
    return "; ".join(p for p in parts if p)


def _is_like(other: Line, head: Line) -> bool:
    """Whether another line of the cell has nothing to add to the head's."""
    return verdict_word(other) == verdict_word(head) and change_of(other.verdict) is None


def _shorten(line: Line) -> str:
    c = change_of(line.verdict)
    what = report.tell_change(line.metric, c) if c else text_of(line.verdict)
    return f"{verdict_word(line)} {what}".rstrip()


def _merge_runs(disturbances: Sequence[str]) -> list[str]:
    """What was seen in both runs alike is said once."""
    seen_in: dict[str, list[str]] = {}
    for text in disturbances:
        run, _, what = text.partition(": ")
        seen_in.setdefault(what, []).append(run)
    return [f"{' and '.join(runs)}: {what}" for what, runs in seen_in.items()]


def _name(cells: Sequence[str]) -> str:
    return ", ".join(cells[:NAMED]) + (
        f" and {len(cells) - NAMED} more" if len(cells) > NAMED else ""
    )


def _describe_detectable(detectable: float) -> str:
    """The smallest change that could have been seen."""
    if detectable < 1:
        return f"could see {100 * detectable:.1f} %"
    if detectable < 9:
        return f"could see a factor of {1 + detectable:.2g}"
    return "could see next to nothing"


def _escape_markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
