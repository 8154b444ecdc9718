"""Where records of several runs lie in a merged one: a function of the records, not of their order."""

import contextlib
import hashlib
import os
import shutil
import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.results import cell_figures, run_folder
from perf.results.host_records import host_name
from perf.schema import atomic_file, codec
from perf.schema.cell import safe_name
from perf.schema.record import Passed, Record
from perf.schema.untrusted_file import open_regular

RECORD = "record.json"
REPLICA = "@"  # <digest>@<host>-<8 hex of the record>: one of several records of the same cell


@dataclass(frozen=True)
class Leaf:
    """The folder of one record in one run: cells/<model>/<target>/<digest>."""

    path: Path

    @property
    def target(self) -> str:
        """The folder above it."""
        return self.path.parent.name

    @property
    def digest(self) -> str:
        """Of the cell, whichever replica this is."""
        return self.path.name.partition(REPLICA)[0]


def model_folders(root: Path) -> list[str]:
    """Names of the folders of models that a run has."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(
            e.name for e in os.scandir(root / "cells") if e.is_dir(follow_symlinks=False)
        )
    return []


def leaves_of(root: Path, model: str) -> Iterator[Leaf]:
    """Every record of a model in a run, in the order of their paths."""
    for target in _folders(root / "cells" / model):
        for leaf in _folders(target):
            if _is_regular(leaf / RECORD):
                yield Leaf(leaf)


def lay_out_model(roots: Sequence[Path], model: str, into: Path) -> Mapping[str, int]:
    """Give a merged run every record that runs have of a model; how many, for targets that have several.

    Records that are equal, byte by byte, are one. Of a cell that has several, each lies under a name of
    its own, so that none passes for the cell's only one. Files are linked, or copied where they cannot be.
    """
    groups: dict[tuple[str, str], list[Leaf]] = defaultdict(list)
    for root in roots:
        for leaf in leaves_of(root, model):
            groups[leaf.target, leaf.digest].append(leaf)
    counts: Counter[str] = Counter()
    for (target, digest), leaves in sorted(groups.items()):
        folder = into / "cells" / model / target
        names = _names(digest, _distinct(leaves))
        for name, same in names.items():
            for leaf in same:
                if leaf.path != folder / name:
                    _bring(leaf, folder / name)
        _drop_others(folder, digest, names.keys())
        counts[target] += len(names)
    return {target: n for target, n in counts.items() if n > 1}


def _names(digest: str, distinct: Mapping[str, list[Leaf]]) -> Mapping[str, list[Leaf]]:
    """Names of a cell's records in its target's folder."""
    if len(distinct) == 1:
        return {digest: next(iter(distinct.values()))}
    return {
        f"{digest}{REPLICA}{_host_of(same[0])}-{key[:8]}": same for key, same in distinct.items()
    }


def log_column(found: Record, leaf: Path, run_id: str) -> str:
    """The log that a row names, below a result folder; a replica's lies beside it."""
    told = cell_figures.find_log(found)
    return told.replace(f"/{found.cell.folder.name}/", f"/{leaf.name}/", 1) if told else told


def _distinct(leaves: Sequence[Leaf]) -> Mapping[str, list[Leaf]]:
    """Leaves by the digest of their record; one alone is not read."""
    inodes: dict[tuple[int, int], list[Leaf]] = defaultdict(list)
    for leaf in leaves:
        found = (leaf.path / RECORD).stat()
        inodes[found.st_dev, found.st_ino].append(leaf)
    if len(inodes) == 1:
        return {"": list(leaves)}
    out: dict[str, list[Leaf]] = defaultdict(list)
    for same in inodes.values():
        with os.fdopen(open_regular(same[0].path / RECORD), "rb") as f:
            out[hashlib.file_digest(f, "sha256").hexdigest()] += same
    return dict(sorted(out.items()))


def _bring(leaf: Leaf, place: Path) -> None:
    """Link a record into its place, with what tells why where it did not pass, else with its log alone.

    The record comes last: where it lies, the rest does.
    """
    if (place / RECORD).exists():
        return
    told = _read(leaf)
    outcome = told.get("outcome")
    passed = isinstance(outcome, dict) and outcome.get(codec.TAG) == codec.tag_of(Passed)
    for name in _names_kept(told) if passed else _all_names(leaf.path):
        if _is_regular(leaf.path / name):
            _link(leaf.path / name, place / name)
    _link(leaf.path / RECORD, place / RECORD)


def _names_kept(record: Mapping[str, Any]) -> Iterator[str]:
    yield "cell.json"
    for launch in _launches(record)[-1:]:  # the one that its row names
        yield str(Path(safe_name(str(launch.get("name", "")))) / "output.log")


def _all_names(leaf: Path) -> Iterator[str]:
    for folder, _, files in os.walk(leaf):
        yield from (os.path.relpath(Path(folder) / f, leaf) for f in files if f != RECORD)


def _link(there: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(there, target)
    except FileExistsError:
        return
    except OSError:  # another file system, or one without links
        with atomic_file.draft_of(target, durable=False) as aside:
            shutil.copyfile(there, aside)


def _host_of(leaf: Leaf) -> str:
    names = {host_name(str(x.get("host", ""))) for x in _launches(_read(leaf))} - {""}
    return safe_name("+".join(sorted(names))) if names else "unknown"


def _read(leaf: Leaf) -> Mapping[str, Any]:
    told = run_folder.read_json(leaf.path / RECORD)
    return told if isinstance(told, dict) else {}


def _launches(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = record.get("launches")
    return [x for x in found if isinstance(x, dict)] if isinstance(found, list) else []


def _is_regular(path: Path) -> bool:
    """Whether a file is one: a link or a pipe that a worker left is not brought."""
    with contextlib.suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def _drop_others(target: Path, digest: str, kept: Collection[str]) -> None:
    """Take away names that a record had while it was the cell's only one."""
    for leaf in _folders(target):
        if leaf.name not in kept and leaf.name.partition(REPLICA)[0] == digest:
            shutil.rmtree(leaf)


def _folders(path: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(Path(e.path) for e in os.scandir(path) if e.is_dir(follow_symlinks=False))
    return []
