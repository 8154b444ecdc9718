"""Tables of one kind all over the page: equal columns for every model, headings told once for phones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from perf.page.markup import Html, Node, breakable, tag
from perf.page.matrix import scrolled
from perf.page.subject import Subject


@dataclass(frozen=True)
class Column:
    """A heading, and what stands below it for a cell; words are aligned to the left, figures to the right."""

    heading: str
    value: Callable[[Subject], Node]
    words: bool = False


@dataclass(frozen=True)
class Sheet:
    """A kind of table, a row per cell; `name` is its class in the style sheet."""

    name: str
    title: str
    columns: tuple[Column, ...]
    anchored: bool = False  # its rows are what links to a cell lead to

    def fitted(self, subjects: Sequence[Subject]) -> "Sheet":
        """The columns that some cell of the page fills."""
        kept = tuple(c for c in self.columns if any(c.value(s) for s in subjects))
        return replace(self, columns=kept)

    def table(self, subjects: Sequence[Subject]) -> Html | None:
        """Rows of the cells that have something to tell; None where none has."""
        told = [(s, [c.value(s) for c in self.columns]) for s in subjects]
        told = [(s, values) for s, values in told if any(values)]
        if not told:
            return None
        head = (tag("th", c.heading, scope="col") for c in self.columns)
        body = (
            tag(
                "tr",
                tag("th", breakable(s.column), scope="row", class_=f"sw p{s.colour}"),
                *(tag("td", v) for v in values),
                id=s.anchor if self.anchored else None,
                data_o=s.status if self.anchored else None,
            )
            for s, values in told
        )
        return scrolled(
            tag(
                "table",
                tag("thead", tag("tr", tag("th", self.title, scope="col"), *head)),
                tag("tbody", *body),
                class_=f"cards num {self.name}",
            ),
            self.title,
        )

    def style(self) -> str:
        """Rules of this kind: how columns are aligned, and the headings that a phone shows beside figures."""
        rules = []
        for place, column in enumerate(self.columns, 2):
            cell = f".{self.name} td:nth-child({place})"
            rules.append(f'{cell}::before{{content:"{column.heading}"}}')
            if column.words:
                head = f".{self.name} thead th:nth-child({place})"
                rules.append(
                    f"{cell},{head}{{text-align:left;white-space:normal}}{cell}{{min-width:8.5rem}}"
                )
        return (
            "@media (max-width:46rem){"
            + "".join(r for r in rules if "::before" in r)
            + "}"
            + "".join(r for r in rules if "::before" not in r)
        )
