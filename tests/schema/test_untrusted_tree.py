"""Folders that somebody else nested deeper than Python recurses are walked and removed."""

import os
from pathlib import Path

from perf.schema.untrusted_tree import paths_below, remove_tree


def nest(top: Path, depth: int) -> None:
    """Folders d/d/d/… below `top`, made from within, as no path is so long."""
    top.mkdir()
    home = os.open(".", os.O_RDONLY)
    try:
        os.chdir(top)
        for _ in range(depth):
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.fchdir(home)
        os.close(home)


def test_a_folder_nested_beyond_recursion_is_walked_as_far_as_paths_reach(tmp_path: Path) -> None:
    nest(tmp_path / "deep", 3000)
    (tmp_path / "deep" / "file").touch()
    (tmp_path / "deep" / "out").symlink_to(tmp_path)
    found = list(paths_below(tmp_path / "deep"))
    assert {"file", "out", "d"} == {p.name for p in found}
    assert 1200 < len(found) < 3000
    remove_tree(tmp_path / "deep")
    assert list(tmp_path.iterdir()) == []
