"""Cells for the fake engine, with real input files, written where a launch expects them."""

import sys
from pathlib import Path

import numpy as np

from perf.schema import cell as cells
from perf.schema.cell import Cell, Environment, ModelFile, Protocol, TensorFile, TestSet, Tolerance
from tests.inprocess.asking import cell

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
    made = cell(
        ModelFile("tiny", str(folder / "none.onnx"), "0" * 64, str(folder)),
        "FakeExecutionProvider", environment=HERE, options={"how": how, "where": where, **options},
        protocol=Protocol(runs=20), tolerance=Tolerance(1e-3, 1e-5), inputs_digest="0",
        sets=(given,), plugin={"file": str(ENGINE)},
    )  # fmt: skip
    return cells.seal(made)


def written(made: Cell, folder: Path) -> Path:
    """cell.json of a cell."""
    folder.mkdir(parents=True, exist_ok=True)
    cells.write_cell(made, folder / "cell.json")
    return folder / "cell.json"
