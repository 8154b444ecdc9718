from pathlib import Path

import pytest

from benchmarks import page

TABLE = page.Table(
    "speed", "python -m benchmarks.speed", ("what", "ms"), (("host", "4.7"), ("spawn", "92")),
    ("Medians.",),
)  # fmt: skip
TEXT = "# Speed\n\n<!-- begin speed -->\nold\n<!-- end speed -->\n\nThe rest.\n"


def test_a_table_is_its_command_then_aligned_rows_then_notes() -> None:
    lines = page.rendered(TABLE).splitlines()
    assert lines[0] == "`python -m benchmarks.speed`"
    assert lines[2:6] == [
        "| what  | ms  |",
        "|-------|-----|",
        "| host  | 4.7 |",
        "| spawn | 92  |",
    ]
    assert lines[7] == "- Medians."
    assert "load average" in lines[8]


def test_only_the_section_of_that_name_is_replaced() -> None:
    new = page.placed(TEXT, "speed", "new\n")
    assert new == TEXT.replace("old", "new")
    assert page.placed(new, "speed", "new\n") == new
    with pytest.raises(ValueError, match="no marks for 'other'"):
        page.placed(TEXT, "other", "new\n")


def test_a_table_goes_into_the_page_only_where_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "performance.md"
    path.write_text(TEXT, encoding="utf-8")
    page.publish(TABLE, into_page=False, page=path)
    assert path.read_text(encoding="utf-8") == TEXT
    page.publish(TABLE, into_page=True, page=path)
    assert "| spawn | 92  |" in path.read_text(encoding="utf-8")
    assert capsys.readouterr().out.count("| spawn | 92  |") == 2


def test_the_page_has_a_place_for_every_benchmark() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    for name in ("isolation", "whole_run", "fidelity", "idle", "node_tests", "node_outcomes"):
        assert page.placed(text, name, "x") != text


def test_times_are_told_in_milliseconds() -> None:
    assert page.ms(0.0123) == "12.3"
    assert page.ms((0.001, 0.0025)) == "1.0 … 2.5"
