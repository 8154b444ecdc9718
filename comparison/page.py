"""Two runs held against each other as one HTML file: verdicts, intervals, and what could have been seen."""

import math
from collections import Counter
from collections.abc import Sequence

from comparison import report
from comparison.verdict import Change, Line, Same, change_of, text_of, verdict_word
from perf.page.document import document
from perf.page.figure import axis_labels, shape
from perf.page.markup import Html, breakable, isolated, tag
from perf.page.matrix import scrolled
from perf.page.scale import WIDE, Scale
from perf.page.wording import counted, listed, short

HEIGHT = 14
WIDEST = 16.0  # a factor beyond this is drawn at the border
BETTER = ("Faster", "Smaller", "Fixed")
KNOWN, WRONG, GOOD, QUIET = "known", "bad", "ok", "no"  # manners of the style sheet


def render_comparison(lines: Sequence[Line], remarks: Sequence[str], head: str) -> str:
    """The page of a comparison; `head` names the two sides, `remarks` are what the terminal says of them."""
    ordered = report.sort_worst_first(lines)
    changed = [x for x in ordered if not isinstance(x.verdict, Same)]
    same = [x for x in ordered if isinstance(x.verdict, Same)]
    scale = _scale([c for x in ordered if (c := change_of(x.verdict))])
    words = Counter(verdict_word(x) for x in ordered)
    sections = (
        tag("section", *(tag("p", r) for r in remarks)),
        _section("Changes", "changes", changed, scale),
        _section("No change seen", "same", same, scale),
        _reading(),
    )
    return document(
        f"ep-perf {head}",
        head,
        sentence(lines),
        sections,
        choices=tuple((w, w) for w in words),
    )


def sentence(lines: Sequence[Line]) -> str:
    """What came of it, in one sentence."""
    if not lines:
        return "There was nothing to compare."
    worse = [x for x in lines if report.is_worse(x)]
    better = [x for x in lines if verdict_word(x).startswith(BETTER)]
    head = f"{len(worse) or 'None'} of {counted(len(lines), 'comparison')} got worse"
    parts = [head + _kinds(worse)]
    if better:
        parts.append(f"{len(better)} got better{_kinds(better)}")
    same = [x for x in lines if isinstance(x.verdict, Same)]
    if same:
        parts.append(f"{len(same)} without a change")
    return "; ".join(parts) + "."


def _kinds(lines: Sequence[Line]) -> str:
    found = Counter(verdict_word(x) for x in lines)
    counts = listed([f"{n} {word}" for word, n in found.most_common()])
    return f" ({counts})" if counts else ""


def _section(title: str, place: str, lines: Sequence[Line], scale: Scale) -> Html | None:
    if not lines:
        return None
    head = ("Verdict", "Cell", "About", "Change", "Ratio", "Could see", "Why")
    rows = [_row(x, scale) for x in lines]
    axis = tag(
        "tr", tag("td", colspan=3), tag("td", tag("div", axis_labels(scale, _factor, ""), class_="fx")),
        tag("td", colspan=3), class_="axis", aria_hidden="true",
    )  # fmt: skip
    table = tag(
        "table",
        tag("thead", tag("tr", *(tag("th", h, scope="col") for h in head))),
        tag("tbody", *rows, axis),
        class_="cards found sort verdicts",
    )
    return tag("section", tag("h2", title, id=place), scrolled(table, title))


def _row(x: Line, scale: Scale) -> Html:
    c = change_of(x.verdict)
    return tag(
        "tr",
        tag("td", tag("span", verdict_word(x), class_=f"o {_manner(x)}"), data_t="verdict"),
        tag("th", breakable(x.name), scope="row"),
        tag("td", x.metric.value.replace("_", " "), data_t="about"),
        tag("td", _drawn(c, scale) if c else None, data_v=f"{c.ratio:.6g}" if c else None),
        tag("td", *_figures(x, c), data_t="ratio", data_v=f"{c.ratio:.6g}" if c else None),
        tag("td", _describe_detectable(c), data_t="could see", data_v=_detectable(c)),
        tag("td", isolated(why) if (why := _why(x)) else None, data_t="why"),
        data_o=verdict_word(x),
    )


def _manner(x: Line) -> str:
    if x.expected:
        return KNOWN
    if report.is_worse(x):
        return WRONG
    return GOOD if verdict_word(x).startswith(BETTER) else QUIET


def _drawn(c: Change, scale: Scale) -> Html:
    """The ratio, its interval, and behind them how small a change could have been seen."""
    middle, at = HEIGHT // 2, scale.at(c.ratio)
    left, right = scale.at(1 / (1 + c.detectable)), scale.at(1 + c.detectable)
    blind = shape(f"M{left} 1H{right}V{HEIGHT - 1}H{left}Z", "rb")
    low, high = scale.at(c.low), scale.at(c.high)
    reach = shape(f"M{low} {middle}H{max(high, low + 1)}", "w")
    return tag(
        "svg", blind, shape(f"M{scale.at(1.0)} 0v{HEIGHT}", "z"), reach, shape(f"M{at} {middle}h0", "dot"),
        viewBox=f"0 0 {WIDE} {HEIGHT}", preserveAspectRatio="none", class_="d p1", height=HEIGHT,
        aria_hidden="true",
    )  # fmt: skip


def _figures(x: Line, c: Change | None) -> tuple[Html | str, ...]:
    if c is None:
        return ()
    numbers = f"{short(c.previous)} → {short(c.current)} {report.find_unit(x)}".rstrip()
    return (f"{c.ratio:.3f} [{c.low:.3f}, {c.high:.3f}]", tag("small", numbers))


def _describe_detectable(c: Change | None) -> str:
    if c is None:
        return ""
    return f"{100 * c.detectable:.1f}\u00a0%" if c.detectable < 9 else "next to nothing"


def _detectable(c: Change | None) -> str | None:
    return None if c is None else f"{c.detectable:.6g}"


def _why(x: Line) -> str:
    parts = [text_of(x.verdict), *(f"differs in {a}" for a in x.across), *x.disturbances]
    parts += [f"expected: {x.expected}"] if x.expected else []
    return "; ".join(p for p in (*parts, x.confirmed) if p)


def _scale(found: Sequence[Change]) -> Scale:
    values = [v for c in found for v in (c.ratio, c.low, c.high) if v > 0]
    most = max([1.05, *(max(v, 1 / v) for v in values if math.isfinite(v))])
    reach = min(most, WIDEST) * 1.02
    return Scale(1 / reach, reach)


def _factor(value: float) -> str:
    return f"{value:.3g}×"


def _reading() -> Html:
    return tag(
        "section",
        tag("h2", "Footnotes", id="footnotes"),
        tag(
            "ul",
            tag("li", "Ratio is current over previous, with its 95 % interval; above 1 is more."),
            tag(
                "li",
                "Could see is the least change that would have been told from noise in four of five such "
                "comparisons: the grey band. No change seen means none larger than that.",
            ),
        ),
    )  # fmt: skip
