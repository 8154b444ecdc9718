"""How a run is named on a command line: latest, latest~1, its id, its folder, or the name it was saved by."""

import re
import secrets
from pathlib import Path

from perf.request.options import BadRequestError
from perf.request.programs import command_of
from perf.results.run_folder import RunFolder, read_json

RUN_MARK = "run.json"
BASELINES = "baselines"  # in the folder of results: links by the names that runs were saved under
NAMED = 5  # runs that a refusal tells of


def find_run(results: Path, spec: str = "latest") -> RunFolder:
    """The run that a word means; raises BadRequestError where there is none."""
    if match := re.fullmatch(r"latest(?:~(\d+))?", spec):
        return _find_latest(results, int(match[1] or 0))
    for path in (Path(spec), results / spec, baseline_path(results, spec)):
        if is_run(path):
            real = path.resolve()
            inside = real.parent == results.resolve()
            return RunFolder(results if inside else real.parent, real.name)
    known = ", ".join(p.name for p in list_runs(results)[:NAMED]) or "none"
    raise BadRequestError(
        f"{spec}: no such file, folder, run id or saved name below {results}/; known runs: {known}"
    )


def find_cell(word: str) -> str:
    """The id of a cell that a word means: its id, its folder, or its record; raises BadRequestError."""
    path = Path(word)
    if "::" in word or not path.exists():
        return word
    for file in (path / "record.json", path / "cell.json") if path.is_dir() else (path,):
        told = read_json(file)
        cell = told.get("cell", told) if isinstance(told, dict) else None
        if isinstance(cell, dict) and isinstance(cell.get("id"), str):
            return str(cell["id"])
    raise BadRequestError(f"{word}: no cell's record; give model::target[variant], or record.json")


def is_run(path: Path) -> bool:
    """Whether a path is a run's folder."""
    return (path / "cells").is_dir() or (path / RUN_MARK).is_file()


def list_runs(results: Path) -> list[Path]:
    """Run folders, newest first, by when run.json was written; ties by name."""
    found = [p.parent for p in results.glob(f"*/{RUN_MARK}") if not p.parent.is_symlink()]
    found.sort(key=lambda p: ((p / RUN_MARK).stat().st_mtime_ns, p.name), reverse=True)
    linked = (results / "latest").resolve()
    return sorted(found, key=lambda p: p.resolve() != linked)  # stable: the linked one comes first


def save_baseline(run: RunFolder, name: str) -> Path:
    """Let `name` mean this run, in place of what it meant; raises OSError."""
    path = baseline_path(run.results, name)
    path.parent.mkdir(exist_ok=True)
    aside = path.with_name(f".{name}.{secrets.token_hex(4)}")
    aside.symlink_to(Path("..") / run.run_id)
    return aside.replace(path)


def list_baselines(results: Path) -> dict[str, str]:
    """Run ids by the names that they were saved under."""
    links = sorted((results / BASELINES).glob("*"))
    return {p.name: p.readlink().name for p in links if p.is_symlink()}


def baseline_path(results: Path, name: str) -> Path:
    """The link that a saved name is."""
    return results / BASELINES / name


def _find_latest(results: Path, back: int) -> RunFolder:
    found = list_runs(results)
    if back >= len(found):
        raise BadRequestError(
            f"latest{f'~{back}' if back else ''}: {results}/ holds {len(found)} runs (no {RUN_MARK}); "
            f"run {command_of('perf.cli.benchmark_wrapper')} {'again' if found else 'first'}, "
            "or name the folder of results by -o (compare: --results)"
        )
    return RunFolder(results, found[back].name)
