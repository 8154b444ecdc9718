"""The commands of the framework benchmarks as their documents write them, end to end on a CPU, shortly."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perf.results import run_folder, run_names
from tests.asking import ROOT
from tests.frameworks.workplace import ENVIRONMENTS, interpreter

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(600)]
NAMED = [f"{n}={interpreter(n)}" for n in ENVIRONMENTS]
SHORT = ("--iterations", "3", "--warmup", "1")


def run(home: Path, *words: str, env: bool = True) -> "subprocess.CompletedProcess[str]":
    """A command typed in the harness's folder, its results elsewhere."""
    more = ["-o", str(home), "--intra_op_threads", "1", "--env", *NAMED] if env else []
    return subprocess.run(
        [sys.executable, *words, *more], cwd=ROOT, capture_output=True, text=True, timeout=500,
        check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def table(text: str) -> list[dict[str, str]]:
    """The rows of the one markdown table in a text."""
    lines = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[c.strip() for c in line] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_a_configuration_is_one_table_and_says_why_a_backend_is_missing(tmp_path: Path) -> None:
    text = (ROOT / "config" / "crnn.yml").read_text().replace("[fp32, fp16]", "[fp32, bf16]")
    (tmp_path / "crnn.yml").write_text(text)  # fp16 takes seconds a run on a CPU
    done = run(tmp_path, "perf_run.py", f"--config={tmp_path / 'crnn.yml'}", *SHORT)
    assert done.returncode == 0, done.stderr
    rows = {(r["Backend"], r["precision"]): r for r in table(done.stdout)}
    assert len(rows) == 8
    eager = rows["Torch", "fp32"]
    assert float(eager["Median(FPS)"]) * float(eager["Median-Latency(ms)"]) == pytest.approx(
        1000, rel=1e-3
    )
    assert rows["Torch-TensorRT", "fp32"]["Median(FPS)"] == "Skipped"
    assert "- crnn Torch-Blade fp32: Skipped: no torch_blade there" in done.stdout


def test_ranges_and_a_calibration_cache_reach_the_backends_that_take_them(tmp_path: Path) -> None:
    text = (ROOT / "config" / "crnn.yml").read_text()
    text = text.replace("backend: all", "backend: [torch, torch_tensorrt]")
    text = text.replace("[1, 32, 100]", "{min: [1, 32, 50], opt: [1, 32, 100], max: [1, 32, 400]}")
    text = text.replace("[fp32, fp16]", "[fp32, int8]\n  calibration_cache: scales.cache")
    (tmp_path / "crnn.yml").write_text(text)
    (tmp_path / "scales.cache").write_bytes(b"TRT")
    done = run(tmp_path, "perf_run.py", f"--config={tmp_path / 'crnn.yml'}", *SHORT)
    assert done.returncode == 0, done.stderr
    cells = {
        r.cell.target.label: r.cell.options
        for r in run_folder.read_records(run_names.find_run(tmp_path, "latest"))
    }
    assert set(cells) == {"torch", "torch_tensorrt", "torch_tensorrt_int8"}
    assert cells["torch"] == {}
    assert cells["torch_tensorrt"]["trt_profile_max_shapes"] == "@0:1x1x32x400"
    assert cells["torch_tensorrt_int8"]["calibration_cache"] == str(tmp_path / "scales.cache")
    assert "- crnn Torch int8: Torch has no int8" in done.stdout


@pytest.mark.parametrize(
    ("model", "how"), [("testRetinaNet_scripted", "scripted"), ("testMaskRCNNFPN_b2", "traced")]
)
def test_a_detection_model_is_exported_once_and_run_by_each(
    model: str, how: str, tmp_path: Path
) -> None:
    done = run(tmp_path, "run_blade.py", "--model", model, *SHORT)
    assert done.returncode == 0, done.stderr
    rows = {(r["Backend"], r["precision"]): r for r in table(done.stdout)}
    assert f"Model({how})" in rows["Torch", "fp32"]
    items = 2 if model.endswith("b2") else 1
    for backend in ("Torch", "Torch-Script"):
        row = rows[backend, "fp32"]
        made = float(row["Median(FPS)"]) * float(row["Median(ms)"]) / 1000
        assert made == pytest.approx(items, rel=1e-3)  # images a second, not calls
    assert len(list((tmp_path / "exported").iterdir())) == 1
    (blade,) = {
        r.cell.options["trt_profile_min_shapes"]
        for r in run_folder.read_records(run_names.find_run(tmp_path, "latest"))
        if r.cell.target.name == "torch_blade"
    }
    assert blade == f"@0:{items}x3x64x64"


def test_the_list_of_detection_models_is_in_the_help() -> None:
    done = run(Path(), "run_blade.py", "--help", env=False)
    assert done.returncode == 0
    for name in ("testCascadeRCNN", "testMaskRCNNC4", "testMaskRCNNFPN_pproc", "testRetinaNet"):
        assert name in done.stdout


def test_an_export_is_timed_by_precision_and_an_older_run_stands_beside(tmp_path: Path) -> None:
    made = run(
        tmp_path, "-m", "scripts.export_tensorrt", f"out={tmp_path / 'exp'}", "image.height=64",
        "image.width=64", f"env={NAMED[0]}", env=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    words = ("-m", "scripts.benchmark_gpu", f"compile_run_path={tmp_path / 'exp'}", "n_iter=3")
    first = run(tmp_path, *words, "load_ts=True", "--native", "build/benchmark")
    assert first.returncode == 0, first.stderr
    assert "Python's overhead (ms)" in first.stdout
    assert "| C++" in first.stdout
    matrix = (
        "--precisions",
        "fp32,tf32,bf16,fp32+bf16,fp32+bf16+fp16",
        "--with_previous",
        "latest",
    )
    second = run(tmp_path, *words, "load_ts=False", *matrix)
    assert second.returncode == 0, second.stderr
    rows = {(r["model's precision"], r["amp_dtype"]): r for r in table(second.stdout)}
    assert set(rows) == {
        ("fp32", "fp32"), ("fp32", "tf32"), ("bf16", "bf16"), ("fp32", "fp32+bf16"),
        ("fp32", "fp32+bf16+fp16"),
    }  # fmt: skip
    assert " ± " in rows["fp32", "fp32"]["latency (ms)"]
    assert float(rows["fp32", "fp32"]["previous latency (ms)"]) > 0
    assert rows["fp32", "fp32+bf16+fp16"]["latency (ms)"] == "declined"
    assert "Torch-TensorRT takes such a combination" in second.stdout


def test_batches_are_fed_and_throughput_has_a_knee(tmp_path: Path) -> None:
    models = ("-m", "Yolo=setup_models.networks.detectors:retinanet")
    done = run(
        tmp_path, "-m", "perf.cli.batch_run", "--batch_sizes", "1,4", *models, "-e", "torch", "torch_script", *SHORT
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = table(done.stdout)
    assert [r["Batch Size"] for r in rows] == ["1", "4"]
    assert all(float(r["Torch fp32 (items/sec)"].strip("*")) > 0 for r in rows)
    assert "knee" in done.stdout
    across = run(
        tmp_path, "-m", "perf.cli.batch_run", "--runs", str(tmp_path / "latest"), env=False
    )
    assert across.returncode == 0, across.stderr
    assert "### Yolo, Batch Size=4" in across.stdout


class Marks:
    """Whoever unpickles it makes a file here."""

    def __reduce__(self) -> Any:
        return open, ("unpickled", "w")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("scripts.benchmark_gpu", "compile_run_path=gone"), "no export.json there"),
        (("scripts.benchmark_gpu", "n_itr=3"), "nearest is n_iter="),
        (("scripts.benchmark_gpu", "compile_run_path={exp}", "amp_dtype=fp8"), "'fp8' is none of"),
        (
            ("scripts.benchmark_gpu", "compile_run_path={exp}", "load_ts=maybe"),
            "use True or False",
        ),
        (("perf.cli.batch_run", "--batch_sizes", "0"), "a batch is 1 or more"),
        (("perf.cli.batch_run", "--batch_sizes", "1,x"), "'x' is no whole number"),
        (
            (
                "scripts.export_tensorrt",
                "weights={exp}/code.pt",
                "out={exp}/out",
                f"env={NAMED[0]}",
            ),
            "code.pt is no file of tensors alone",
        ),
        (("perf.cli.perf_run", "--config", "gone.yml"), "gone.yml: No such file"),
    ],
)
def test_bad_words_are_one_line(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    told = '{"model": "vitdet", "height": 64, "width": 64, "amp_dtype": "fp32", '
    (tmp_path / "export.json").write_text(
        told + '"enabled_precisions": "fp32", "optimiser": "", "weights": ""}'
    )
    (tmp_path / "code.pt").write_bytes(pickle.dumps(Marks()))
    done = run(tmp_path, "-m", *(w.format(exp=tmp_path) for w in words), env=False)
    assert not (ROOT / "unpickled").exists()
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
