"""The models that a backend is tried with, made in milliseconds, and its cells of them."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from perf.backends import Backend
from perf.schema.cell import Cell, Precision, Target
from tests import models
from tests.inprocess.asking import cell, model_file, stored_sets


def cells_for(
    backend: Backend, folder: Path, plugin: Mapping[str, str] | None = None
) -> dict[str, Cell]:
    """Cells of the models below, by name, of a backend's first target or of a plug-in's."""
    plugin = plugin or {}
    spec = next(iter(backend.targets), None)
    name, precision = (spec.name, spec.precision) if spec else (plugin["target"], Precision.FP32)
    made = {}
    for make in (small, slow, drawing):
        model = make(folder / "models" / make.__name__)
        made[make.__name__] = cell(
            model_file(model), plugin.get("ep_name", backend.provider), plugin=plugin,
            sets=stored_sets(model, folder / "sets" / make.__name__),
            target=Target(name, precision, "contract", name), options=dict(backend.default_options),
        )  # fmt: skip
    return made


def small(path: Path) -> Path:
    """Outputs in an order of their own: two that only values tell apart, one of another shape, one of int64."""
    weight, shift = models.noise(100, (8, 4)), models.noise(101, (8,))
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["product"]),
        helper.make_node("Add", ["x", "x"], ["double"]),
        helper.make_node("Sub", ["double", "shift"], ["apart"]),
        helper.make_node("Identity", ["ids"], ["kept"]),
    ]
    sets = []
    for number, rows in enumerate((2, 2, 3)):
        x, ids = models.noise(number, (rows, 8)), np.array([number, -5])
        out = {"product": x @ weight, "kept": ids, "apart": x + x - shift, "double": x + x}
        sets.append(({"x": x, "ids": ids}, out))
    return models.write(
        path, nodes, {"x": ["batch", 8], "ids": (2,)},
        {"product": ["batch", 4], "kept": (2,), "apart": ["batch", 8], "double": ["batch", 8]},
        sets, parameters={"weight": weight, "shift": shift},
        kinds={"ids": TensorProto.INT64, "kept": TensorProto.INT64},
    )  # fmt: skip


def slow(path: Path, *, size: int = 448, draws: bool = False) -> Path:
    """Eight matrix products, which take some milliseconds anywhere."""
    weight, x = models.noise(100, (size, size)) / size**0.5, models.noise(0, (256, size))
    steps = itertools.pairwise(["x", *(f"h{i}" for i in range(7)), "y"])
    nodes = [helper.make_node("MatMul", [a, "weight"], [b]) for a, b in steps]
    outputs = {"y": np.linalg.multi_dot([x, *[weight] * 8])}
    if draws:
        nodes.append(helper.make_node("RandomUniform", [], ["drawn"], shape=[4], seed=7.0))
        outputs["drawn"] = np.zeros(4, np.float32)
    shapes = {name: array.shape for name, array in outputs.items()}
    return models.write(
        path, nodes, {"x": x.shape}, shapes, [({"x": x}, outputs)], parameters={"weight": weight}
    )


def drawing(path: Path) -> Path:
    """The like, faster, and with each run of a session the next numbers of a fixed sequence."""
    return slow(path, size=256, draws=True)
