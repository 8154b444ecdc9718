"""The C++ runtime that `make native` builds: it times a model of ours and writes the journal that we read."""

import subprocess
from pathlib import Path

import pytest

from perf.schema import journal
from perf.schema.journal import Finished, Timed
from tests.asking import ROOT
from tests.frameworks.workplace import Workplace

pytestmark = pytest.mark.frameworks
PROGRAM = ROOT / "build" / "benchmark"


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    assert PROGRAM.exists(), "make native builds it"
    return subprocess.run(
        [PROGRAM, *words], capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL
    )  # fmt: skip


def test_a_detection_model_runs_without_python_and_its_samples_are_read(
    workplace: Workplace,
) -> None:
    entry = "setup_models.networks.detectors:mask_rcnn_fpn"
    model = workplace.convert(entry, "torchscript", "model.ts")
    told = workplace.home / "journal.jsonl"
    done = run(
        "--model", str(model), "--n_iter=5", "--n_warmup=1", "--threads=1", "--journal", str(told)
    )
    assert done.returncode == 0, done.stderr
    assert "C++ Runtime" in done.stdout
    assert " ± " in done.stdout
    events = journal.read_journal(told)
    (timed,) = (e for e in events if isinstance(e, Timed))
    assert len(timed.samples_ns) == 5
    assert all(n > 0 for n in timed.samples_ns)
    assert sum(timed.samples_ns) <= (timed.ended_s - timed.begun_s) * 1e9
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--model", "gone.ts"), "no file gone.ts"),
        (("--modl", "x"), "--modl: no such flag; known are --model"),
        (("--model", str(ROOT / "README.md")), "README.md: "),
        (("--model", str(ROOT / "README.md"), "--n_iter=few"), "expected a number from 1 on"),
        ((), "--model FILE is missing"),
    ],
)
def test_bad_words_are_one_line(words: tuple[str, ...], says: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_input_without_a_shape_has_to_be_given_one(workplace: Workplace) -> None:
    model = workplace.convert("nets:small_cnn", "torchscript", "scripted.ts", "--script")
    without = run("--model", str(model), "--n_iter=1")
    assert without.returncode == 2
    assert "give --shape" in without.stderr
    assert run("--model", str(model), "--n_iter=1", "--shape", "2x3x32x32").returncode == 0


def test_build_is_kept_apart_from_what_python_builds() -> None:
    assert "/build/" in Path(ROOT / ".gitignore").read_text().splitlines()
