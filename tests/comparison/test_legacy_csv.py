"""The predecessor's tables: three generations of headers, what they support, what is wrong with a bad one."""

from pathlib import Path

import pytest

from comparison.cell_summary import Metric
from comparison.cli import Question, main
from comparison.legacy_csv import canonical, read_rows, read_tables
from comparison.run_records import UnreadableError


def header(*columns: str) -> str:
    """As the predecessor wrote it: every name quoted, some with a newline inside."""
    return ",".join(f'"{c}"' for c in ("Model", *columns)) + "\r\n"


NEW = header(
    "ORT-CUDAFp32 \nmean (ms)", "ORT-CUDAFp32 \n90th percentile (ms)",
    "ORT-CUDAFp32 \npeak memory usage (MiB)", "ORT-TRTFp16 \nmean (ms)",
)  # fmt: skip
OLD = header(
    "CUDA fp32 \nmean (ms)", "CUDA fp32 \n90th percentile (ms)",
    "CUDA EP fp32 \npeak memory usage (MiB)", "TRT EP fp16 \nmean (ms)",
    "TRT v CUDA EP fp16 \ngain (mean) (%)",
)  # fmt: skip
SESSION = header(
    "ORT-CUDAFp32 \n session creation time (s)", "ORT-CUDAFp32 \n second session creation time (s)"
)


@pytest.fixture(autouse=True)
def _uncalibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def test_headers_of_every_generation_name_the_same_targets() -> None:
    Path("new.csv").write_text(NEW + "resnet,10.0,11.0,900,4.0\r\n", newline="")
    Path("old.csv").write_text(OLD + "resnet,10.0,11.0,900,4.0,20.1 %\r\n", newline="")
    new, old = (read_tables([Path(p)], p) for p in ("new.csv", "old.csv"))
    assert new.cells == old.cells
    assert {(c.target, c.values[Metric.MEAN]) for c in new.cells} == {
        ("CUDAExecutionProvider", 10.0),
        ("TensorrtExecutionProvider_fp16", 4.0),
    }
    assert new.cells[0].values[Metric.GPU_MEMORY] == 900


def test_a_regression_between_them_is_found_and_what_they_lack_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("old.csv").write_text(OLD + "resnet,10.0,11.0,900,4.0,20.1 %\r\n", newline="")
    Path("new.csv").write_text(NEW + "resnet,25.0,26.0,900,4.02\r\n", newline="")
    assert main(Question.LATENCY, ["-p", "old.csv", "-c", "new.csv", "-o", "out.csv"]) == 1
    assert main(Question.LATENCY, ["-p", "new.csv", "-c", "old.csv"]) == 0
    told = capsys.readouterr().out
    assert "it holds one number a cell and no launches" in told
    rows = Path("out.csv").read_text().splitlines()
    assert len(rows) == 2
    assert rows[1].startswith("resnet::CUDAExecutionProvider")


def test_status_fail_success_and_session_tables() -> None:
    Path("status.csv").write_text("Model,ORT-CUDAFp32,ORT-TRTFp32\nm,Pass,Fail\nn,,Pass\n")
    Path("success.csv").write_text(
        "engine,device,model_name,average_latency_ms\nonnxruntime,ORT-CUDAFp32,m,3.5\n"
    )
    Path("session.csv").write_text(SESSION + "m,4.0,0.5\r\n", newline="")
    side = read_tables([Path(p) for p in ("status.csv", "success.csv", "session.csv")], "run")
    found = {c.id: c for c in side.cells}
    assert set(found) == {
        "m::CUDAExecutionProvider", "m::TensorrtExecutionProvider", "n::TensorrtExecutionProvider",
    }  # fmt: skip
    assert found["m::CUDAExecutionProvider"].values == {Metric.MEAN: 3.5, Metric.SESSION: 0.5}
    assert found["m::TensorrtExecutionProvider"].outcome == "Fail"


def test_what_a_list_of_failures_leaves_out_did_not_fail() -> None:
    header = "model,ep,error type,error message\n"
    Path("a.csv").write_text(header + "m,ORT-CUDAFp32,runtime error,boom\n")
    Path("b.csv").write_text(header + 'n,ORT-TRTFp32,runtime error,"two\nlines"\n')
    assert main(Question.FAILURES, ["-p", "a.csv", "-c", "b.csv", "-o", "out.csv"]) == 1
    rows = Path("out.csv").read_text().splitlines()
    assert len(rows) == 2
    assert rows[1].startswith(
        "n::TensorrtExecutionProvider,n,TensorrtExecutionProvider,status,Broke,true"
    )
    assert main(Question.FAILURES, ["-p", "a.csv", "-c", "a.csv"]) == 0


def test_a_folder_of_tables_is_one_side() -> None:
    Path("old").mkdir()
    Path("old/latency.csv").write_text(NEW + "resnet,10.0,11.0,900,4.0\r\n", newline="")
    Path("old/status.csv").write_text("Model,ORT-CUDAFp32\nresnet,Pass\n")
    Path("old/specs.csv").write_text(".,Spec,Version\n1,CPU,EPYC\n")
    assert main(Question.ALL, ["-p", "old", "-c", "old"]) == 0


BAD = {
    "missing": (None, "no such file"),
    "empty": ("", "x.csv: empty"),
    "cut off": ("Model,ORT-CUDAFp32\nm,Pass\nn\n", "record 3 has 1 cells and the header 2"),
    "mixed": ("Model,ORT-CUDAFp32\nm,Pass\nmodel,ep,error type\nm,e,t\n", "two tables in one file"),
    "cut in a quote": ('Model,"ORT-CUDAFp32 \nmean', "not a readable CSV"),
    "foreign": ("name,price\napple,3\n", "not a table known here; its columns are name, price"),
    "header only": ("Model,ORT-CUDAFp32\n", "it has a header only"),
    "binary": (b"\xff\xfe\x00\x01,,", "not a readable CSV"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_costs_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    content, line = BAD[name]
    if content is not None:
        Path("x.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(Question.ALL, ["-p", "x.csv", "-c", "x.csv"]) == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1


def test_our_long_table_when_bad(capsys: pytest.CaptureFixture[str]) -> None:
    columns = "run_id,cell,digest,model,target,status,outcome,p50_ms"
    Path("t.csv").write_text(
        f"{columns}\nr1,m::X,d,m,X,Pass,Passed,1\nr2,n::X,d,n,X,Pass,Passed,1\n"
    )
    assert main(Question.ALL, ["-p", "t.csv", "-c", "t.csv"]) == 2
    assert "t.csv: it mixes 2 runs (r1, r2)" in capsys.readouterr().err
    Path("t.csv").write_text(f"{columns}\nr1,m::X,d,m,X,Pass,Passed,fast\n")
    assert main(Question.ALL, ["-p", "t.csv", "-c", "t.csv"]) == 2
    assert "t.csv:2: column p50_ms: expected a number, got 'fast'" in capsys.readouterr().err


def test_names_and_rows() -> None:
    assert canonical("ort-trtfp16") == "TensorrtExecutionProvider_fp16"
    assert canonical("OpenVINOExecutionProvider") == "OpenVINOExecutionProvider"
    with pytest.raises(UnreadableError, match="no such file"):
        read_rows(Path("nowhere.csv"))
