"""Text tables fit the width they are given, and lose nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.report import layout
from perf.report.layout import Column, Section

WORDS = st.text(
    alphabet=st.characters(categories=["L", "N", "P", "Zs"], max_codepoint=255), max_size=40
)
TABLES = st.integers(1, 5).flatmap(
    lambda n: st.tuples(
        st.lists(
            st.builds(Column, WORDS, st.booleans(), st.booleans()), min_size=n, max_size=n
        ).map(tuple),
        st.lists(st.lists(WORDS, min_size=n, max_size=n).map(tuple), max_size=4).map(tuple),
    )
)


@given(TABLES, st.integers(48, 120))
def test_no_line_is_wider_than_asked_and_no_letter_is_lost(
    table: tuple[tuple[Column, ...], tuple[tuple[str, ...], ...]], width: int
) -> None:
    columns, rows = table
    lines = layout.format_section(Section("T", columns, rows), width)
    assert all(len(line) <= width for line in lines)
    texts = (text for row in ([c.heading for c in columns], *rows) for text in row)
    letters = [sorted(c for text in part for c in text if not c.isspace() and c != "-")
               for part in (lines[1:], map(layout.printable, texts))]  # fmt: skip
    assert letters[0] == letters[1]


def test_columns_line_up_and_numbers_to_the_right() -> None:
    section = Section(
        "T", (Column("name"), Column("ms", right=True)), (("a", "1.0"), ("long name", "10.0"))
    )
    assert layout.format_section(section, 80) == (
        "== T ==",
        "name         ms",
        "---------  ----",
        "a           1.0",
        "long name  10.0",
    )


def test_a_firm_column_is_wrapped_last() -> None:
    columns = (Column("firm", firm=True), Column("soft"))
    section = Section("T", columns, (("f" * 20, "s" * 40),))
    assert layout.fit_columns(section, 50) == (20, 28)
    assert layout.fit_columns(section, 26) == (16, 8)


def test_a_column_of_prose_is_readable_or_stands_below_its_rows() -> None:
    columns = (Column("name", firm=True), Column("n", right=True), Column("why", prose=True))
    rows = (("a" * 20, "1", "what went wrong is told in a sentence"), ("b", "2", ""))
    section = Section("T", columns, rows)
    assert layout.fit_columns(section, 46) == (20, 1, 21)
    assert layout.format_section(section, 45)[3:6] == (
        f"{'a' * 20}  1  what went wrong is",
        " " * 25 + "told in a sentence",
        "b                     2",
    )
    assert layout.format_section(section, 44)[1:] == (
        "name                  n",
        f"{'-' * 20}  -",
        f"{'a' * 20}  1",
        "    why: what went wrong is told in a",
        "    sentence",
        "b                     2",
    )
    assert layout.format_section(section, None)[3] == "  ".join(rows[0])


def test_an_indented_text_keeps_its_indent_where_it_wraps_and_remarks_wrap_too() -> None:
    section = Section("T", (Column("x"),), (("  one two",),), ("a remark of it",))
    wrapped = ("  one", "  two", "a remark", "  of it")
    assert layout.format_section(section, 8)[3:] == wrapped


@pytest.mark.parametrize("evil", ["\x1b[2J", "a\nb", "\r", "\x07", "\x9b1m"])
def test_control_characters_reach_no_terminal(evil: str) -> None:
    assert layout.printable(evil).isprintable()
    (*_, line) = layout.format_section(Section("T", (Column("x"),), ((evil,),)), 80)
    assert line.isprintable()
