from pathlib import Path

import pytest

from perf.conversion import external_data


@pytest.mark.parametrize(
    "pieces", [[], [(0, b"a")], [(0, b"a"), (9 << 20, b"b")], [(5 << 20, b"")]]
)
def test_a_copy_has_the_same_bytes_and_the_same_holes(
    pieces: list[tuple[int, bytes]], tmp_path: Path
) -> None:
    source, copy = tmp_path / "source", tmp_path / "folder" / "copy"
    with source.open("wb") as file:
        for at, text in pieces:
            file.seek(at)
            file.write(text)
        file.truncate(max((at + len(text) for at, text in pieces), default=0))
    external_data.copy_sparse(source, copy)
    assert copy.read_bytes() == source.read_bytes()
    assert copy.stat().st_blocks <= source.stat().st_blocks + 8


def test_a_link_is_copied_as_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "source").symlink_to("blob")
    external_data.copy_sparse(tmp_path / "source", tmp_path / "copy")
    assert not (tmp_path / "copy").is_symlink()
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "blob").read_bytes()
