"""Runs of elsewhere as folders that the index takes in: the predecessor's tables, and runs of any version."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from comparison.cell_summary import NOT_TRIED, CellSummary, Metric
from comparison.legacy_runs import LegacyRun, read_runs
from perf.history.index import MEANS
from perf.history.prune import MADE_AGAIN
from perf.machine.system import SystemInfo
from perf.request.bad_request import BadRequestError
from perf.results import run_names, tables
from perf.results.run_folder import RunFolder, read_json, read_records
from perf.schema import atomic_file, codec, outcomes

ABOUT = {"CPU", "GPU"}  # specs of the machine itself; the others are versions
COLUMNS = {
    Metric.MEAN: "mean_ms", Metric.GPU_MEMORY: "gpu_peak_mib", Metric.SESSION: "creation_second_s",
}  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """One run that was taken in, or was there already."""

    run_id: str
    cells: int
    is_new: bool
    machine: str


def import_source(source: Path, results: Path, machine: str) -> tuple[Imported, ...]:
    """Take in a run's folder, or the predecessor's tables; raises BadRequestError, UnreadableError, OSError.

    `machine` is where it was measured, in the words of `results trend`; "": as it says itself.
    """
    if not source.exists():
        raise BadRequestError(f"{source}: no such file or folder")
    if source.is_dir() and run_names.is_run(source):
        return (_import_folder(source.resolve(), results, machine),)
    return tuple(_import_tables(run, results, machine) for run in read_runs(source))


def _import_folder(source: Path, results: Path, machine: str) -> Imported:
    """A copy without what any run makes anew, with tables where its version left none that can be read."""
    told = read_json(source / run_names.RUN_MARK)
    if not isinstance(told, dict):
        raise BadRequestError(f"{source}/{run_names.RUN_MARK}: not readable, so no run of ours")
    target = results / source.name
    run = RunFolder(results, source.name)
    if target.exists():
        there = read_json(target / run_names.RUN_MARK)
        if not isinstance(there, dict) or {**there, "machine": ""} != {**told, "machine": ""}:
            raise BadRequestError(
                f"{target}: another run has this id; move it, or give --results another folder"
            )
        return Imported(run.run_id, len(read_records(run)), False, "")
    aside = results / f".{source.name}.importing"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        shutil.copytree(source, aside, symlinks=True, ignore=shutil.ignore_patterns(*MADE_AGAIN))
        if machine:
            _describe(aside / run_names.RUN_MARK, {**told, "machine": machine})
        _complete(RunFolder(results, aside.name), source.name, str(told.get("label") or ""))
        aside.replace(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Imported(run.run_id, len(read_records(run)), True, machine)


def _complete(run: RunFolder, run_id: str, label: str) -> None:
    """Write cells.jsonl from the records where there is none that can be read."""
    path = run.root / "cells.jsonl"
    try:
        tables.read_cells(path)
    except (tables.TableError, OSError):
        records = read_records(run)
        host = read_json(run.root / "host.json")
        try:
            name = codec.decode(SystemInfo, host).hostname
        except ValueError:
            name = ""
        cells = tables.tabulate_cells(records, run_id=run_id, label=label, host=name)
        text = "".join(tables.to_json(c.row) + "\n" for c in cells)
        atomic_file.write_bytes(path, text.encode("utf-8", "backslashreplace"))


def _describe(path: Path, told: dict[str, object]) -> None:
    """Write run.json as of the time that the run has: it is the order of runs."""
    written = path.stat()
    atomic_file.write_json(path, told)
    os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))


def _import_tables(run: LegacyRun, results: Path, machine: str) -> Imported:
    """A folder named after its content, so that importing again changes nothing."""
    where = machine or ", ".join(v for k, v in run.specs.items() if k in ABOUT)
    versions = {"onnxruntime": run.version} if run.version else {}
    versions |= {k: v for k, v in run.specs.items() if k not in ABOUT}
    rows = [_row(cell, versions) for cell in run.summary.cells]
    content = json.dumps([rows, where, round(run.began_s)], sort_keys=True).encode()
    run_id = f"imported-{hashlib.sha256(content).hexdigest()[:12]}"
    target = results / run_id
    if target.exists():
        return Imported(run_id, len(rows), False, where)
    aside = results / f".{run_id}.importing"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        lines = "".join(json.dumps({"run_id": run_id, **row}) + "\n" for row in rows)
        atomic_file.write_bytes(aside / "cells.jsonl", lines.encode())
        mark = aside / run_names.RUN_MARK
        told = {"label": run.summary.label, "cells": [r["cell"] for r in rows], "machine": where,
                "figure": MEANS}  # fmt: skip
        atomic_file.write_json(mark, told)
        os.utime(mark, (run.began_s, run.began_s))
        aside.replace(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Imported(run_id, len(rows), True, where)


def _row(cell: CellSummary, versions: dict[str, str]) -> dict[str, object]:
    timed = Metric.MEAN in cell.values
    outcome = cell.outcome or ("Passed" if timed else "NotRun")
    if cell.passed or (not cell.outcome and timed):
        status = outcomes.PASS
    else:
        status = outcomes.NOT_RUN if outcome in NOT_TRIED else outcomes.FAIL
    figures = {
        name: cell.values[metric] for metric, name in COLUMNS.items() if metric in cell.values
    }
    return {
        "cell": cell.id, "model": cell.model, "target": cell.target, "status": status, "outcome": outcome,
        "detail": cell.detail, "versions": versions, **figures,
    }  # fmt: skip
