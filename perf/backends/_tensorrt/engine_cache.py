"""Where an engine that was built is kept: by all that can change it, under a lock while it is made."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from perf.schema.cell import Cell
from perf.schema.shape_profiles import ShapeProfile


def engine_file(
    cell: Cell,
    folder: Path,
    maker: str,
    model: str,
    profiles: Sequence[ShapeProfile],
    proc: Path = Path("/proc/driver/nvidia"),
) -> Path:
    """A file named by the digest of all that can change an engine; beside it, as .json, that in words.

    `maker` is what builds it, with its version: engines serve no other. Engines are made for a board too.
    """
    identity = {
        "model": cell.model.sha256,
        "built_from": Path(model).name,
        "maker": maker,
        "precision": cell.target.precision.value,
        "tf32": cell.tf32,
        "options": dict(sorted(cell.options.items())),
        "profiles": [[p.name, p.min, p.opt, p.max] for p in profiles],
        "boards": boards(proc),
        "device": [cell.device, os.environ.get("CUDA_VISIBLE_DEVICES", "")],
        "variables": dict(sorted(cell.environment.variables.items())),
    }
    text = json.dumps(identity, sort_keys=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.engine"
    folder.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
    return path


def boards(proc: Path) -> list[str]:
    """The models of this machine's NVIDIA boards and the driver, by the driver's own files."""
    lines = []
    for file in sorted(proc.glob("gpus/*/information")):
        text = file.read_text(encoding="utf-8", errors="replace")
        lines += [
            line.split(":", 1)[1].strip()
            for line in text.splitlines()
            if line.startswith("Model:")
        ]
    with suppress(OSError, IndexError):  # no driver here
        version = (proc / "version").read_text(encoding="utf-8", errors="replace")
        lines.append(version.splitlines()[0])
    return lines


@contextmanager
def locked(engine: Path) -> Iterator[None]:
    """Hold an engine's lock, across processes and runs that share its folder, until it can be had."""
    with engine.with_suffix(".lock").open("a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


@contextmanager
def made_aside(engine: Path) -> Iterator[Path]:
    """A path to build at; the file takes its place in one step if all went well, and goes if not."""
    aside = engine.with_suffix(f".{os.getpid()}.part")
    try:
        yield aside
        aside.replace(engine)
    finally:
        aside.unlink(missing_ok=True)


def timing_cache(cell: Cell, engine: Path, options: Mapping[str, str]) -> Path:
    """The builder's timing cache: shared by the engines of a folder, but not by repeated builds.

    A rebuild that read another's timings would choose its tactics, and show no spread between builds.
    """
    name = (
        f"timing-{engine.stem}"
        if options.get("build")
        else f"timing-{cell.target.precision.value}"
    )
    return engine.with_name(name + ".cache")
