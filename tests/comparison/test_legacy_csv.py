"""The predecessor's tables: three generations of headers, what they support, what is wrong with a bad one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from comparison.cell_summary import Metric
from comparison.cli import Question
from comparison.legacy_csv import canonical_target, read_tables
from tests.comparison.runs import compare


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


def write_table(name: str, text: str) -> Path:
    """A table with its line ends as they are."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, newline="")
    return path


def test_headers_of_every_generation_name_the_same_targets() -> None:
    new = read_tables([write_table("new.csv", NEW + "resnet,10.0,11.0,900,4.0\r\n")], "new")
    old = read_tables([write_table("old.csv", OLD + "resnet,10.0,11.0,900,4.0,20.1 %\r\n")], "old")
    assert new.cells == old.cells
    assert {c.target: c.values for c in new.cells} == {
        "CUDAExecutionProvider": {Metric.MEAN: 10.0, Metric.GPU_MEMORY: 900},
        "TensorrtExecutionProvider_fp16": {Metric.MEAN: 4.0},
    }
    assert canonical_target("ort-trtfp16") == "TensorrtExecutionProvider_fp16"
    assert canonical_target("OpenVINOExecutionProvider") == "OpenVINOExecutionProvider"


def test_a_regression_between_them_is_found_and_what_they_lack_is_said() -> None:
    write_table("old.csv", OLD + "resnet,10.0,11.0,900,4.0,20.1 %\r\n")
    write_table("new.csv", NEW + "resnet,25.0,26.0,900,4.02\r\n")
    found = compare("-p", "old.csv", "-c", "new.csv", question=Question.LATENCY)
    assert found.status == 1
    assert [r["cell"] for r in found.rows] == ["resnet::CUDAExecutionProvider"]
    assert "it holds one number a cell and no launches" in found.out
    assert compare("-p", "new.csv", "-c", "old.csv", question=Question.LATENCY).status == 0


def test_status_fail_success_and_session_tables() -> None:
    success = "engine,device,model_name,average_latency_ms\nonnxruntime,ORT-CUDAFp32,m,3.5\n"
    paths = [
        write_table("status.csv", "Model,ORT-CUDAFp32,ORT-TRTFp32\nm,Pass,Fail\nn,,Pass\n"),
        write_table("success.csv", success),
        write_table("session.csv", SESSION + "m,4.0,0.5\r\n"),
    ]
    found = {c.id: c for c in read_tables(paths, "run").cells}
    assert {k: c.outcome for k, c in found.items()} == {
        "m::CUDAExecutionProvider": "Pass",
        "m::TensorrtExecutionProvider": "Fail",
        "n::TensorrtExecutionProvider": "Pass",
    }
    assert found["m::CUDAExecutionProvider"].values == {Metric.MEAN: 3.5, Metric.SESSION: 0.5}


def test_what_a_list_of_failures_leaves_out_did_not_fail() -> None:
    header = "model,ep,error type,error message\n"
    write_table("a.csv", header + "m,ORT-CUDAFp32,runtime error,boom\n")
    write_table("b.csv", header + 'n,ORT-TRTFp32,runtime error,"two\nlines"\n')
    found = compare("-p", "a.csv", "-c", "b.csv", question=Question.FAILURES)
    assert found.status == 1
    told = [(r["cell"], r["verdict"], r["why"]) for r in found.rows]
    assert told == [("n::TensorrtExecutionProvider", "Broke", "Fail: runtime error: two lines")]
    assert compare("-p", "a.csv", "-c", "a.csv", question=Question.FAILURES).status == 0


def test_a_folder_of_tables_is_one_side() -> None:
    write_table("old/latency.csv", NEW + "resnet,10.0,11.0,900,4.0\r\n")
    write_table("old/status.csv", "Model,ORT-CUDAFp32\nresnet,Pass\n")
    write_table("old/specs.csv", ".,Spec,Version\n1,CPU,EPYC\n")
    assert compare("-p", "old", "-c", "old").status == 0


LONG = "run_id,cell,digest,model,target,status,outcome,p50_ms\nr1,m::X,d,m,X,Pass,Passed,"
BAD = {
    "missing": (None, "no such file"),
    "empty": ("", "x.csv: empty"),
    "cut off": ("Model,ORT-CUDAFp32\nm,Pass\nn\n", "record 3 has 1 cells and the header 2"),
    "mixed": ("Model,ORT-CUDAFp32\nm,Pass\nmodel,ep,error type\nm,e,t\n", "two tables in one file"),
    "cut in a quote": ('Model,"ORT-CUDAFp32 \nmean', "not a readable CSV"),
    "foreign": ("name,price\napple,3\n", "not a table known here; its columns are name, price"),
    "header only": ("Model,ORT-CUDAFp32\n", "it has a header only"),
    "binary": (b"\xff\xfe\x00\x01,,", "not a readable CSV"),
    "two runs": (f"{LONG}1\nr2,n::X,d,n,X,Pass,Passed,1\n", "x.csv: it mixes 2 runs (r1, r2)"),
    "no number": (f"{LONG}fast\n", "x.csv:2: column p50_ms: expected a number, got 'fast'"),
    "no rows": (LONG.partition("\n")[0] + "\n", "it has a header only"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_costs_one_line(name: str) -> None:
    content, line = BAD[name]
    if content is not None:
        Path("x.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    found = compare("-p", "x.csv", "-c", "x.csv")
    assert found.status == 2
    assert line in found.err
    assert found.err.count("\n") == 1


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_sparse_terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", ["table.csv", "cells.jsonl"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (a_pipe, "it is a pipe, not a regular file"),
        (a_sparse_terabyte, "1099511627776 bytes long, and 0 are there"),
        (a_device, "it is a device, not a regular file"),
    ],
)
def test_what_is_no_table_is_one_line_and_no_wait(
    tmp_path: Path,
    make: Callable[[Path], None],
    says: str,
    name: str,
) -> None:
    make(tmp_path / name)
    answer = compare(str(tmp_path / name), str(tmp_path / name))
    assert answer.status == 2
    told = answer.err.splitlines()
    assert len(told) == 1
    assert says in told[0]
