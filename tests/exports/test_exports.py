"""Each export, as the programs that CI systems run take it."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import junitparser
import pytest
from markdown_it import MarkdownIt
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from perf.cli.run_export import write_run
from perf.exports.export import FORMATS, UnknownFormatError, export
from perf.report.finished_run import FinishedRun
from perf.request.export_request import ExportRequest
from perf.results.tables import read_cells
from perf.schema import outcomes
from perf.schema.journal import Stage
from perf.schema.record import ArtefactFailed, Crashed, EnvironmentFailed, Record, Skipped
from tests.page import made_runs
from tests.page.made_runs import CPU, CUDA, run_of
from tests.web import consumers


@dataclass(frozen=True)
class Known:
    outcome: str
    text: str


def every_outcome() -> list[Record]:
    failed = [
        made_runs.failed(made_runs.cell(f"m{i}"), o) for i, o in enumerate(made_runs.FAILURES)
    ]
    return [*made_runs.many_cells(1, fail_every=0), *failed]


RUNS: Mapping[str, Sequence[Record]] = {
    "every outcome": every_outcome(),
    "hostile": made_runs.hostile(),
    "nothing planned": [],
}


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> FinishedRun:
    return run_of(RUNS[request.param])


def expecting(run: FinishedRun, **known: Known) -> FinishedRun:
    return replace(run, expected=known)


def written(run: FinishedRun, name: str, folder: Path, suffix: str) -> Path:
    path = folder / f"out.{suffix}"
    write_run(ExportRequest(name, path), run)
    return path


def test_junit_is_read_by_junitparser(run: FinishedRun, tmp_path: Path) -> None:
    path = written(run, "junit", tmp_path, "xml")
    suites = list(junitparser.JUnitXml.fromfile(str(path)))
    cases = [c for suite in suites for c in suite]
    assert len(cases) == len(run.records)
    kinds = [type(c.result[0]).__name__ if c.result else "passed" for c in cases]
    for kind, record in zip(kinds, run.records, strict=True):
        status = outcomes.status(record.outcome)
        want = {"Pass": "passed", "Skipped": "Skipped", "NotRun": "Skipped"}.get(status)
        ours = isinstance(record.outcome, (ArtefactFailed, EnvironmentFailed))
        assert kind == (want or ("Error" if ours else "Failure"))
    for suite in suites:
        assert suite.tests == len(list(suite))
        found = [type(c.result[0]).__name__ for c in suite if c.result]
        assert suite.failures == found.count("Failure")
        assert suite.errors == found.count("Error")
        assert suite.skipped == found.count("Skipped")


def test_junit_is_shown_by_xunit_viewer(tmp_path: Path) -> None:
    path = written(run_of(every_outcome()), "junit", tmp_path, "xml")
    shown = consumers.shown_junit(path, tmp_path / "page.html")
    assert "Crashed(run, SIGSEGV)" in shown
    assert shown.count("✓") == len(made_runs.TARGETS)


def test_junit_tells_what_to_do_next_and_the_figures() -> None:
    text = export("junit", run_of(every_outcome()))
    suites = junitparser.JUnitXml.fromstring(text.encode())
    crashed = next(c for s in suites for c in s if c.result and c.result[0].type == "Crashed")
    assert "stage: run" in crashed.result[0].text
    assert "--rerun" in crashed.result[0].text
    first = next(c for s in suites for c in s)
    properties = {p.get("name"): p.get("value") for p in first._elem.iter("property")}
    assert float(properties["p50_ms"]) > 0


def test_ctrf_is_valid_by_its_schema_and_its_own_validator(
    run: FinishedRun, tmp_path: Path
) -> None:
    path = written(run, "ctrf", tmp_path, "json")
    consumers.validate_ctrf(path)
    consumers.validate_json(path, consumers.CTRF_SCHEMA)
    results = json.loads(path.read_text())["results"]
    summary = results["summary"]
    assert summary["tests"] == len(run.records) == len(results["tests"])
    assert summary["passed"] + summary["failed"] + summary["skipped"] == summary["tests"]
    assert summary["start"] <= summary["stop"]


def test_sarif_satisfies_the_multitool(run: FinishedRun, tmp_path: Path) -> None:
    path = written(run, "sarif", tmp_path, "sarif")
    found = consumers.sarif_findings(path, tmp_path)
    assert [
        f for f in found if "informationUri" not in f
    ] == []  # the project has no address to tell
    results = json.loads(path.read_text())["runs"][0]["results"]
    failed = [r for r in run.records if outcomes.status(r.outcome) == "Fail"]
    assert len([r for r in results if r["level"] == "error"]) == len(failed)


def test_a_finding_is_the_same_in_the_next_run() -> None:
    record = made_runs.failed(made_runs.cell("m"), Crashed(Stage.RUN, "SIGSEGV"))
    prints = []
    for name in ("one", "two"):
        log = json.loads(
            export("sarif", replace(run_of([replace(record, run_id=name)]), run_id=name))
        )
        prints.append(log["runs"][0]["results"][0]["partialFingerprints"])
    assert prints[0] == prints[1]


COMMAND = re.compile(r"::(error|warning|notice) title=([^:,\r\n]*)::([^\r\n]*)")


def test_annotations_are_commands_of_the_runner(run: FinishedRun) -> None:
    lines = export("github", run).splitlines()
    told = [COMMAND.fullmatch(line) for line in lines]
    assert all(told)
    errors = [m for m in told if m and m[1] == "error"]
    wrong = [r for r in run.records if outcomes.status(r.outcome) == "Fail"]
    assert len(errors) == min(len(wrong), 10)


def test_an_annotation_reads_as_it_was_meant() -> None:
    record = made_runs.failed(made_runs.cell("a,b::c%d"), Skipped("no"))
    failed = made_runs.failed(made_runs.cell("a,b::c%d", CUDA), made_runs.FAILURES[1])
    first = export("github", run_of([record, failed])).splitlines()[0]
    match = COMMAND.fullmatch(first)
    assert match
    title = match[2].replace("%3A", ":").replace("%2C", ",").replace("%25", "%")
    assert title == f"a,b::c%d::{CUDA}"


def test_markdown_is_a_table_of_every_model_and_target(run: FinishedRun) -> None:
    html = MarkdownIt("commonmark").enable("table").render(export("markdown", run))
    assert "<script" not in html
    assert "<img" not in html
    rows = html.split("</table>")[0].count("<tr>") if run.records else 0
    models = {r.cell.model.name for r in run.records}
    assert rows == (len(models) + 1 if models else 0)
    if models:
        width = html.split("</thead>")[0].count("<th>")
        assert width == 1 + len({r.cell.target.label for r in run.records})


def test_a_step_summary_is_no_larger_than_github_takes() -> None:
    records = [
        made_runs.failed(made_runs.cell(f"model_{i}_{'x' * 80}", target), made_runs.FAILURES[1])
        for i in range(3000)
        for target in (CPU, CUDA)
    ]
    text = export("github-summary", run_of(records))
    assert len(text.encode()) <= 1_000_000
    assert text.rstrip().endswith("Cut here: the whole is in the run's folder.")


def test_bencher_has_measures_with_bounds_around_their_values(
    run: FinishedRun, tmp_path: Path
) -> None:
    path = written(run, "bencher", tmp_path, "json")
    schema = tmp_path / "bmf.json"
    schema.write_text(json.dumps(BMF))
    consumers.validate_json(path, schema)
    told = json.loads(path.read_text())
    passed = [r for r in run.records if outcomes.status(r.outcome) == "Pass"]
    assert len(told) == len(passed)
    for measures in told.values():
        latency = measures["latency"]
        assert latency["lower_value"] <= latency["value"] <= latency["upper_value"]


# As Bencher's reference gives it, with names that are not empty.
BMF = {
    "$schema": "http://json-schema.org/draft-07/schema",
    "type": "object",
    "patternProperties": {
        ".+": {
            "type": "object",
            "patternProperties": {
                ".+": {
                    "type": "object",
                    "properties": {
                        k: {"type": "number"} for k in ("value", "lower_value", "upper_value")
                    },
                    "required": ["value"],
                    "additionalProperties": False,
                }
            },
        }
    },
}


def test_csv_and_json_hold_the_rows_of_the_long_table(run: FinishedRun, tmp_path: Path) -> None:
    rows = read_cells(written(run, "csv", tmp_path, "csv"))
    assert len(rows) == len(run.records)
    plain = list(csv.DictReader(io.StringIO(export("csv", run))))
    told = json.loads(export("json", run))
    assert told["run_id"] == run.run_id
    assert [c["target"] for c in told["cells"]] == [r["target"] for r in plain]


def test_openmetrics_is_read_by_both_of_prometheus_parsers(run: FinishedRun) -> None:
    text = export("openmetrics", run)
    families = {f.name: f for f in openmetrics.text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    older = {f.name: f for f in prometheus(text)}
    assert set(families) == set(older)
    if not run.records:
        assert families == {}
        return
    outcome = families["ep_perf_cell_outcome"]
    assert len(outcome.samples) == len(run.records)
    passed = [r for r in run.records if outcomes.status(r.outcome) == "Pass"]
    assert len(families["ep_perf_latency_median_seconds"].samples) == len(passed)
    assert families["ep_perf_latency_median_seconds"].unit == "seconds"


def test_an_expected_failure_is_skipped_everywhere_and_an_unexpected_pass_is_told() -> None:
    failing = made_runs.failed(made_runs.cell("m", CUDA), made_runs.FAILURES[2])
    passing = made_runs.many_cells(1, fail_every=0)[0]
    known = {
        failing.cell.id: Known("Crashed", "a bug of the EP (issue 7)"),
        passing.cell.id: Known("Mismatched", "was wrong once"),
    }
    run = replace(run_of([failing, passing]), expected=known)
    suites = junitparser.JUnitXml.fromstring(export("junit", run).encode())
    first, second = (c for s in suites for c in s)
    assert type(first.result[0]).__name__ == "Skipped"
    assert "issue 7" in first.result[0].message
    assert "unexpected pass: was wrong once" in second.system_out
    tests = json.loads(export("ctrf", run))["results"]["tests"]
    assert [t["status"] for t in tests] == ["skipped", "passed"]
    found = json.loads(export("sarif", run))["runs"][0]["results"]
    assert found[0]["suppressions"][0]["justification"] == "a bug of the EP (issue 7)"
    annotations = export("github", run)
    assert "::error" not in annotations
    assert "::warning" in annotations
    assert "was wrong once" in export("markdown", run)


def test_another_outcome_than_the_expected_one_is_a_failure() -> None:
    failing = made_runs.failed(made_runs.cell("m", CUDA), made_runs.FAILURES[2])
    run = replace(run_of([failing]), expected={failing.cell.id: Known("Mismatched", "known")})
    (test,) = json.loads(export("ctrf", run))["results"]["tests"]
    assert test["status"] == "failed"


def test_a_format_that_is_none_names_those_there_are() -> None:
    with pytest.raises(UnknownFormatError, match=r"no format 'junt': there are junit, ctrf"):
        export("junt", run_of([]))


@pytest.mark.parametrize("name", FORMATS)
def test_no_export_names_a_path_of_the_machine_that_is_not_in_its_records(name: str) -> None:
    text = export(name, run_of(every_outcome()))
    assert "/root" not in text
    assert str(Path.cwd()) not in text
