"""Runs of elsewhere in the history: the predecessor's tables, appended or not, and runs of earlier schema versions."""

import json
import shutil
from pathlib import Path

import pytest

from perf.cli import results_import, results_list, results_trend
from perf.cli.results_trend import read_trends
from perf.results import run_names
from tests.test_stored_runs import STORED

HEADER = '"Model","ORT-CPUFp32 \nmean (ms)","ORT-CPUFp32 \n90th percentile (ms)","ORT-TRTFp16 \nmean (ms)"\r\n'
SUCCESS = "engine,version,device,fp16,model_name,datetime,test_times,average_latency_ms\n"
SPECS = ".,Spec,Version\n1,CPU,AMD EPYC\n2,GPU,Tesla T4\n3,TensorRT,8.6.1\n"
T4 = "AMD EPYC, Tesla T4"


@pytest.fixture
def predecessor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "onnx-zoo-models"
    folder.mkdir()
    (folder / "specs.csv").write_text(SPECS)
    return folder


def run_import(*words: str) -> int:
    return results_import.main([*words])


def test_runs_appended_to_the_predecessors_tables_are_a_history(
    predecessor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"resnet,{10 + (i >= 10) * 5 + i % 3 / 10},11,4.0\r\nbert,20,21,\r\n" for i in range(20)
    ]
    (predecessor / "latency.csv").write_text(HEADER + "".join(rows), newline="")
    (predecessor / "fail.csv").write_text(
        'model,ep,error type,error message\nbert,ORT-TRTFp16,runtime error,"two\nlines"\n'
    )
    assert run_import("onnx-zoo-models") == 0
    first = capsys.readouterr().out
    assert first.count(f"cells of onnx-zoo-models on {T4}") == 20
    trends = {t.cell: t for t in read_trends(Path("result"), None)}
    resnet = trends["resnet::CPUExecutionProvider mean"]
    assert resnet.machine == T4
    assert len(resnet.points) == 20
    (step,) = resnet.steps
    assert step.after is resnet.points[10]
    assert step.change == pytest.approx(1.5, abs=0.02)
    (failed,) = trends[
        "bert::TensorrtExecutionProvider_fp16 mean"
    ].points  # fail.csv holds the last run alone
    assert failed.cell.status == "Fail"
    assert run_import("onnx-zoo-models") == 0
    assert capsys.readouterr().out.count("is there already") == 20
    assert len(run_names.list_runs(Path("result"))) == 20


def test_success_csv_tells_when_and_with_which_onnx_runtime(
    predecessor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"onnxruntime,1.{13 + i}.0,ORT-CPUFp32,False,resnet,2026-0{i + 1}-10 10:00:00,100,{9 + i}\n"
        for i in range(3)
    ]
    (predecessor / "success.csv").write_text(SUCCESS + "".join(rows))
    assert run_import("onnx-zoo-models/success.csv", "--machine", "lab-1, T4") == 0
    assert results_trend.main(["--json"]) == 0
    told = capsys.readouterr().out
    (trend,) = json.loads(told[told.index("{") :])["trends"]
    assert trend["machine"] == "lab-1, T4"
    assert [r["p50_ms"] for r in trend["runs"]] == [9, 10, 11]
    (points,) = (t.points for t in read_trends(Path("result"), None))
    assert [p.cell.versions["onnxruntime"] for p in points] == ["1.13.0", "1.14.0", "1.15.0"]
    assert results_list.main([]) == 0
    assert "2026-03-10 10:00" in capsys.readouterr().out


def test_a_run_of_an_earlier_version_comes_whole_and_keeps_its_place_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    old = tmp_path / "old" / "outcomes"
    shutil.copytree(STORED / "result" / "outcomes", old)
    (old / "cells.jsonl").unlink()  # as a version wrote none, or another's cannot be read
    (old / "cache").mkdir()
    before = (old / "run.json").stat().st_mtime_ns
    assert run_import(str(old), "--machine", "lab-1") == 0
    mine = tmp_path / "result" / "outcomes"
    assert (mine / "run.json").stat().st_mtime_ns == before
    assert not (mine / "cache").exists()
    trends = {t.cell: t for t in read_trends(Path("result"), None)}
    assert trends["relu::CPUExecutionProvider"].machine == "lab-1"
    assert trends["relu::CPUExecutionProvider"].medians_ms[0]
    assert run_import(str(old)) == 0
    assert "is there already" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "result").iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("none.csv", None, "no such file or folder"),
        ("foreign.csv", "name,price\napple,3\n", "neither a run's folder nor tables"),
        ("cut.csv", "Model,ORT-CPUFp32\nm,Pass\nn\n", "neither a run's folder nor tables"),
    ],
)
def test_what_is_no_run_is_told_in_one_line(
    name: str, text: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path(name).write_text(text)
    assert run_import(name) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert why in line
