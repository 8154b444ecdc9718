"""CTRF, the Common Test Report Format: a JSON report with a test per cell, its model as its suite."""

import json
from collections import Counter
from typing import Any

from perf.exports.case import Case, Result, cases_of, ended_ms
from perf.exports.figures import figures_of
from perf.report.finished_run import FinishedRun

SPEC = "0.0.0"
STATUS = {
    Result.PASSED: "passed",
    Result.FAILED: "failed",
    Result.ERROR: "failed",
    Result.SKIPPED: "skipped",
}


def to_ctrf(run: FinishedRun) -> str:
    """The run as one report."""
    cases = cases_of(run)
    ends = [e for c in cases if (e := ended_ms(c)) is not None]
    begun = [e - round(c.record.wall_s * 1000) for c in cases if (e := ended_ms(c)) is not None]
    found = Counter(STATUS[c.result] for c in cases)
    results: dict[str, Any] = {
        "tool": {"name": "ep-perf", "version": run.harness_version},
        "summary": {
            "tests": len(cases),
            **{s: found[s] for s in ("passed", "failed", "skipped")},
            "pending": 0,
            "other": 0,
            "suites": len({c.model for c in cases}),
            "start": min(begun, default=0),
            "stop": max(ends, default=0),
        },
        "tests": [_test(c) for c in cases],
    }
    if run.host:
        results["environment"] = {
            "osPlatform": run.host.os,
            "osRelease": run.host.kernel,
            "commit": run.host.harness_commit,
            "extra": {
                "host": run.host.hostname,
                "cpu": run.host.cpu,
                "gpus": [g.name for g in run.host.gpus],
            },
        }
    report = {
        "reportFormat": "CTRF",
        "specVersion": SPEC,
        "runId": run.run_id or "unnamed",
        "generatedBy": "ep-perf",
        "results": results,
    }
    return json.dumps(report, indent=1) + "\n"


def _test(case: Case) -> dict[str, Any]:
    out: dict[str, Any] = {
        "testId": case.id or "unnamed",
        "name": case.name or "unnamed",
        "status": STATUS[case.result],
        "duration": round(case.record.wall_s * 1000),
        "suite": [case.model],
        "rawStatus": case.outcome,
        "tags": [m for m in case.row.marks if m],
        "labels": {"target": case.record.cell.target.name, **figures_of(case)},
    }
    if (ended := ended_ms(case)) is not None:
        out["stop"] = ended
        out["start"] = ended - out["duration"]
    if case.message:
        out["message"] = case.message
    if case.details:
        out["trace"] = case.details
    if case.unexpected_pass:
        out["message"] = f"unexpected pass: {case.unexpected_pass}"
    return out
