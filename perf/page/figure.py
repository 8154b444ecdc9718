"""Figures of labelled rows over one axis: each row an SVG of our own, the words around it plain HTML."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from perf.page.markup import Html, Node, joined, tag
from perf.page.scale import WIDE, Scale


@dataclass(frozen=True)
class FigureRow:
    """One thing on the axis: what it is, what is drawn, and the figures that a reader takes away."""

    label: Node
    drawn: Html  # an SVG
    note: Node = None


def figure(
    title: str, rows: Sequence[FigureRow], axis: Html | None = None, about: str = ""
) -> Html | None:
    """A titled figure; None for no rows. What is common to all of a kind stands once, in reading.py."""
    if not rows:
        return None
    body = [
        tag(
            "div",
            tag("div", r.label, class_="fl") if r.label else None,
            r.drawn,
            tag("div", r.note, class_="fn") if r.note else None,
            class_="fr",
        )
        for r in rows
    ]
    if axis is not None:
        body.append(tag("div", tag("div", axis, class_="fx"), class_="fr"))
    words = (" ", tag("span", about, class_="mute")) if about else ()
    return tag("figure", tag("figcaption", tag("b", title), *words), *body)


def drawing(height: int, *shapes: Node, title: str, colour: int | None = None) -> Html:
    """An SVG that is stretched over its row; its title is the text that stands for it.

    Shapes are strokes and areas alone, so that stretching harms none; coordinates are whole units.
    """
    return tag(
        "svg",
        tag("title", title),
        *shapes,
        viewBox=f"0 0 {WIDE} {height}",
        preserveAspectRatio="none",
        role="img",
        class_="d" if colour is None else f"d p{colour}",
        height=height,
    )


def shape(path: str, class_: str) -> Html | None:
    """A path in one of the style sheet's manners; None for an empty one."""
    return tag("path", class_=class_, d=path) if path else None


def gridlines(scale: Scale, height: int) -> Html | None:
    """Thin lines at the axis's ticks."""
    return shape("".join(f"M{scale.at(t)} 0v{height}" for t in scale.ticks()), "g")


def axis_labels(scale: Scale, spelled: Callable[[float], str], unit: str) -> Html:
    """Tick labels below a figure, placed by their share of the width."""
    ticks = scale.ticks()
    return joined(
        tag(
            "span",
            spelled(t) + (f" {unit}" if i == len(ticks) - 1 else ""),
            style=f"left:{100 * scale.share(t):.1f}%",
            class_=_side(scale.share(t)),
        )
        for i, t in enumerate(ticks)
    )


def points(places: Iterable[tuple[int, int]]) -> str:
    """A path of line segments, each place told by its distance from the last: the shortest spelling."""
    told = list(places)
    steps = (f"{b[0] - a[0]}{b[1] - a[1]:+d}" for a, b in pairwise(told))
    return f"M{told[0][0]} {told[0][1]}l" + " ".join(s.replace("+", " ") for s in steps)


def swatch(colour: int, name: Node) -> Html:
    """A provider's colour beside its name."""
    return tag("span", name, class_=f"sw p{colour} key")


def _side(share: float) -> str | None:
    return "first" if share < 0.06 else "last" if share > 0.94 else None
