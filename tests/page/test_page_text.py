"""What the page says, read from its HTML: verdict, figures, failures, footnotes, anchors, sizes."""

import html
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from perf.cli.run_export import write_run
from perf.exports.export import FORMATS
from perf.page.document import render_page
from perf.page.matrix import verdict
from perf.page.subject import subjects_of
from perf.page.write import page_path, write_report
from perf.report.finished_run import FinishedRun, read_finished_run
from perf.request.export_request import ExportRequest
from perf.results import tables
from perf.results.run_folder import RunFolder
from perf.schema.journal import Stage
from perf.schema.record import Crashed, NotRun, Raised, Record, Skipped
from tests.page import made_runs
from tests.page.made_runs import CPU, CUDA, run_of


@dataclass(frozen=True)
class Known:
    outcome: str
    text: str


def text_of(page: str) -> str:
    """The page's text, as a reader without styles has it."""
    body = re.sub(r"<(script|style)>.*?</\1>", "", page.split("<body>")[1], flags=re.S)
    return html.unescape(re.sub(r"<[^>]*>", "", body))


def sentence(records: Sequence[Record]) -> str:
    return verdict(subjects_of([run_of(records)]))


def passing(model: str = "squeezenet", target: str = CPU, ms: float = 5.0) -> Record:
    return made_runs.passed(made_runs.cell(model, target), ms, random.Random(1))


def crashed(model: str = "squeezenet", target: str = CUDA) -> Record:
    return made_runs.failed(made_runs.cell(model, target), Crashed(Stage.RUN, "SIGSEGV"))


def test_the_verdict_is_one_sentence_for_every_kind_of_run() -> None:
    assert sentence([]) == "Nothing was planned, so nothing was measured."
    assert sentence([passing()]) == "All 1 cell passed."
    assert sentence([crashed()]) == "The only cell failed; 1 failed (1 Crashed)."
    assert (
        sentence([crashed("a"), crashed("b")]) == "None of 2 cells passed; 2 failed (2 Crashed)."
    )
    told = sentence([
        passing(),
        crashed(),
        made_runs.failed(made_runs.cell("a"), Skipped("no device")),
        made_runs.failed(made_runs.cell("b"), NotRun("interrupted")),
    ])  # fmt: skip
    assert told == "1 of 4 cells passed; 1 failed (1 Crashed); 1 skipped and 1 not run."


def test_the_verdict_names_the_largest_gain_that_can_be_claimed() -> None:
    told = sentence([passing(), passing(target=CUDA, ms=1.0)]).replace("\u00a0", " ")
    assert re.search(
        r"the most over the CPU EP is squeezenet on CUDA\w+, 4\.9\d × faster \[4\.\d+, 5\.\d+\]",
        told,
    )
    told = sentence([passing(), passing(target=CUDA, ms=9.0)])
    assert told.endswith("nothing was faster than the CPU EP.")


def test_every_model_target_and_p50_of_the_long_table_is_in_the_text(tmp_path: Path) -> None:
    records = made_runs.many_cells(6)
    text = text_of(render_page([run_of(records)]))
    write_run(ExportRequest("csv", tmp_path / "cells.csv"), run_of(records))
    rows = tables.read_cells(tmp_path / "cells.csv")
    assert sum(r.p50_ms is not None for r in rows) > 30
    for row in rows:
        assert row.model in text
        assert row.target in text
        assert row.p50_ms is None or repr(row.p50_ms) in text


def test_a_failure_is_told_with_stage_reason_evidence_log_and_command() -> None:
    text = text_of(render_page([run_of([passing(), crashed()])]))
    for told in (
        "Stagerun",
        "the process was ended by SIGSEGV",
        "launch check: signal 11, resident memory reached 300 MiB, after 1.5 s",
        "[E] kernel not found",
        "--rerun 'squeezenet::CUDAExecutionProvider'",
    ):
        assert told in text


def test_the_log_of_the_run_itself_is_shown_stacks_included(tmp_path: Path) -> None:
    record = crashed()
    folder = made_runs.stored(tmp_path, [record])
    log = folder.launch(record.cell, "check") / "output.log"
    log.parent.mkdir(parents=True)
    frames = [
        "Fatal Python error: Segmentation fault",
        '  File "session.py", line 7 in run',
        "\x1b[31mred",
    ]
    log.write_text("\n".join(frames))
    text = text_of(render_page([read_finished_run(folder)]))
    assert (
        "\n".join(
            ["Fatal Python error: Segmentation fault", '  File "session.py", line 7 in run', "red"]
        )
        in text
    )


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    record = crashed()
    folder = made_runs.stored(tmp_path, [record])
    secret = tmp_path / "secret"
    secret.write_text("not for the page\n" * 9)
    log = folder.launch(record.cell, "check") / "output.log"
    log.parent.mkdir(parents=True)
    log.symlink_to(secret)
    text = text_of(render_page([read_finished_run(folder)]))
    assert "not for the page" not in text
    assert "[E] kernel not found" in text


def test_what_was_not_tried_is_told_by_its_reason() -> None:
    records = [made_runs.failed(made_runs.cell(f"m{i}"), Skipped("no device")) for i in range(14)]
    text = text_of(render_page([run_of(records)]))
    assert "Skipped: no device (14 cells): m0::CPUExecutionProvider" in text
    assert "and 2 more" in text


def test_an_expected_failure_and_an_unexpected_pass_are_told() -> None:
    good, bad = passing(), crashed()
    known = {
        good.cell.id: Known("Mismatched", "issue 5"),
        bad.cell.id: Known("Crashed", "issue 7"),
    }
    page = render_page([replace(run_of([good, bad]), expected=known)])
    text = text_of(page)
    assert (
        "1 failed (1 Crashed), 1 of them as expected; 1 passed that was expected to fail" in text
    )
    assert "unexpected pass: issue 5" in text
    assert "issue 7" in text
    assert 'class="o known"' in page


def test_footnotes_tell_io_noise_and_what_was_not_checked() -> None:
    record = passing()
    unchecked = replace(record, cell=replace(record.cell, checked=False))
    text = text_of(render_page([run_of([unchecked, passing("other", CUDA)])]))
    assert "2 with io=host" in text
    assert "Noise: launches of a cell differ by ±" in text
    assert "Outputs of 1 cell were held against a reference; 1 not checked (--no_check)." in text
    assert "unchecked (outputs were not held against a reference): squeezenet::CPU" in text
    assert "No GPU was throttled" in text
    assert "no extreme is left out" in text


def test_each_cell_has_an_anchor_of_its_own_and_every_link_leads_somewhere() -> None:
    records = [*made_runs.many_cells(5), passing("twin"), passing("twin")]
    page = render_page([run_of(records), run_of(records)])
    ids = re.findall(r'\bid="?([\w-]+)', page)
    assert len(ids) == len(set(ids))
    cells = [i for i in ids if i.startswith("cell-")]
    assert len(cells) == 2 * len(records)
    assert set(re.findall(r'href="?#([\w-]+)', page)) <= set(ids)


def test_several_runs_stand_side_by_side_by_their_ids() -> None:
    records = [passing(), passing(target=CUDA, ms=1.0)]
    other = replace(run_of(records), run_id="20261202T000000-box-0002")
    text = text_of(render_page([run_of(records), other]))
    assert f"Runs {made_runs.RUN_ID}, 20261202T000000-box-0002" in text
    assert "CPUExecutionProvider · 20261202T000000-box-0002" in text
    assert "All 4 cells passed" in text


def test_the_page_lets_itself_load_nothing() -> None:
    page = render_page([run_of(made_runs.many_cells(2))])
    assert "default-src 'none'" in html.unescape(page)
    assert not re.search(r"""(src|href)=["']?(https?:|//|data:|file:)""", page)
    assert "url(" not in page
    assert "@import" not in page
    assert "innerHTML" not in page
    assert " on" not in "".join(re.findall(r"<\w+( on\w+=)", page))


def test_a_cell_without_a_profile_says_why(tmp_path: Path) -> None:
    text = text_of(render_page([run_of([passing()])]))
    assert (
        "Where the time goes. Nothing to show: only records were given, not a run's folder."
        in text
    )
    folder = made_runs.stored(tmp_path, [passing()])
    text = text_of(render_page([read_finished_run(folder)]))
    assert "Nothing to show: no profile is stored." in text


def test_the_ten_slowest_nodes_are_told_for_each_target(tmp_path: Path) -> None:
    records = [passing(), passing(target=CUDA, ms=1.0)]
    folder = made_runs.stored(tmp_path, records, [r.cell.id for r in records])
    page = render_page([read_finished_run(folder)])
    table = page.split("Slowest nodes</th>")[1].split("</table>")[0]
    assert table.count("<tr><th") == 10
    assert table.count("µs (") == 20
    assert "40 kernels" in page


@pytest.mark.parametrize(
    "profile", ["", "[]", "{}", "[1]", '[{"cat":"Node"}]', "x" * 99, "[" * 9999]
)
def test_a_profile_that_is_none_harms_nothing(tmp_path: Path, profile: str) -> None:
    folder = made_runs.stored(tmp_path, [passing()])
    check = folder.launch(passing().cell, "check")
    check.mkdir(parents=True)
    (check / "profile_1.json").write_text(profile)
    text = text_of(render_page([read_finished_run(folder)]))
    assert "Where the time goes. Nothing to show: its profile" in text


def test_a_page_is_written_beside_the_records_of_its_run(tmp_path: Path) -> None:
    folder = made_runs.stored(tmp_path, [crashed(), passing()])
    run = read_finished_run(folder)
    assert [r.cell.id for r in run.records] == [crashed().cell.id, passing().cell.id]
    path = write_report(page_path(folder), [run])
    assert path == tmp_path / made_runs.RUN_ID / f"report_{made_runs.RUN_ID}.html"
    assert path.read_text(encoding="utf-8") == render_page([run])
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []


def test_a_run_of_an_earlier_version_is_shown() -> None:
    results = Path(__file__).parents[1] / "stored_runs/cb0f346/result"
    run = read_finished_run(RunFolder(results, "outcomes"))
    text = text_of(render_page([run]))
    assert "Run outcomes" in text
    assert f"of {len(run.records)} cells passed" in text


def test_equal_runs_give_equal_pages() -> None:
    assert render_page([run_of(made_runs.many_cells(3))]) == render_page(
        [run_of(made_runs.many_cells(3))]
    )


def size_mb(run: FinishedRun) -> float:
    return len(render_page([run]).encode("utf-8", "replace")) / 1e6


def test_a_hundred_cells_take_less_than_a_megabyte(tmp_path: Path) -> None:
    records = made_runs.many_cells(15)[:100]
    folder = made_runs.stored(tmp_path, records, [r.cell.id for r in records])
    assert size_mb(read_finished_run(folder)) < 1.0
    failing = [
        made_runs.failed(
            made_runs.cell(f"m{i}", CUDA), Raised(Stage.RUN, "Fail", "x" * 300), ["y" * 300] * 40
        )
        for i in range(100)
    ]
    assert size_mb(run_of(failing)) < 1.0
    named = made_runs.many_cells(15, prefix="a_name_of_eighty_characters_" + "x" * 48)[:100]
    assert size_mb(run_of(named)) < 1.0


def test_two_thousand_cells_take_less_than_ten_megabytes(tmp_path: Path) -> None:
    records = made_runs.many_cells(286)[:2000]
    folder = made_runs.stored(tmp_path, records, [r.cell.id for r in records])
    assert size_mb(read_finished_run(folder)) < 10.0
    failing = [
        made_runs.failed(
            made_runs.cell(f"m{i}", CUDA), Raised(Stage.RUN, "Fail", "x" * 300), ["y" * 300] * 40
        )
        for i in range(2000)
    ]
    assert size_mb(run_of(failing)) < 10.0


def odd_records() -> list[Record]:
    """Figures that are no numbers, or as small or as few as they can be."""
    nan, inf = float("nan"), float("inf")
    base = passing("odd", CUDA)
    check = base.launches[0]
    compared = replace(check.compared[0], max_abs=nan, max_rel=inf, relative_norm=nan, cosine=nan)
    exact = replace(check.compared[0], max_abs=0.0, max_rel=0.0, relative_norm=0.0, cosine=1.0)
    bare = replace(check, compared=(), placement=None, created=None, first_run=None, attested=None)
    folded = (
        replace(check.placement, nodes={}, op_types={}, partitions={}, host_time_us={})
        if check.placement
        else None
    )
    one = replace(base, launches=(bare, base.launches[1]))
    out = [
        replace(base, launches=(replace(check, compared=(compared,)), *base.launches[1:])),
        replace(base, launches=(replace(check, compared=(exact, exact)), *base.launches[1:])),
        replace(base, launches=(replace(check, placement=folded), *base.launches[1:])),
        made_runs.with_samples(one, 0, (1,)),
        made_runs.with_samples(one, 0, (0, 0, 0)),
        made_runs.with_samples(base, 2, (1, 10**15)),
        made_runs.with_samples(base, 1, ()),
        replace(base, launches=()),
        replace(base, finished_at="", wall_s=0.0, run_id=""),
    ]
    names = [f"odd_{i}" for i in range(len(out))]
    cpu = [passing(n) for n in names]
    return [
        *cpu,
        *(replace(r, cell=made_runs.cell(n, CUDA)) for n, r in zip(names, out, strict=True)),
    ]


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_figures_that_are_no_numbers_harm_no_page_and_no_export(tmp_path: Path) -> None:
    records = odd_records()
    text = text_of(render_page([run_of(records), replace(run_of(records), host=None)]))
    assert "nan" in text
    for i in range(9):
        assert f"odd_{i}" in text
    for name in FORMATS:
        write_run(ExportRequest(name, tmp_path / name), run_of(records))
        assert (tmp_path / name).stat().st_size > 50
    for name in ("ctrf", "sarif", "bencher", "json"):
        json.loads((tmp_path / name).read_text(), parse_constant=refuse)
