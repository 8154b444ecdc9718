"""SARIF 2.1.0: a finding per cell that failed or whose figures are in doubt, a rule per kind of finding."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from perf.exports.case import Case, Result, cases_of
from perf.report.finished_run import FinishedRun
from perf.schema import outcomes, record
from perf.schema.codec import tag_of

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MARKED = "Marked"  # the rule of figures that are published and in doubt
RULES = {
    **{tag_of(kind): (kind.__doc__ or "").strip() for kind in record.Outcome.__args__},
    MARKED: "A latency is published, with something to know before believing it.",
}


def to_sarif(run: FinishedRun) -> str:
    """The run's findings as one log."""
    found = [f for case in cases_of(run) for f in _findings(run, case)]
    used = sorted({str(f["ruleId"]) for f in found})
    for f in found:
        f["ruleIndex"] = used.index(str(f["ruleId"]))
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "ep-perf",
                        "version": run.harness_version,
                        "rules": [_rule(name) for name in used],
                    }
                },
                "automationDetails": {"id": f"ep-perf/{run.run_id or 'unnamed'}"},
                "originalUriBaseIds": {
                    "RESULTS": {"description": {"text": "The folder of results (-o)."}}
                },
                "columnKind": "unicodeCodePoints",
                "results": found,
            }
        ],
    }
    return json.dumps(log, indent=1) + "\n"


def _rule(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "shortDescription": {"text": RULES[name]},
        "fullDescription": {"text": RULES[name]},
        "defaultConfiguration": {"level": "note" if name == MARKED else "error"},
    }


def _findings(run: FinishedRun, case: Case) -> Iterator[dict[str, Any]]:
    if case.result in (Result.FAILED, Result.ERROR) or case.expected:
        told = _finding(run, case, case.kind, "error", f"{case.id}: {case.message}")
        if case.expected:
            told["level"] = "note"
            told["suppressions"] = [
                {"kind": "external", "status": "accepted", "justification": case.expected}
            ]
        yield told
    elif case.unexpected_pass:
        words = f"{case.id} passed, and was expected to fail: {case.unexpected_pass}"
        yield _finding(run, case, tag_of(record.Passed), "note", words)
    elif case.row.marks:
        words = f"{case.id}: {', '.join(case.row.marks)}"
        yield _finding(run, case, MARKED, "note", words)


def _finding(run: FinishedRun, case: Case, rule: str, level: str, words: str) -> dict[str, Any]:
    log = case.row.log or f"{run.run_id}/cells.csv"
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": words},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {
                        "uri": quote(log, errors="replace"),
                        "uriBaseId": "RESULTS",
                    },
                    "region": {"startLine": 1},
                },
                "logicalLocations": [
                    {"name": case.name, "fullyQualifiedName": case.id, "kind": "module"}
                ],
            }
        ],
        # the same finding in the next run: the cell and what happened to it, not where its log lies
        "partialFingerprints": {
            "cell/v1": f"{case.id}#{rule}#{outcomes.stage(case.record.outcome)}"
        },
    }
