"""Prints one benchmark's table and, where asked, puts it into its place in docs/performance.md."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


@dataclass(frozen=True)
class Table:
    """What one benchmark found: the command that finds it again, its rows, and what they leave unsaid."""

    name: str  # of the section in docs/performance.md
    command: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    where: str = ""  # the machine, where it is not this one


def publish(table: Table, *, into_page: bool, page: Path = PAGE) -> None:
    """Print a table; `into_page` also replaces the page's section of that name."""
    text = rendered(table)
    print(text)
    if into_page:
        page.write_text(placed(page.read_text(encoding="utf-8"), table.name, text), "utf-8")


def rendered(table: Table) -> str:
    """The table in Markdown, columns aligned so that it reads as plain text too."""
    rows = [table.header, *table.rows]
    widths = [max(len(r[i]) for r in rows) for i in range(len(table.header))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + " |" for r in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    notes = [f"- {n}" for n in (*table.notes, table.where or _where())]
    return "\n".join([f"`{table.command}`", "", *lines, "", *notes, ""])


def placed(page: str, name: str, text: str) -> str:
    """The page with a section's text between its marks replaced; raises ValueError where it has no marks."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    if begin not in page or end not in page:
        raise ValueError(f"the page has no marks for {name!r}: {begin.strip()} … {end}")
    before, rest = page.split(begin, 1)
    return before + begin + text + end + rest.split(end, 1)[1]


def ms(seconds: Sequence[float] | float) -> str:
    """A time, or a low and a high bound, in milliseconds."""
    values = [seconds] if isinstance(seconds, float) else list(seconds)
    return " … ".join(f"{v * 1e3:.1f}" for v in values)


def _where() -> str:
    load = os.getloadavg()[0]
    cpus = len(os.sched_getaffinity(0))
    return (
        f"{cpus} CPUs, {platform.system()} {platform.release()}, Python {platform.python_version()}; "
        f"load average at the end {load:.1f}"
    )
