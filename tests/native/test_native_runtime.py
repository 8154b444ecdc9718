"""Cells that the C++ runtime runs: beside Python's, by hand, and where it or its input is at fault."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from perf.backends import native_ort_cpu
from perf.backends._native.program import VARIABLE
from perf.backends.native_ort_cpu import find_library
from perf.schema import cell as cells
from perf.schema import journal
from perf.schema.cell import Cell
from perf.schema.journal import (
    Began,
    Created,
    ExceptionRaised,
    Finished,
    FirstRun,
    HostMemory,
    OutputsSaved,
    Timed,
    Versions,
    WorkerStarted,
)
from perf.schema.record import LaunchKind
from tests import models
from tests.asking import QUICK, ROOT, ask
from tests.backends.test_contract import Trial, put_promises
from tests.inprocess.asking import cell, model_file, stored_sets

NAME = native_ort_cpu.NAME
BOTH = ("-e", "cpu", NAME, "-r", "both", *QUICK)


def run(program: Path, *words: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=120, check=False, cwd=cwd,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def error_of(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line of an error."""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def native_cell(folder: Path, out: Path, **more: Any) -> Cell:
    """A cell of a model's folder with its stored sets."""
    return cell(model_file(folder), sets=stored_sets(folder, out), **more)


def written(asked: Cell, path: Path) -> Path:
    cells.write_cell(asked, path)
    return path


def test_python_and_cpp_stand_in_one_table_with_what_python_adds(
    program: Path, home: Path
) -> None:
    said = ask(home, *BOTH, "--models", "relu", "linear")
    assert said.status == 0, said.err
    assert {row["outcome"] for row in said.cells.values()} == {"Passed"}
    row = said.cells[f"relu::{NAME}"]
    assert row["p50_ms"] > 0
    assert row["samples"] == 8
    with (said.run.root / "gap.csv").open(encoding="utf-8", newline="") as file:
        gaps = list(csv.DictReader(file))
    assert {(g["model"], g["ep"], g["alone"], g["term"]) for g in gaps} == {
        (m, "CPUExecutionProvider", NAME, "Python") for m in ("relu", "linear")
    }
    for gap in gaps:
        added = float(gap["ep_ms"]) - float(gap["alone_ms"])
        assert float(gap["gap_ms"]) == pytest.approx(added, abs=1e-5)
        assert "of a run without it" in gap["facts"]
    assert "Python and C++ (ms)" in said.out
    for launch in said.records[f"linear::{NAME}"].launches:
        assert launch.versions["onnxruntime"]
        assert launch.host_memory
        if launch.kind is LaunchKind.MEASURE:
            assert launch.timed
            assert launch.timed.cpus
    assert list(said.run.root.rglob("fed_*.npy")) == []


def test_a_wrong_output_is_as_wrong_from_cpp(program: Path, home: Path) -> None:
    models.linear(home / "models" / "wrong", error=0.5)
    said = ask(home, *BOTH, "--models", "wrong")
    assert {row["outcome"] for row in said.cells.values()} == {"Mismatched"}


def test_tensors_may_be_bound_beforehand_and_options_reach_the_session(
    program: Path, home: Path
) -> None:
    options = (
        "-b",
        "-g",
        "basic",
        "--intra_op_threads",
        "1",
        "--ep_options",
        f"{NAME}:use_arena=0",
    )
    said = ask(home, "-e", NAME, "-r", "both", *QUICK, "--models", "linear", *options)
    (row,) = said.cells.values()
    assert (row["outcome"], row["io"]) == ("Passed", "device"), said.out


def test_every_type_that_has_bytes_goes_in_and_out(program: Path, home: Path) -> None:
    kinds = {
        "f16": (TensorProto.FLOAT16, np.float16), "f64": (TensorProto.DOUBLE, np.float64),
        "u8": (TensorProto.UINT8, np.uint8), "i8": (TensorProto.INT8, np.int8),
        "i16": (TensorProto.INT16, np.int16), "i32": (TensorProto.INT32, np.int32),
        "i64": (TensorProto.INT64, np.int64), "flag": (TensorProto.BOOL, np.bool_),
    }  # fmt: skip
    feed: dict[str, models.Array] = {
        n: np.array([[0, 1, 2], [3, 4, 0]]).astype(dtype) for n, (_, dtype) in kinds.items()
    }
    feed |= {"scalar": np.array(1.5, np.float32), "none": np.zeros((0, 4), np.float32)}
    models.write(
        home / "models" / "typed",
        [helper.make_node("Identity", [n], [f"{n}_out"]) for n in feed],
        {n: a.shape for n, a in feed.items()}, {f"{n}_out": a.shape for n, a in feed.items()},
        [(feed, {f"{n}_out": a for n, a in feed.items()})],
        kinds={f"{n}{end}": kind for n, (kind, _) in kinds.items() for end in ("", "_out")},
    )  # fmt: skip
    said = ask(home, "-e", NAME, "-r", "both", *QUICK, "--models", "typed")
    (row,) = said.cells.values()
    assert row["outcome"] == "Passed", said.out


@pytest.mark.alone  # a request to another process takes a multiple of a run where the machine is busy
def test_it_keeps_the_promises_of_a_backend(
    program: Path, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for promise, broken in put_promises(Trial(NAME, native_ort_cpu.BACKEND), tmp_path).items():
        with subtests.test(promise):
            if broken:
                pytest.fail(broken, pytrace=False)


def test_a_cell_is_run_by_hand_and_tells_what_a_worker_tells(
    program: Path, tmp_path: Path
) -> None:
    folder = models.linear(tmp_path / "linear")
    asked = native_cell(folder, tmp_path / "sets")
    written(asked, tmp_path / "cell.json")
    out = tmp_path / "out"
    out.mkdir()
    done = run(program, "--cell", str(tmp_path), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "| linear | 5 |" in done.stdout
    events = journal.read_journal(out / "journal.jsonl")
    assert isinstance(events[0], WorkerStarted)
    assert isinstance(events[-1], Finished)
    stages = [e.stage.value for e in events if isinstance(e, Began)]
    assert stages == ["load", "create", "run", "time", "close"]
    for kind in (Created, FirstRun, HostMemory, Versions):
        assert any(isinstance(e, kind) for e in events), kind
    (timed,) = (e for e in events if isinstance(e, Timed))
    assert len(timed.samples_ns) == asked.protocol.runs
    assert (timed.sets, timed.warmup) == (2, asked.protocol.warmup)
    assert sum(timed.samples_ns) <= (timed.ended_s - timed.begun_s) * 1e9
    saved = [s for e in events if isinstance(e, OutputsSaved) for s in e.outputs]
    assert [s.name for s in saved] == ["test_data_set_0", "test_data_set_1", "first", "last"]
    for given, got in zip((*asked.sets, asked.sets[0], asked.sets[0]), saved, strict=True):
        expected, told = given.outputs[0], got.outputs[0]
        assert (told.name, told.onnx_type, told.shape) == ("y", 1, expected.shape)
        np.testing.assert_allclose(np.load(told.path), np.load(expected.path), rtol=1e-5)


def test_a_model_alone_is_fed_what_is_drawn(program: Path, tmp_path: Path) -> None:
    model = models.linear(tmp_path / "linear") / "model.onnx"
    library = ("--ort_library", str(find_library()))
    without = run(program, "--model", str(model), *library, "--n_iter=3")
    assert without.returncode == 2
    assert "input x tells no shape: give --shape" in error_of(without)
    done = run(program, "--model", str(model), *library, "--n_iter=3", "--shape", "2x8")
    assert done.returncode == 0, done.stderr
    assert "| 3 |" in done.stdout
    assert "needs --ort_library FILE" in error_of(run(program, "--model", str(model)))


def test_a_program_that_is_not_built_is_told_with_what_builds_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(home / "nowhere"))
    said = ask(home, "-e", "cpu", NAME, "-r", "validate", *QUICK, "--models", "relu")
    row = said.cells[f"relu::{NAME}"]
    assert row["outcome"] == "Skipped"
    assert "nowhere" in row["detail"]
    assert "make native" in row["detail"]


@pytest.mark.parametrize(
    ("script", "outcome", "says"),
    [
        ("kill -SEGV $$", "Crashed(create, SIGSEGV)", "SIGSEGV"),
        ("exit 3", "Raised(create, NativeFailedError)", "ended with status 3 and said nothing"),
        (
            "printf '\\n' >&0",
            "Raised(create, NativeFailedError)",
            "told no Versions: it is of another version",
        ),
        ("exec sleep 100", "TimedOut(create, 10 s)", ""),
    ],
)
def test_a_program_that_fails_is_its_cells_outcome(
    home: Path, monkeypatch: pytest.MonkeyPatch, script: str, outcome: str, says: str
) -> None:
    program = home / "program"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    said = ask(home, "-e", NAME, "-r", "validate", *QUICK, "--models", "relu", "--timeout", "10")
    row = said.cells[f"relu::{NAME}"]
    assert row["exact_outcome"] == outcome
    assert says in json.dumps(row)


def test_a_model_that_cannot_be_loaded_raises_what_the_engine_said(
    program: Path, home: Path
) -> None:
    folder = models.relu(home / "models" / "odd")
    model = onnx.load(folder / "model.onnx")
    model.graph.node[0].op_type = "NoSuchOp"
    onnx.save(model, folder / "model.onnx")
    said = ask(home, *BOTH, "--models", "odd")
    told = {cell.partition("::")[2]: row for cell, row in said.cells.items()}
    assert told[NAME]["outcome"] == "Raised"
    assert "NoSuchOp" in told[NAME]["detail"]
    assert told[NAME]["error_type"] == told["CPUExecutionProvider"]["error_type"]


def test_what_it_is_not_fed_is_declined(program: Path, home: Path) -> None:
    strings = np.array(["a", "b"], dtype=object)
    models.write(
        home / "models" / "words", [helper.make_node("Identity", ["x"], ["y"])], {"x": (2,)}, {"y": (2,)},
        [({"x": strings}, {"y": strings})], kinds={"x": TensorProto.STRING, "y": TensorProto.STRING},
    )  # fmt: skip
    said = ask(home, "-e", NAME, "-r", "both", *QUICK, "--models", "words")
    row = said.cells[f"words::{NAME}"]
    assert row["outcome"] == "Skipped"
    assert "of strings: use the Python target" in row["detail"]


@pytest.mark.needs("cc", "gcc libc6-dev")
def test_a_library_that_is_no_onnxruntime_or_too_old_is_refused(
    program: Path, tmp_path: Path
) -> None:
    job = written(
        native_cell(models.relu(tmp_path / "relu"), tmp_path / "sets"), tmp_path / "cell.json"
    )
    source, old = tmp_path / "old.c", tmp_path / "old.so"
    source.write_text(
        "static const void *api(unsigned v) { (void)v; return 0; }\n"
        'static const char *version(void) { return "1.2.0"; }\n'
        "static const void *const base[] = {(const void *)api, (const void *)version};\n"
        "const void *OrtGetApiBase(void) { return base; }\n",
        encoding="utf-8",
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", old, source], check=True)
    for library, says in (
        (old, "is ONNX Runtime 1.2.0, which offers no API version 11: use 1.11 or newer"),
        (tmp_path / "gone.so", "cannot load ONNX Runtime"),
        (next(Path(np.__path__[0]).parent.glob("numpy.libs/*.so*")), "no OrtGetApiBase"),
    ):
        done = run(
            program, "--cell", str(job), "--out", str(tmp_path), "--ort_library", str(library)
        )
        assert done.returncode == 2
        assert says in error_of(done)


def spoil_values(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def spoil_order(path: Path) -> None:
    np.save(path, np.asfortranarray(np.load(path)))


def spoil_type(path: Path) -> None:
    np.save(path, np.load(path).astype(np.float64))


def spoil_magic(path: Path) -> None:
    path.write_bytes(b"not a tensor at all")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_values, "is no whole .npy file"),
        (spoil_order, "is not in row-major order"),
        (spoil_type, "holds '<f8', and the cell says <f4"),
        (spoil_magic, "is no .npy file"),
        (Path.unlink, "cannot read"),
    ],
)
def test_a_bad_input_is_one_line_with_its_file(
    program: Path, tmp_path: Path, spoil: Any, says: str
) -> None:
    asked = native_cell(models.relu(tmp_path / "relu"), tmp_path / "sets")
    spoil(Path(asked.sets[0].inputs[0].path))
    job = written(asked, tmp_path / "cell.json")
    done = run(program, "--cell", str(job), "--out", str(tmp_path))
    assert done.returncode == 2
    assert says in error_of(done)
    assert "input_0.npy" in error_of(done)
    raised = [
        e
        for e in journal.read_journal(tmp_path / "journal.jsonl")
        if isinstance(e, ExceptionRaised)
    ]
    assert [e.kind for e in raised] == ["BadRequest"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON at byte 0: it ends too soon"),
        ('{"schema": 2', "no JSON at byte 12"),
        ("{}", "has no 'model'"),
        ('{"model": 3}', "model: expected an object"),
        ('{"model": {"name": "a"}} x', "more after its end"),
        ('{"schema": 99}', "of a newer version of the harness"),
        ('{"model": {"name": "\\ud800"}}', "has no 'environment'"),
        ("[" * 100_000, "too deep"),
        ('{"model": NaN}', "no value"),
        ('{"schema": 1e999}', "no value"),
    ],
)  # fmt: skip
def test_a_cell_that_is_none_is_one_line(
    program: Path, tmp_path: Path, text: str, says: str
) -> None:
    job = tmp_path / "cell.json"
    job.write_text(text, encoding="utf-8")
    done = run(program, "--cell", str(job), "--out", str(tmp_path))
    assert done.returncode == 2
    assert says in error_of(done)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--model FILE is missing, or --cell CELL"),
        (("--cell", "gone"), "no file gone"),
        (("--celll", "x"), "--celll: no such flag; known are --model, --cell"),
        (("--model", "x", "--n_iter=few"), "expected a number from 1 on"),
        (("--model", "x", "--shape", "1x0"), "expected a number from 1 on"),
        (("--model", sys.executable), "was built without PyTorch: `ep-perf env build torch`"),
    ],
)
def test_bad_words_are_one_line(program: Path, words: tuple[str, ...], says: str) -> None:
    done = run(program, *words)
    assert done.returncode == 2
    assert says in error_of(done)


def test_help_names_its_flags(program: Path) -> None:
    done = run(program, "--help")
    assert done.returncode == 0
    assert "--cell CELL_JSON_OR_FOLDER" in done.stdout


def test_the_entries_that_are_used_are_those_of_every_onnxruntime_here(
    program: Path, tmp_path: Path
) -> None:
    """Places in the table of functions are those of older and newer builds of it, the GPU's too."""
    libraries = sorted(
        (ROOT / ".envs").glob("*/lib/python*/site-packages/onnxruntime/capi/libonnxruntime.so*")
    )
    assert len(libraries) >= 3, "make environments builds them"
    job = written(
        native_cell(models.linear(tmp_path / "linear"), tmp_path / "sets"), tmp_path / "cell.json"
    )
    for number, library in enumerate(libraries):
        out = tmp_path / str(number)
        out.mkdir()
        done = run(program, "--cell", str(job), "--out", str(out), "--ort_library", str(library))
        assert done.returncode == 0, f"{library}: {done.stderr}"
        shutil.rmtree(out)
