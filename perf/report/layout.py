"""Tables of text laid out in a given width: aligned columns, the widest wrapped until all fits."""

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

GAP = 2  # blanks between columns
NARROWEST = 8  # a column is not wrapped below this
READABLE = 20  # nor one of prose below this


@dataclass(frozen=True)
class Column:
    """A heading, on which side its texts are aligned, and whether it is the last to be wrapped.

    Where there is no room for sentences (`prose`), they stand below their rows.
    """

    heading: str
    right: bool = False
    firm: bool = False
    prose: bool = False


@dataclass(frozen=True)
class Section:
    """A titled table, with remarks below it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()


def printable(text: str) -> str:
    """One line that cannot move the cursor: control characters become blanks."""
    return "".join(c if c.isprintable() else " " for c in text)


def fit_columns(section: Section, width: int) -> tuple[int, ...]:
    """Column widths that fit `width` where that is possible, taken from the widest columns first."""
    out = list(_natural_widths(section))
    room = width - GAP * (len(out) - 1)
    firm = [i for i, c in enumerate(section.columns) if c.firm]
    prose = [i for i, c in enumerate(section.columns) if c.prose]
    soft = [i for i in range(len(out)) if i not in (*firm, *prose)]
    for group in (prose, soft, firm):
        while sum(out) > room:
            shrinking = [i for i in group if out[i] > _narrowest(section.columns[i])]
            if not shrinking:
                break
            out[max(shrinking, key=lambda i: out[i])] -= 1
    return tuple(out)


def format_section(section: Section, width: int | None) -> tuple[str, ...]:
    """A section as plain lines no wider than `width`, unless it has too many columns; None: unwrapped."""
    sizes = _natural_widths(section)
    if width is None:
        return _format(section, sizes, sys.maxsize)
    prose = [i for i, c in enumerate(section.columns) if c.prose]
    least = sum(min(s, READABLE) if i in prose else s for i, s in enumerate(sizes))
    if not prose or least + GAP * (len(sizes) - 1) <= width:
        return _format(section, fit_columns(section, width), width)
    kept = [i for i in range(len(sizes)) if i not in prose]
    columns = tuple(section.columns[i] for i in kept)
    rows = tuple(tuple(row[i] for i in kept) for row in section.rows)
    told = [(i, f"{section.columns[i].heading}: ") for i in prose]
    below = [[head + row[i] for i, head in told if row[i]] for row in section.rows]
    rest = replace(section, columns=columns, rows=rows)
    return _format(rest, fit_columns(rest, width), width, below)


def wrap(text: str, width: int, indent: str = "    ") -> list[str]:
    """A line wrapped at words, further lines indented; a word that is wider than `width` is broken."""
    clean = printable(text)
    start = clean[: len(clean) - len(clean.lstrip(" "))]
    return textwrap.wrap(
        clean.strip(), max(width, 1 + len(indent)), initial_indent=start, subsequent_indent=indent,
        break_on_hyphens=False,
    ) or [""]  # fmt: skip


def _natural_widths(section: Section) -> tuple[int, ...]:
    cells = [[c.heading for c in section.columns], *section.rows]
    return tuple(max(len(printable(row[i])) for row in cells) for i in range(len(section.columns)))


def _narrowest(column: Column) -> int:
    return READABLE if column.prose else NARROWEST


def _format(
    section: Section, sizes: Sequence[int], width: int, below: Sequence[Sequence[str]] = ()
) -> tuple[str, ...]:
    out = [f"== {section.title} ==".rstrip()]
    out += _wrap_row([c.heading for c in section.columns], sizes, section.columns)
    out += _wrap_row(["-" * s for s in sizes], sizes, section.columns)
    for at, row in enumerate(section.rows):
        out += _wrap_row(row, sizes, section.columns)
        out += [
            line for text in (below[at] if below else ()) for line in wrap(f"    {text}", width)
        ]
    for remark in section.remarks:
        out += wrap(remark, width, "  ")
    return tuple(out)


def _wrap_row(
    row: Sequence[str], sizes: Sequence[int], columns: Sequence[Column]
) -> tuple[str, ...]:
    parts = [_fold(text, size) for text, size in zip(row, sizes, strict=True)]
    out = []
    for i in range(max(len(p) for p in parts)):
        line = []
        for part, size, column in zip(parts, sizes, columns, strict=True):
            text = part[i] if i < len(part) else ""
            line.append(text.rjust(size) if column.right else text.ljust(size))
        out.append((" " * GAP).join(line).rstrip())
    return tuple(out)


def _fold(text: str, size: int) -> list[str]:
    clean = printable(text)
    indent = " " * (len(clean) - len(clean.lstrip(" ")))
    if len(clean) <= size:
        return [clean]
    margin = indent if len(indent) < size else ""
    return textwrap.wrap(
        clean.strip(), max(size, 1), initial_indent=margin, subsequent_indent=margin,
        break_on_hyphens=False,
    ) or [""]  # fmt: skip
