"""A batch sweep as a command, on the CPU EP: the largest batch, and what is refused."""

import subprocess
import sys
from pathlib import Path

from tests import models
from tests.asking import ROOT


def sweep(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-P",
        "-m",
        "perf.cli.batch_run",
        "-o",
        str(home / "result"),
        *words,
    ]
    return subprocess.run(
        command, cwd=home, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=170, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_largest_batch_is_told_by_a_fit_and_one_probe(tmp_path: Path) -> None:
    models.linear(tmp_path / "net")
    words = ("-m", "Net=net/model.onnx", "-e", "cpu", "--iterations", "2", "--warmup", "0")
    limit = ("--find_max_batch", "--memory_limit", "400")
    done = sweep(tmp_path, "--batch_sizes", "20000,400000", *words, *limit)
    assert done.returncode == 0, done.stderr
    (told,) = (x for x in done.stdout.splitlines() if x.startswith("Net CPUExecutionProvider: "))
    assert "MiB an item; 400 MiB should hold " in told
    size = told.rpartition(" should hold ")[2].partition(",")[0]
    rows = [x.split() for x in done.stdout.splitlines() if x.startswith("| Net ")]
    assert [row[3] for row in rows] == ["20000", "400000", size]  # the probe is a row of the table
    assert int(size) > 400_000


def test_a_host_is_not_filled_without_a_limit(tmp_path: Path) -> None:
    done = sweep(tmp_path, "--find_max_batch", "--batch_sizes", "1,4")
    assert done.returncode == 2
    assert "--memory_limit MIB" in done.stderr
    assert len(done.stderr.splitlines()) == 1
