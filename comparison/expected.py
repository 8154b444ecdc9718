"""Known failures, from expected.toml: what a cell does, why that is no surprise, and where to read more."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from comparison.cell_summary import Metric, Side, passed
from comparison.run_records import UnreadableError
from comparison.verdict import Line, verdict_name

KEYS = {"outcome", "verdict", "metric", "reason", "link"}


@dataclass(frozen=True)
class Known:
    """One entry: an outcome of the current side, or a verdict about a metric (any, where empty)."""

    outcome: str
    verdict: str
    metric: str
    reason: str
    link: str

    @property
    def text(self) -> str:
        """Reason and link, as they are printed."""
        return f"{self.reason} ({self.link})" if self.link else self.reason


@dataclass(frozen=True)
class UnexpectedPass:
    """A cell that does better than expected.toml says; the entry can go."""

    cell: str
    known: Known


def read_expected(path: Path) -> Mapping[str, Known]:
    """Entries by cell id; raises UnreadableError for what is missing, torn or misspelled.

    ["squeezenet::CUDAExecutionProvider_fp16"]
    outcome = "Mismatched"        # or: verdict = "Slower", metric = "latency_p50"
    reason = "fp16 overflows in the last softmax"
    link = "https://…"
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnreadableError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise UnreadableError(f"{path}: not TOML ({e})") from e
    return {cell: _known(path, cell, entry) for cell, entry in tables.items()}


def _known(path: Path, cell: str, entry: Any) -> Known:
    if not isinstance(entry, dict):
        raise UnreadableError(f'{path}: {cell}: expected a table ["{cell}"]')
    if unknown := sorted(entry.keys() - KEYS):
        raise UnreadableError(
            f"{path}: {cell}: unknown key {unknown[0]!r}; use {', '.join(sorted(KEYS))}"
        )
    if not entry.get("reason") or bool(entry.get("outcome")) == bool(entry.get("verdict")):
        raise UnreadableError(f"{path}: {cell}: give a reason, and either an outcome or a verdict")
    return Known(**{key: str(entry.get(key, "")) for key in KEYS})


def apply_expected(
    lines: Sequence[Line], known: Mapping[str, Known], current: Side
) -> tuple[tuple[Line, ...], tuple[UnexpectedPass, ...]]:
    """Mark what was expected, and find what was expected to fail and does not."""
    outcomes = {c.id: c for c in current.cells}
    marked = tuple(
        replace(line, expected=entry.text)
        if (entry := known.get(line.cell)) and _fits(entry, line, outcomes.get(line.cell))
        else line
        for line in lines
    )
    better = tuple(
        UnexpectedPass(cell, entry)
        for cell, entry in sorted(known.items())
        if entry.outcome
        and cell in outcomes
        and passed(outcomes[cell])
        and entry.outcome not in PASSES
    )
    return marked, better


PASSES = ("Passed", "Pass")


def _fits(entry: Known, line: Line, cell: Any) -> bool:
    if entry.outcome:
        return line.metric is Metric.STATUS and cell is not None and cell.outcome == entry.outcome
    return verdict_name(line.verdict) == entry.verdict and entry.metric in ("", line.metric.value)
