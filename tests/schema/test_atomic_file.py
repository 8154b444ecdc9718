"""A file is there whole or not at all."""

import os
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


def test_what_a_user_names_is_written_where_it_is(tmp_path: Path) -> None:
    """A device stays one (as root a rename would take its place), a link leads on, a folder is refused."""
    device = tmp_path / "null"
    device.symlink_to("/dev/null")
    atomic_file.write_to(device, b"gone")
    assert device.is_char_device()
    assert Path("/dev/null").is_char_device()
    real = tmp_path / "real.xml"
    link = tmp_path / "link.xml"
    real.write_bytes(b"old")
    link.symlink_to(real)
    atomic_file.write_to(link, b"new")
    assert (link.is_symlink(), real.read_bytes()) == (True, b"new")
    with pytest.raises(IsADirectoryError, match="is a folder; name a file"):
        atomic_file.write_to(tmp_path, b"")
    reader, writer = os.pipe()
    atomic_file.write_to(Path(f"/proc/self/fd/{writer}"), b"read")
    assert os.read(reader, 10) == b"read"
    os.close(reader)
    os.close(writer)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.xml", "null", "real.xml"]
