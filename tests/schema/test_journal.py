"""Events as they lie in a file: one unbuffered line each, readable however the worker ended."""

import os
import resource
import signal
from pathlib import Path

import pytest

from perf.schema import journal
from perf.schema.journal import Began, CellUnsupported, Event, Finished, Journal, Note, Stage


def test_each_event_is_on_disk_when_tell_returns(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    out = Journal(path)
    events: tuple[Event, ...] = (Began(Stage.LOAD, 1.0), Note("k", "ü\n\x00"), Finished(2.0))
    for i, event in enumerate(events):
        out.emit(event)
        assert path.read_bytes().count(b"\n") == i + 1
        assert journal.read_journal(path)[-1] == event
    out.close()


def test_two_writers_append_and_neither_tears_the_other(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    one, two = Journal(path), Journal(path)
    for i in range(50):
        one.emit(Note("one", str(i)))
        two.emit(Note("two", str(i)))
    one.close()
    two.close()
    assert len(journal.read_journal(path)) == 100


def test_a_missing_journal_is_an_empty_account(tmp_path: Path) -> None:
    assert journal.read_journal(tmp_path / "none") == ()


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"null",
        b"[]",
        b'{"is": "Finished"}',
        b'{"is": "Finished", "at_s": "now"}',
        b'{"is": "Finished", "at_s": 1.0, "and": 2}',
        b'{"is": ["Finished"], "at_s": 1.0}',
        b"\xff\xfe",
        b'{"is": "Fini',
        b"[" * 100_000,
    ],
)
def test_a_foreign_line_ends_the_story(line: bytes) -> None:
    good = b'{"is":"Declined","reason":"r"}\n'
    assert journal.parse_journal(good + line + b"\n" + good) == (CellUnsupported("r"),)


def test_a_line_without_its_end_is_torn() -> None:
    assert journal.parse_journal(b'{"is":"Declined","reason":"r"}') == ()


def test_a_full_disk_is_an_error_to_the_teller_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    child = os.fork()
    if child == 0:  # the limit must not outlive this test
        os._exit(_tell_until_full(path))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert journal.read_journal(path) == (Note("k", "x" * 50),)


def _tell_until_full(path: Path) -> int:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120, 120))
    out = Journal(path)
    try:
        while True:
            out.emit(Note("k", "x" * 50))
    except OSError:
        return 7
