"""The nine things a comparison can say of a cell and a metric, each with the evidence it rests on."""

import math
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from comparison.cell_summary import Metric
from perf.schema.codec import tag_of, with_tag


@dataclass(frozen=True, slots=True)
class Change:
    """A ratio current/previous; what could be known of it, and how it was weighed."""

    ratio: float
    low: float  # 95 % interval
    high: float
    detectable: float  # smallest relative change seen in 80 % of such data; 0.05 is 5 %
    p: float | None  # one-sided probability of so large a ratio without any change
    basis: str  # paired, canary, stored: what the noise was judged by
    previous: float  # what the ratio is of, so not always what the tables show
    current: float
    launches: tuple[int, int]

    @property
    def log(self) -> float:
        """Natural logarithm of the ratio."""
        return math.log(self.ratio)


@with_tag("Same")
@dataclass(frozen=True, slots=True)
class Same:
    """No change beyond the threshold was seen; the evidence says how small a one could have been."""

    change: Change | None = None
    note: str = ""


@with_tag("Faster")
@dataclass(frozen=True, slots=True)
class Faster:
    """A measured quantity fell (time or memory)."""

    change: Change
    suspect: bool
    note: str = ""


@with_tag("Slower")
@dataclass(frozen=True, slots=True)
class Slower:
    """A measured quantity rose (time or memory)."""

    change: Change
    suspect: bool
    note: str = ""


@with_tag("Unclear")
@dataclass(frozen=True, slots=True)
class Unclear:
    """More than the threshold, and less than the noise; or no evidence to judge by."""

    why: str
    change: Change | None = None
    launches_needed: int | None = None
    suspect: bool = False  # beyond the noise, on a machine too busy to believe it


@with_tag("Broke")
@dataclass(frozen=True, slots=True)
class Broke:
    """It passed and fails now, or its outputs or its placement got worse."""

    what: str


@with_tag("Fixed")
@dataclass(frozen=True, slots=True)
class Fixed:
    """It failed and passes now, or its outputs or its placement got better."""

    what: str


@with_tag("Added")
@dataclass(frozen=True, slots=True)
class Added:
    """Only the current run has this; `fails`: and it failed, which is a new failure."""

    what: str = ""
    fails: bool = False


@with_tag("Removed")
@dataclass(frozen=True, slots=True)
class Removed:
    """Only the previous run has an answer to this."""

    what: str = ""


@with_tag("NotComparable")
@dataclass(frozen=True, slots=True)
class NotComparable:
    """The two runs did not measure the same thing."""

    why: str
    differing: tuple[str, ...] = ()  # in what: field: previous -> current


Verdict: TypeAlias = (
    Same | Faster | Slower | Unclear | Broke | Fixed | Added | Removed | NotComparable
)


@dataclass(frozen=True, slots=True)
class Line:
    """One verdict: of a cell, about a metric."""

    cell: str
    model: str
    target: str
    metric: Metric
    verdict: Verdict
    across: tuple[str, ...] = ()  # fields that differ because they are the question
    disturbances: tuple[str, ...] = ()
    expected: str = ""  # why this is no surprise, with its link; "": it is not expected
    confirmed: str = ""  # what an interleaved re-run said of a suspect
    shapes: str = ""  # x=8x512, where the cell was fed several

    @property
    def name(self) -> str:
        """The cell's id, and its shapes where it was fed several."""
        return f"{self.cell} {self.shapes}".rstrip()


def verdict_name(verdict: Verdict) -> str:
    """The verdict's name, as filters and expected.toml spell it."""
    return tag_of(type(verdict))


def verdict_word(line: Line) -> str:
    """The verdict as people read it: `Slower (suspect)`, `Larger` for memory."""
    memory = line.metric in (Metric.HOST_MEMORY, Metric.GPU_MEMORY)
    match line.verdict:
        case Slower(_, suspect):
            return ("Larger" if memory else "Slower") + (" (suspect)" if suspect else "")
        case Faster(_, suspect):
            return ("Smaller" if memory else "Faster") + (" (suspect)" if suspect else "")
        case Added(_, True):
            return "Added (fails)"
        case verdict:
            return verdict_name(verdict)


def change_of(verdict: Verdict) -> Change | None:
    """The measured change behind a verdict, if there is one."""
    match verdict:
        case Same(change) | Faster(change) | Slower(change) | Unclear(_, change):
            return change
        case Broke() | Fixed() | Added() | Removed() | NotComparable():
            return None
        case never:
            assert_never(never)


def text_of(verdict: Verdict) -> str:
    """What a verdict adds in words."""
    match verdict:
        case Same(_, note) | Faster(_, _, note) | Slower(_, _, note):
            return note
        case Unclear(why, _, needed, _):
            return why + (f"; {needed} launches a side would tell" if needed else "")
        case Broke(what) | Fixed(what) | Added(what, _) | Removed(what):
            return what
        case NotComparable(why, _):
            return why
        case never:
            assert_never(never)
