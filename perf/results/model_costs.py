"""Seconds that each model of an earlier run took, all its cells together, to balance a later plan by."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from perf.request.options import BadRequestError
from perf.results import run_folder, run_names
from perf.schema import atomic_file
from perf.schema.untrusted_file import open_table


def read_model_costs(given: str, results: Path) -> Mapping[str, float]:
    """Costs of a run, by its folder or its id below `results`, or those that `write_model_costs` kept.

    Raises BadRequestError for what is neither.
    """
    path = Path(given)
    if path.is_file():
        return _read_kept(path)
    folder = path if (path / "run.json").is_file() else results / given
    run = run_names.find_run(folder.absolute().parent, folder.name)
    costs_s: dict[str, float] = {}
    for model, wall_s in _cells(run.root / "cells.jsonl"):
        costs_s[model] = costs_s.get(model, 0.0) + wall_s
    return costs_s


def write_model_costs(costs_s: Mapping[str, float], path: Path) -> None:
    """Keep costs in a file that every host reads alike."""
    atomic_file.write_json(path, dict(sorted(costs_s.items())))


def _read_kept(path: Path) -> Mapping[str, float]:
    told = run_folder.read_json(path)
    if not isinstance(told, dict) or not all(map(_is_cost, told.values())):
        raise BadRequestError(f"{path}: expected a JSON object of model names and their seconds")
    return {str(model): float(seconds) for model, seconds in told.items()}


def _cells(path: Path) -> Iterator[tuple[str, float]]:
    """Model and seconds of each row of a run's long table; two columns of the hundred are looked at."""
    number = 0
    try:
        with open_table(path) as lines:
            for line in lines:
                number += 1
                row = json.loads(line)
                if _is_cost(row.get("wall_s")):
                    yield str(row["model"]), float(row["wall_s"])
    except (OSError, ValueError, KeyError, AttributeError) as e:
        told = e.strerror if isinstance(e, OSError) else f"line {number}: {e}"
        raise BadRequestError(
            f"{path}: {told}; --shard_costs names a run that wrote its tables"
        ) from e


def _is_cost(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )
