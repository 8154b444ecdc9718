"""Names of --fail_on are those that are printed, and formats those that are written."""

import typing

import pytest

from comparison.verdict import Verdict
from perf.exports.export import FORMATS
from perf.request.export_request import RUN_FORMATS
from perf.request.fail_on import VERDICTS, make_fail_on, parse_names
from perf.schema.codec import tag_of


def test_every_verdict_and_every_format_is_known() -> None:
    printed = {tag_of(kind) for kind in typing.get_args(Verdict)}
    assert printed | {"Larger", "Smaller", "Added (fails)"} == set(VERDICTS)
    assert set(RUN_FORMATS) == {"html", *FORMATS}


def test_names_are_read_as_they_are_printed_in_any_case() -> None:
    assert parse_names("crashed, FELLBACK,slower (suspect)") == ("Crashed", "FellBack", "Slower")
    for text in ("crash", "none,Crashed"):
        with pytest.raises(ValueError, match=r"no outcome|stands alone"):
            parse_names(text)


def test_what_is_red() -> None:
    by_name = make_fail_on(("Crashed", "Slower", "Added"))
    assert by_name.is_red("Crashed")
    assert not by_name.is_red("Mismatched")
    assert by_name.is_red_verdict("Slower (suspect)")
    assert by_name.is_red_verdict("Added (fails)")
    assert not by_name.is_red_verdict("Larger")
    usual = make_fail_on((), usual=("Broke", "Added (fails)"))
    assert usual.is_red_verdict("Added (fails)")
    assert not usual.is_red_verdict("Added")
    assert not make_fail_on(("none",), usual=("Broke",)).is_red_verdict("Broke")
    assert not make_fail_on(("none",)).is_red("Mismatched")
    assert make_fail_on(("any",)).is_red("Mismatched")
    strict = make_fail_on((), strict=True)
    assert strict.impossible
    assert make_fail_on(parse_names("Impossible")).impossible
    assert not by_name.impossible
    assert strict.is_red("Skipped")
    assert strict.is_red("Fail")  # as the predecessor's tables have it
    assert not strict.is_red("Pass")
    assert strict.is_red_verdict("Broke")
    assert not strict.is_red_verdict("Unclear")
