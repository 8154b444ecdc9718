"""Converted models are kept by what they are made from, so that runs share one and never the wrong one."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from perf.schema import fold, journal
from perf.schema.journal import Artefact
from perf.schema.record import Passed, Skipped
from tests import models
from tests.asking import ROOT, Said, ask
from tests.fakes.trt_cells import FAKE

HALF = "Standalone_TRT_fp16"


@pytest.fixture
def shop(home: Path) -> Path:
    """A home with a trtexec that takes half precision from the model alone, as version 11 does."""
    path = home / "TensorRT-11.1" / "bin" / "trtexec"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"#!{sys.executable}\nimport runpy\nrunpy.run_path({str(FAKE)!r}, run_name='__main__')\n"
    )
    path.chmod(0o755)
    return home


def run(home: Path, run_id: str, *words: str) -> Said:
    boards = {"PYTHONPATH": str(ROOT / "tests" / "fakes" / "nvml"), "CUDA_VISIBLE_DEVICES": "0"}
    quick = ("-r", "validate", "-i", "zoo", "-e", HALF, "--run_id", run_id)
    return ask(home, *quick, *words, env={"FAKE_TRTEXEC_VERSION": "11.1", **boards})


def made(said: Said) -> Artefact:
    (folder,) = said.run.root.glob("cache/*-fp16/launch")
    artefact = fold.find_artifact(journal.read_journal(folder / "journal.jsonl"))
    assert artefact is not None
    return artefact


def test_runs_that_share_a_cache_share_the_converted_model(shop: Path) -> None:
    words = ("--models", "linear", "--keep_cache", "kept")
    first = run(shop, "first", *words)
    assert first.records[f"linear::{HALF}"].outcome == Passed(), first.out
    path = Path(made(first).path)
    assert path.parent.parent == shop / "kept"
    assert path.parent.name == made(first).report["key"]
    again = made(run(shop, "again", *words))
    assert (again.path, again.report["kept"]) == (str(path), "before")
    alone = made(run(shop, "alone", "--models", "linear"))
    assert alone.report["kept"] == "now"
    assert alone.report["key"] == path.parent.name
    assert shop / "result" / "alone" in Path(alone.path).parents


def test_block_lists_of_the_models_row_reach_the_converter(shop: Path) -> None:
    row = {
        "model_name": "linear", "working_directory": "./linear/", "model_path": "model.onnx",
        "test_data_path": "./", "half": {"op_block_list": ["MatMul"]},
    }  # fmt: skip
    plain = made(run(shop, "plain", "--models", "linear", "--keep_cache", "kept"))
    (shop / "models" / "model_list.json").write_text(json.dumps([row]))
    listed = ("-m", "models/model_list.json", "--keep_cache", "kept")
    blocked = made(run(shop, "blocked", *listed))
    assert blocked.report["key"] != plain.report["key"]
    types = {t.name: t.data_type for t in onnx.load(blocked.path).graph.initializer}
    assert types == {"weight": onnx.TensorProto.FLOAT, "bias": onnx.TensorProto.FLOAT16}


def test_a_failed_conversion_harms_no_other_model(shop: Path) -> None:
    down = helper.make_node("Cast", ["x"], ["half"], to=onnx.TensorProto.FLOAT16)
    up = helper.make_node("Cast", ["half"], ["y"], to=onnx.TensorProto.FLOAT)
    x = np.ones((2, 4), np.float32)
    models.write(
        shop / "models" / "halved", [down, up], {"x": (2, 4)}, {"y": (2, 4)}, [({"x": x}, {"y": x})]
    )  # fmt: skip
    records = run(shop, "one", "--models", "halved", "linear").records
    assert records[f"linear::{HALF}"].outcome == Passed()
    assert isinstance(records[f"halved::{HALF}"].outcome, Skipped)
