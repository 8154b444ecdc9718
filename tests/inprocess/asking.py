"""Cells and sets over real model folders, for tests that open sessions themselves."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import numpy_helper

from perf.request import tolerances
from perf.schema.cell import Cell, Environment, Io, ModelFile, Precision, Protocol, Target, TestSet
from perf.schema.jobs import PrepareJob
from perf.worker.prepare import prepare_sets


def model_file(folder: Path, **more: Any) -> ModelFile:
    """The model of a folder made by tests.models."""
    return ModelFile(
        folder.name, str(folder / "model.onnx"), "0" * 64, str(folder), str(folder), **more
    )


def stored_sets(folder: Path, out: Path) -> tuple[TestSet, ...]:
    """The folder's stored sets, prepared below `out`."""
    return prepared(model_file(folder), out)


def prepared(
    model: ModelFile, out: Path, input_data: str = "zoo", **more: Any
) -> tuple[TestSet, ...]:
    """A model's sets, prepared below `out` as a job with these fields asks for."""
    job = PrepareJob(model, input_data, seed=0, sets=1, shapes={}, destination=str(out))
    return prepare_sets(replace(job, **more))


def cell(model: ModelFile, provider: str = "CPUExecutionProvider", **more: Any) -> Cell:
    """A cell of 5 runs, host io, every optimisation and a profile; `more` replaces any field."""
    precision = more.pop("precision", Precision.FP32)
    fields: dict[str, Any] = {
        "id": f"{model.name}::{provider}",
        "digest": "",
        "model": model,
        "target": Target(provider, precision, "current", provider),
        "variant": "",
        "provider": provider,
        "environment": Environment("current", sys.executable),
        "options": {},
        "session_config": {},
        "graph_optimization": "all",
        "io": Io.HOST,
        "tf32": False,
        "protocol": Protocol(runs=5),
        "tolerance": tolerances.default_tolerance(precision),
        "inputs_digest": "",
    }
    return Cell(**(fields | more))


def f32(values: object) -> np.ndarray:
    """A float32 array, of any rank."""
    return np.array(values, np.float32)


def put(folder: Path, number: int, stem: str, array: np.ndarray, name: str) -> None:
    """Store a tensor in a test set of a model's folder."""
    home = folder / f"test_data_set_{number}"
    home.mkdir(parents=True, exist_ok=True)
    tensor = numpy_helper.from_array(np.asarray(array), name)
    (home / f"{stem}.pb").write_bytes(tensor.SerializeToString())
