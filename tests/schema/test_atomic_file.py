"""A file is there whole or not at all."""

from pathlib import Path

import pytest

from perf.schema import atomic_file


def test_a_draft_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    engine = tmp_path / "e.engine"
    with pytest.raises(ZeroDivisionError), atomic_file.draft_of(engine) as draft:
        draft.write_bytes(bytes(1 // (draft.write_bytes(b"half") - 4)))
    assert list(tmp_path.iterdir()) == []
    with atomic_file.draft_of(engine) as draft:
        draft.write_bytes(b"whole")
        assert not engine.exists()
    assert engine.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [engine]
