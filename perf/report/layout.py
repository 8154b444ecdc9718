"""Tables of text laid out in a given width: aligned columns, the widest wrapped until all fits."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

GAP = 2  # blanks between columns
NARROWEST = 8  # a column is not wrapped below this


@dataclass(frozen=True)
class Column:
    """A heading, on which side its texts are aligned, and whether it is the last to be wrapped."""

    heading: str
    right: bool = False
    firm: bool = False


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
    cells = [[c.heading for c in section.columns], *section.rows]
    out = [max(len(printable(row[i])) for row in cells) for i in range(len(section.columns))]
    room = width - GAP * (len(out) - 1)
    firm = [i for i, c in enumerate(section.columns) if c.firm]
    soft = [i for i in range(len(out)) if i not in firm]
    for group in (soft, firm):
        while group and sum(out) > room:
            widest = max(group, key=lambda i: out[i])
            if out[widest] <= NARROWEST:
                break
            out[widest] -= 1
    return tuple(out)


def format_section(section: Section, width: int) -> tuple[str, ...]:
    """A section as plain lines no wider than `width`, unless it has too many columns for that."""
    sizes = fit_columns(section, width)
    headings = tuple(c.heading for c in section.columns)
    body = [headings, tuple("-" * s for s in sizes), *section.rows]
    out = [f"== {section.title} ==".rstrip()]
    for row in body:
        out += _wrap_row(row, sizes, section.columns)
    for remark in section.remarks:
        out += textwrap.wrap(printable(remark), width, subsequent_indent="  ") or [""]
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
        clean.strip(), max(size, 1), initial_indent=margin, subsequent_indent=margin
    ) or [""]
