"""Cells for the fake engine, with real input files, written where a launch expects them."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from perf.schema import cell as cells
from perf.schema.cell import (
    Cell,
    Environment,
    Io,
    ModelFile,
    Precision,
    Protocol,
    Target,
    TensorFile,
    TestSet,
    Tolerance,
)

ENGINE = Path(__file__).parent / "engine.py"
PRELOAD = ("numpy", "perf.measure.tensor_io", "perf.worker.validate")
HERE = Environment("tests", sys.executable)


def fake_cell(folder: Path, how: str = "", where: str = "create", **options: str) -> Cell:
    """A cell whose engine misbehaves as asked; its one input and its reference lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", x * 2)
    given = TestSet(
        "set_0",
        (TensorFile("x", str(folder / "x.npy"), 1, (2, 3)),),
        (TensorFile("x_doubled", str(folder / "y.npy"), 1, (2, 3)),),
    )
    cell = Cell(
        id="tiny::FakeExecutionProvider",
        digest="",
        model=ModelFile("tiny", str(folder / "none.onnx"), "0" * 64, str(folder)),
        target=Target("FakeExecutionProvider", Precision.FP32, "tests", "FakeExecutionProvider"),
        variant="",
        provider="FakeExecutionProvider",
        environment=HERE,
        options={"how": how, "where": where, **options},
        session_config={},
        graph_optimization="all",
        io=Io.HOST,
        tf32=False,
        protocol=Protocol(runs=20),
        tolerance=Tolerance(1e-3, 1e-5),
        inputs_digest="0",
        sets=(given,),
        plugin={"file": str(ENGINE)},
    )
    return cells.seal(cell)


def written(cell: Cell, folder: Path) -> Path:
    """cell.json of a cell."""
    folder.mkdir(parents=True, exist_ok=True)
    cells.write_cell(cell, folder / "cell.json")
    return folder / "cell.json"


def without_sets(cell: Cell) -> Cell:
    """The same cell with nothing to feed."""
    return replace(cell, sets=())
