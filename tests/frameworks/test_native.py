"""The C++ runtime that `make native` builds with PyTorch: alone, and in a table beside Python's."""

import csv
import json
import subprocess
from pathlib import Path

import pytest

from perf.schema import journal
from perf.schema.journal import Finished, Timed
from tests.asking import ROOT
from tests.frameworks.workplace import Workplace, outcomes

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
        ((), "--model FILE is missing, or --cell CELL"),
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


def test_the_same_weights_stand_in_one_table_by_python_and_by_cpp(workplace: Workplace) -> None:
    workplace.convert("nets:small_cnn", "torchscript", "small.ts")
    workplace.convert("nets:small_cnn", "onnx", "small.onnx")
    row = {
        "model_name": "small", "working_directory": ".", "test_data_path": ".", "model_path": "small.onnx",
        "torch": "small.ts",
    }  # fmt: skip
    (workplace.home / "list.json").write_text(json.dumps([row]), encoding="utf-8")
    targets = ("cpu", "native_ort_cpu", "torch_script", "native_torch_script")
    said = workplace.run("-m", "list.json", "-e", *targets)
    assert said.status == 0, said.err
    labels = ("CPUExecutionProvider", *targets[1:])
    assert outcomes(said) == {f"small::{label}": "Passed" for label in labels}
    with (said.run.root / "gap.csv").open(encoding="utf-8", newline="") as file:
        gaps = {(g["ep"], g["alone"]): g["term"] for g in csv.DictReader(file)}
    assert gaps == {
        ("CPUExecutionProvider", "native_ort_cpu"): "Python",
        ("torch_script", "native_torch_script"): "Python",
    }


def test_nested_results_have_the_same_names_and_values(workplace: Workplace) -> None:
    workplace.convert("nets:named", "torchscript", "named.ts", "--script")
    targets = ("torch_script", "native_torch_script")
    said = workplace.run("-m", "named.ts", "-e", *targets, "--shape", "image=2x3x4")
    cells = {f"named::{target}[image=2x3x4]" for target in targets}
    assert outcomes(said) == dict.fromkeys(cells, "Passed"), said.out


NEEDS_NMS = """
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

class Detector(torch.nn.Module):
    def forward(self, boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return torch.ops.torchvision.nms(boxes, scores, 0.5)

torch.jit.script(Detector()).save("detector.ts")
"""
KEEPS_ALL = """
#include <torch/library.h>
#include <ATen/ATen.h>
at::Tensor nms(const at::Tensor&, const at::Tensor& scores, double) { return at::argsort(scores); }
TORCH_LIBRARY(torchvision, m) { m.def("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", &nms); }
"""


def test_a_missing_library_of_operators_is_named_and_can_be_given(workplace: Workplace) -> None:
    (workplace.home / "detector.py").write_text(
        NEEDS_NMS, encoding="utf-8"
    )  # TorchScript reads it
    made = workplace.python("detector.py")
    assert made.returncode == 0, made.stderr
    words = ("--model", str(workplace.home / "detector.ts"), "--n_iter=2")
    shapes = ("--shape", "5x4", "--shape", "5")
    without = run(*words, *shapes)
    assert without.returncode == 2
    assert "needs the operator torchvision::nms" in without.stderr
    assert "torchvision/_C.so) with --ops_library" in without.stderr
    gone = run(*words, *shapes, "--ops_library", "gone.so")
    assert "cannot load the library of operators" in gone.stderr
    library = workplace.home / "operators.so"
    (workplace.home / "operators.cpp").write_text(KEEPS_ALL, encoding="utf-8")
    listed = "from torch.utils.cpp_extension import include_paths; print(*include_paths())"
    folders = [f"-I{folder}" for folder in workplace.python("-c", listed).stdout.split()]
    compiler = (
        "g++",
        "-std=c++20",
        "-shared",
        "-fPIC",
        *folders,
        "operators.cpp",
        "-o",
        str(library),
    )
    subprocess.run(compiler, check=True, cwd=workplace.home, timeout=400)
    given = run(*words, *shapes, "--ops_library", str(library))
    assert given.returncode == 0, given.stderr


def test_build_is_kept_apart_from_what_python_builds() -> None:
    assert "/build/" in Path(ROOT / ".gitignore").read_text().splitlines()
