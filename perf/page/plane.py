"""A plane of two logarithmic axes: places in % of its size, so that text and marks keep theirs."""

from collections.abc import Callable
from dataclasses import dataclass

from perf.page.markup import Html, Node, tag
from perf.page.scale import Scale

LEFT, TOP, WIDTH, HEIGHT = 9.0, 8.0, 83.0, 83.0  # of the part within the axes, in %


@dataclass(frozen=True)
class Plane:
    """Two axes; the larger a value, the further right or up it is."""

    across: Scale
    up: Scale

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Left and top of a point, in %."""
        left = LEFT + WIDTH * self.across.share(x)
        return left, TOP + HEIGHT * (1 - self.up.share(y))

    def drawing(
        self, title: str, about: str, marks: list[Node], spelled: Callable[[float], str]
    ) -> Html:
        """The plane with its grid and marks; `spelled` words the ticks of the upward axis."""
        return tag(
            "svg",
            tag("title", title),
            tag("desc", about),
            *self._grid(spelled),
            *marks,
            class_="xy",
            role="img",
        )

    def _grid(self, spelled: Callable[[float], str]) -> list[Node]:
        out: list[Node] = []
        for t in self.across.ticks():
            x = percent_of(self.place(t, self.up.low)[0])
            out.append(tag("line", x1=x, x2=x, y1=0, y2="92%", class_="g"))
            out.append(tag("text", f"{t:.4g}", x=x, y="99%", class_="t", text_anchor="middle"))
        for t in self.up.ticks():
            y = percent_of(self.place(self.across.low, t)[1])
            out.append(tag("line", x1=f"{LEFT}%", x2="100%", y1=y, y2=y, class_="g"))
            out.append(tag("text", spelled(t), x=0, y=y, dy=4, class_="t"))
        return out


def percent_of(place: float) -> str:
    """A place as an SVG's attribute."""
    return f"{place:.1f}%"
