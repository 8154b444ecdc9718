"""Gains with their intervals over all models, the best first, failures at the edge."""

import math
from collections.abc import Sequence

from perf.page.figure import axis_labels, shape
from perf.page.markup import Html, Node, isolated, tag
from perf.page.matrix import outcome
from perf.page.scale import WIDE, Scale
from perf.page.subject import Subject
from perf.page.wording import counted
from perf.report.sections import format_factors, format_gain
from perf.results import gains
from perf.schema import outcomes
from perf.stats.summary import PairedGain

HEIGHT = 14
EDGE = 40  # units at the left that belong to failures
MOST_FOLD = 1e4  # a gain or loss beyond this factor is drawn at the border


def forest(subjects: Sequence[Subject]) -> Html | None:
    """A row per cell that is set against the CPU EP, or failed; None where there is neither."""
    told = [s for s in subjects if _shown(s.gain)]
    failed = [s for s in subjects if s.status == outcomes.FAIL and s.is_first]
    if not told:
        return None
    told.sort(key=lambda s: -s.gain.speedup if s.gain else 0.0)
    scale = _scale([s.gain for s in told if s.gain])
    rows = [*(_row(s, scale) for s in told), *(_failed(s, scale) for s in failed)]
    axis = tag(
        "tr", tag("td"), tag("td", tag("div", axis_labels(scale, _factor, ""), class_="fx")),
        tag("td"), tag("td"), class_="axis", aria_hidden="true",
    )  # fmt: skip
    head = ("Cell", "How many times as fast as the CPU EP", "Gain", "95 % interval, pairs")
    table = tag(
        "table",
        tag("thead", tag("tr", *(tag("th", h, scope="col") for h in head))),
        tag("tbody", *rows, axis),
        class_="cards found sort forest",
    )
    return tag(
        "section", tag("h2", "Gains over the CPU EP", id="gains"), _about(told, failed), table
    )


def _about(drawn: Sequence[Subject], failed: Sequence[Subject]) -> Html:
    unclaimed = sum(not s.gain.claimed for s in drawn if s.gain)
    text = (
        f"{counted(len(drawn), 'cell')} against {gains.BASELINE}, from launches that ran as neighbours. "
        "The axis is the factor between the times, on a logarithmic scale; right of 1× is faster. "
    )
    if unclaimed:
        text += f"{unclaimed} hollow: the interval holds 0, so no gain is claimed. "
    if failed:
        text += f"{counted(len(failed), 'failure')} at the left edge."
    return tag("p", text, class_="mute")


def _shown(gain: PairedGain | None) -> bool:
    return gain is not None and gain.interval is not None


def _scale(found: Sequence[PairedGain]) -> Scale:
    folds = [
        _fold(v) for g in found if g.interval for v in (g.interval.low, g.interval.high, g.percent)
    ]
    low, high = min(1.0, *folds), max(1.0, *folds)
    low, high = low / 1.05, high * 1.05
    room = (high / low) ** (EDGE / WIDE)  # the failures' edge
    return Scale(low / room, high)


def _fold(percent: float) -> float:
    """How many times as fast: a gain of 50 % is 2."""
    left = 1 - percent / 100
    return min(
        MOST_FOLD, max(1 / MOST_FOLD, 1 / left if left > 0 and math.isfinite(left) else 0.0)
    )


def _factor(value: float) -> str:
    return f"{value:,.0f}×" if value >= 1000 else f"{value:.3g}×"


def _row(s: Subject, scale: Scale) -> Html:
    gain = s.gain
    if gain is None or gain.interval is None:  # _shown
        raise ValueError(f"{s.cell.id}: no gain to show")
    middle = HEIGHT // 2
    low, high = (scale.at(_fold(v)) for v in (gain.interval.low, gain.interval.high))
    at = scale.at(min(MOST_FOLD, max(1 / MOST_FOLD, gain.speedup)))
    drawn = _drawn(
        s.colour,
        shape(f"M{scale.at(1.0)} 0v{HEIGHT}", "z"),
        shape(f"M{low} {middle}H{max(high, low + 1)}", "w"),
        shape(f"M{at} {middle}h0", "dot"),
        None if gain.claimed else shape(f"M{at} {middle}h0", "hole"),
    )
    words = format_gain(gain) if gain.claimed else "not claimed"
    bounds = f"{format_factors(gain)}, {gain.pairs}"
    return _line(s, drawn, words, bounds, gain.percent)


def _failed(s: Subject, scale: Scale) -> Html:
    drawn = _drawn(
        s.colour, shape(f"M{scale.at(1.0)} 0v{HEIGHT}", "z"), shape("M4 3l18 8M4 11l18 -8", "x")
    )
    return _line(s, drawn, outcome(s), "", None)


def _drawn(colour: int, *shapes: Html | None) -> Html:
    return tag(
        "svg", *shapes, viewBox=f"0 0 {WIDE} {HEIGHT}", preserveAspectRatio="none",
        class_=f"d p{colour}", aria_hidden="true",
    )  # fmt: skip


def _line(s: Subject, drawn: Html, words: Node, bounds: str, value: float | None) -> Html:
    name = tag("a", isolated(f"{s.model}::{s.column}"), href=f"#{s.anchor}")
    return tag(
        "tr",
        tag("th", name, scope="row"),
        tag("td", drawn, class_="fp"),
        tag("td", words, class_="n", colspan=None if bounds else 2),
        tag("td", bounds, class_="n") if bounds else None,
        data_o=s.status,
        data_v=None if value is None else f"{value:.4f}",
    )
