"""`model_list.json`: it names the offline set, and what it overrides fits the models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from perf.request import model_list as lists
from perf.schema.cell import Comparison
from setup_models import offline
from tests.asking import ROOT

NAMES = tuple(recipe.name for recipe in offline.RECIPES)
LIST: list[dict[str, Any]] = json.loads((ROOT / "model_list.json").read_text())


@pytest.fixture(scope="module")
def models() -> Path:
    """The repository's own set, made where it is not there yet."""
    offline.main([])
    return ROOT / "models"


def test_the_harness_reads_the_list(models: Path) -> None:
    read = {model.name: model for model in lists.load_models(ROOT / "model_list.json")}
    assert list(read) == list(NAMES)
    assert all(Path(model.path).parent.parent == models for model in read.values())
    assert read["detector"].comparison is Comparison.UNORDERED
    assert read["int8_qdq"].tolerances["fp32"].atol == 0.04
    assert read["encoder"].inputs["input_ids"].shape == (2, 48)


def test_model_list_names_the_set(models: Path) -> None:
    assert [entry["model_name"] for entry in LIST] == list(NAMES)
    for entry in LIST:
        home = ROOT / entry["working_directory"]
        assert home.samefile(models / entry["model_name"])
        assert (home / entry["model_path"]).is_file()
        assert (home / entry["test_data_path"] / "test_data_set_1" / "input_0.pb").is_file()
        assert set(entry.get("inputs", {})) <= {
            v.name for v in onnx.load(home / "model.onnx").graph.input
        }


@pytest.mark.parametrize(
    "entry", [e for e in LIST if "inputs" in e], ids=lambda e: e["model_name"]
)
def test_overrides_make_inputs_that_the_model_takes(models: Path, entry: dict[str, Any]) -> None:
    engine = ort.InferenceSession(
        str(models / entry["model_name"] / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    feed = {}
    for value in engine.get_inputs():
        override = entry["inputs"][value.name]
        shape = override.get("shape", value.shape)
        assert all(isinstance(size, int) for size in shape)
        low, high = override.get("range", (0, 0))
        drawn = (
            rng.uniform(low, high, shape)
            if "range" in override
            else np.full(shape, override["value"])
        )
        feed[value.name] = drawn.astype(kinds[value.type])
    outputs = engine.run(None, feed)
    assert all(output.size and np.isfinite(output).all() for output in outputs)
