"""One model's part of the page: its figures, then each view of its targets that has something to show."""

from collections.abc import Sequence
from dataclasses import dataclass

from perf.page.accuracy import ACCURACY, error_against_latency
from perf.page.markup import Html, isolated, tag
from perf.page.matrix import SIGNS
from perf.page.resources import RESOURCES, memory_over_stages, sessions
from perf.page.samples import distributions, in_order
from perf.page.sheet import Sheet
from perf.page.subject import Subject
from perf.page.sweep import sweeps
from perf.page.targets import TARGETS
from perf.page.time_spent import time_spent
from perf.page.wording import short
from perf.schema import outcomes


@dataclass(frozen=True)
class Detail:
    """How finely things are drawn: the more cells, the coarser, so that the file stays small."""

    bins: int  # of a histogram
    columns: int  # of samples in order
    segments: int  # of a bar of kernels
    named: int  # of them, those that have a title of their own
    log_lines: int


def detail_for(cells: int) -> Detail:
    """The detail that keeps a page of so many cells below 1 MB for 100 and 10 MB for 2,000."""
    if cells <= 40:
        return Detail(72, 240, 250, 80, 40)
    if cells <= 150:
        return Detail(48, 120, 100, 20, 16)
    if cells <= 600:
        return Detail(24, 40, 60, 10, 8)
    return Detail(20, 40, 24, 0, 5)


@dataclass(frozen=True)
class Look:
    """What all models of a page have in common: detail, colours, and the columns of their tables."""

    detail: Detail
    colours: dict[str, int]
    targets: Sheet
    resources: Sheet
    accuracy: Sheet

    @property
    def style(self) -> str:
        """Rules for these tables."""
        return "".join(s.style() for s in (self.targets, self.resources, self.accuracy))


def look_for(subjects: Sequence[Subject], colours: dict[str, int]) -> Look:
    """The look that suits these cells."""
    return Look(
        detail_for(len(subjects)), colours, TARGETS.fitted(subjects), RESOURCES.fitted(subjects),
        ACCURACY.fitted(subjects),
    )  # fmt: skip


def model_section(
    number: int, name: str, mine: Sequence[Subject], look: Look, *, opened: bool
) -> Html:
    """All of a model, folded away unless `opened`."""
    firsts = [s for s in mine if s.is_first]
    return tag(
        "details",
        tag("summary", tag("h3", isolated(name)), " ", tag("span", _glance(mine), class_="mute")),
        look.targets.table(mine),
        distributions(mine, look.detail.bins),
        in_order(mine, look.detail.columns),
        sweeps(mine),
        time_spent(firsts, look.detail.segments, look.detail.named, look.colours),
        sessions(firsts),
        memory_over_stages(firsts),
        look.resources.table(firsts),
        look.accuracy.table(mine),
        error_against_latency(mine),
        class_="model",
        id=f"model-{number}",
        open=opened,
    )


def _glance(mine: Sequence[Subject]) -> str:
    """How many of each outcome, and the fastest target."""
    mine = [s for s in mine if s.is_first]
    counts = [f"{SIGNS[k]} {n}" for k in SIGNS if (n := sum(s.status == k for s in mine))]
    timed = [(s.latency.summary.p50, s) for s in mine if s.latency and s.status == outcomes.PASS]
    best = min(timed, key=lambda t: t[0], default=None)
    fastest = (
        f"; fastest: {best[1].column}, {short(best[0])} ms" if best and len(timed) > 1 else ""
    )
    return "  ".join(counts) + fastest
