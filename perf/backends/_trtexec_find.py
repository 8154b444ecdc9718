"""Where trtexec is looked for: as given, below the workspace, TENSORRT_HOME, PATH, NVIDIA's packages."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

_DEPTH = 6  # below the workspace: TensorRT-10.x/targets/x86_64-linux-gnu/bin is four
_SKIPPED = frozenset(("result", "models", "node_modules", "site-packages", "proc", "sys", "dev"))
_PACKAGED = Path("/usr/src/tensorrt/bin/trtexec")  # libnvinfer-bin, and NVIDIA's containers


class NoSuchProgramError(Exception):
    """The trtexec that was named cannot be run; one line that says which and why."""


def find(given: str, workspace: str, environ: Mapping[str, str]) -> str:
    """The absolute path of a trtexec, "" where there is none; raises NoSuchProgramError for a bad `given`."""
    if given:
        named = shutil.which(given, path=environ.get("PATH"))
        if named is None:
            raise NoSuchProgramError(f"--trtexec {given}: no such executable file")
        return str(Path(named).absolute())
    places = _below(Path(workspace)) if workspace else iter(())
    home = environ.get("TENSORRT_HOME", "")
    for path in (*places, *(_below(Path(home)) if home else ()), *_on_path(environ), _PACKAGED):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path.absolute())
    return ""


def library_path(program: str, environ: Mapping[str, str]) -> str:
    """LD_LIBRARY_PATH with the lib folder beside a tarball's bin in front, where there is one."""
    beside = Path(program).resolve().parent.parent / "lib"
    given = environ.get("LD_LIBRARY_PATH", "")
    if not any(beside.glob("libnvinfer.so*")):
        return given
    return os.pathsep.join(p for p in (str(beside), given) if p)


def _below(root: Path) -> Iterator[Path]:
    """Every bin/trtexec below a folder, nearest first; links are not followed, results not searched."""
    level = [root]
    for _ in range(_DEPTH):
        deeper: list[Path] = []
        for folder in level:
            if folder.name == "bin":
                yield folder / "trtexec"
            deeper += _folders(folder)
        level = deeper


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                Path(e.path)
                for e in entries
                if e.is_dir(follow_symlinks=False)
                and not e.name.startswith(".")
                and e.name not in _SKIPPED
            )
    except OSError:  # unreadable, or gone: searched no further
        return []


def _on_path(environ: Mapping[str, str]) -> tuple[Path, ...]:
    found = shutil.which("trtexec", path=environ.get("PATH"))
    return (Path(found),) if found else ()
