"""Known failures, from expected.toml: what a cell does, why that is no surprise, and where to read more."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from comparison.cell_summary import PASSED, Metric, RunSummary, UnreadableError
from comparison.verdict import Line, verdict_name
from perf.request.fail_on import OUTCOMES, VERDICTS
from perf.schema.untrusted_file import read_text

KEYS = {"outcome", "verdict", "metric", "reason", "link"}


@dataclass(frozen=True)
class ExpectedFailure:
    """One entry: an outcome of the current run, or a verdict about a metric (any, where empty)."""

    outcome: str
    verdict: str
    metric: str
    reason: str
    link: str

    @property
    def text(self) -> str:
        """Reason and link, as they are printed."""
        return f"{self.reason} ({self.link})" if self.link else self.reason


def read_expected(path: Path) -> Mapping[str, ExpectedFailure]:
    """Entries by cell id; raises UnreadableError for what is missing, torn or misspelled.

    ["squeezenet::CUDAExecutionProvider_fp16"]
    outcome = "Mismatched"        # or: verdict = "Slower", metric = "latency_p50"
    reason = "fp16 overflows in the last softmax"
    link = "https://…"
    """
    try:
        tables = tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise UnreadableError(f"{path}: no such file") from None
    except OSError as e:
        raise UnreadableError(f"{path}: {e.strerror}") from e
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise UnreadableError(f"{path}: not TOML ({e})") from e
    return {cell: _parse_entry(path, cell, entry) for cell, entry in tables.items()}


def _parse_entry(path: Path, cell: str, entry: Any) -> ExpectedFailure:
    if not isinstance(entry, dict):
        raise UnreadableError(f'{path}: {cell}: expected a table ["{cell}"]')
    if unknown := sorted(entry.keys() - KEYS):
        raise UnreadableError(
            f"{path}: {cell}: unknown key {unknown[0]!r}; use {', '.join(sorted(KEYS))}"
        )
    if not entry.get("reason") or bool(entry.get("outcome")) == bool(entry.get("verdict")):
        raise UnreadableError(f"{path}: {cell}: give a reason, and either an outcome or a verdict")
    for kind, names in (("outcome", (*OUTCOMES, *sorted(PASSED), "Fail")), ("verdict", VERDICTS)):
        if (told := str(entry.get(kind, ""))) and told not in names:
            raise UnreadableError(f"{path}: {cell}: no {kind} {told!r}; use {', '.join(names)}")
    return ExpectedFailure(**{key: str(entry.get(key, "")) for key in KEYS})


def apply_expected(
    lines: Sequence[Line], known: Mapping[str, ExpectedFailure], current: RunSummary
) -> tuple[tuple[Line, ...], list[str]]:
    """Mark what was expected, and remark on what was expected to fail and passes: its entry can go."""
    outcomes = {c.id: c.outcome for c in current.cells}
    marked = tuple(
        replace(line, expected=entry.text)
        if (entry := known.get(line.cell)) and _covers(entry, line, outcomes.get(line.cell))
        else line
        for line in lines
    )
    remarks = [
        f"Unexpected pass: {cell} was expected to be {entry.outcome}: {entry.text}"
        for cell, entry in sorted(known.items())
        if entry.outcome and outcomes.get(cell) in PASSED and entry.outcome not in PASSED
    ]
    return marked, remarks


def _covers(entry: ExpectedFailure, line: Line, outcome: str | None) -> bool:
    if entry.outcome:
        return line.metric is Metric.STATUS and outcome == entry.outcome
    return verdict_name(line.verdict) == entry.verdict and entry.metric in ("", line.metric.value)
