"""JSON and back: whatever a cell, a record or an event holds is read as it was written."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given

from perf.schema import codec, journal
from perf.schema.codec import DecodeError
from perf.schema.journal import Event, Stage
from perf.schema.record import Launch, Record
from tests.results import hand_made
from tests.schema.strategies import EVENTS


@codec.with_tag("inner")
@dataclass(frozen=True)
class Inner:
    n: int


@codec.with_tag("other")
@dataclass(frozen=True)
class Other:
    n: int


@dataclass(frozen=True)
class Outer:
    names: tuple[str, ...]
    pair: tuple[int, float]
    by_name: Mapping[str, Inner]
    either: Inner | Other
    maybe: Inner | None
    stage: Stage = Stage.RUN


WHOLE = Outer(("a",), (1, 2.5), {"k": Inner(3)}, Other(4), None)


@given(EVENTS)
def test_every_event_reads_back(event: Event) -> None:
    text = json.dumps(codec.encode(event, tag=True))
    assert codec.decode_union(journal.EVENTS, json.loads(text)) == event


def test_a_union_is_told_apart_by_its_tag_and_the_rest_carries_none() -> None:
    told = codec.encode(WHOLE)
    assert told["either"] == {"is": "other", "n": 4}
    assert told["by_name"] == {"k": {"n": 3}}
    assert codec.decode(Outer, json.loads(json.dumps(told))) == WHOLE


def test_infinite_and_missing_numbers_survive() -> None:
    compared = journal.Compared("s", "y", "", 1, 2, math.inf, None, math.nan)
    read = codec.decode(journal.Compared, json.loads(json.dumps(codec.encode(compared))))
    assert (read.max_abs, read.max_rel) == (math.inf, None)
    assert read.relative_norm is not None
    assert math.isnan(read.relative_norm)


@pytest.mark.parametrize(
    "record",
    [*hand_made.two_models(), *hand_made.every_outcome()],
    ids=lambda r: type(r.outcome).__name__,
)
def test_every_record_reads_back(record: Record) -> None:
    assert codec.decode(Record, json.loads(json.dumps(codec.encode(record)))) == record


def _changed(**values: Any) -> Any:
    return {**codec.encode(WHOLE), **values}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], r"\$: expected an object \(Outer\), got \[\]"),
        (_changed(names="a"), r"\$\.names: expected a list, got 'a'"),
        (_changed(names=[1]), r"\$\.names\[0\]: expected str, got 1"),
        (_changed(pair=[1]), r"\$\.pair: expected a list of 2"),
        (_changed(pair=[True, 2]), r"\$\.pair\[0\]: expected int, got True"),
        (_changed(by_name={"k": {"n": None}}), r"\$\.by_name\.k\.n: expected int, got None"),
        (_changed(either={"n": 1}), r"\$\.either: expected one of inner, other"),
        (_changed(either={"is": "Outer"}), r"\$\.either: expected one of inner, other"),
        (_changed(stage="lunch"), r"\$\.stage: 'lunch' is not a valid Stage"),
        (_changed(more=1), r"\$: unknown field 'more' of Outer"),
        ({"names": []}, r"\$: .*missing"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(value: Any, says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        codec.decode(Outer, value)


def test_a_whole_number_is_a_float_where_one_is_meant() -> None:
    read = codec.decode(Outer, _changed(pair=[1, 2]))
    assert read == replace(WHOLE, pair=(1, 2.0))
    assert isinstance(read.pair[1], float)


def test_a_launch_in_flight_of_an_older_run_is_refused_not_guessed() -> None:
    with pytest.raises(DecodeError):
        codec.decode(Launch, {"name": "check"})
