"""For each environment the files that may be installed into it, by digest: `name==version` fixes no bytes."""

import re
from collections.abc import Sequence
from pathlib import Path


def lock_path(folder: Path, name: str) -> Path:
    """Where the lock of an environment lies, beside the environments.toml that names it."""
    return folder / "locks" / f"{name}.lock"


def find_lock(folder: str, name: str, requirements: Sequence[str]) -> Path | None:
    """The lock that holds all of these pinned requirements; None where there is none, or it is of others.

    A lock may hold the build of a version that was meant, as in torch==2.13.0+cpu.
    """
    path = lock_path(Path(folder), name)
    try:
        held = set(re.findall(r"^[^\s=]+==[^\s+]+", path.read_text(encoding="utf-8"), re.M))
    except OSError:
        return None
    return path if folder and {normalise(r) for r in requirements} <= held else None


def normalise(requirement: str) -> str:
    """`Some_Package[extra]==1.0` as a lock spells it."""
    name, _, version = re.sub(r"\[.*?\]", "", requirement).partition("==")
    return f"{re.sub(r'[-_.]+', '-', name.strip()).lower()}=={version.strip()}"
