"""A large batch repeats few items, and its reference is computed of those where they do not meet."""

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from perf.backends import Tensors
from perf.worker.repeated_items import ITEMS, infer_by_items, repeat
from tests import models
from tests.asking import ask
from tests.inprocess.asking import f32

BATCH = 21  # no multiple of the items
FEED = {"x": repeat(f32(np.random.default_rng(0).normal(size=(ITEMS, 3))), BATCH), "k": f32([2.0])}


class Engine:
    """Runs a function of a batch, and keeps how large the batches were."""

    def __init__(self, of_batch: object) -> None:
        self.sizes: list[int] = []
        self._of_batch = of_batch

    def infer(self, feed: Tensors) -> Tensors:
        self.sizes.append(len(feed["x"]))
        assert callable(self._of_batch)
        return {"y": self._of_batch(feed["x"]) * feed["k"][0]}


def test_outputs_of_the_items_are_those_of_the_batch() -> None:
    engine = Engine(np.tanh)
    got, how = infer_by_items(engine.infer, FEED, BATCH)
    np.testing.assert_array_equal(got["y"], np.tanh(FEED["x"]) * 2)
    assert (engine.sizes, how) == ([ITEMS, ITEMS // 2], "8 items of 21")


def fixed(x: np.ndarray) -> np.ndarray:
    if len(x) != BATCH:
        raise ValueError("this engine was built for one batch")
    return x


@pytest.mark.parametrize(
    "of_batch",
    [
        lambda x: x - x.mean(0),  # items meet
        lambda x: x.sum(0),  # and here there are none left
        lambda x: x.reshape(-1),  # or they are not counted by the first dimension
        lambda x: x[: len(x) // 2],
        fixed,
    ],
)
def test_where_items_meet_the_whole_batch_is_run(of_batch: object) -> None:
    engine = Engine(of_batch)
    got, how = infer_by_items(engine.infer, FEED, BATCH)
    assert callable(of_batch)
    np.testing.assert_array_equal(got["y"], of_batch(FEED["x"]) * 2)
    assert (engine.sizes[-1], how) == (BATCH, "")


@pytest.mark.parametrize("batch", [ITEMS, BATCH])
def test_a_batch_of_other_items_is_run_as_it_is(batch: int) -> None:
    feed = {"x": f32(np.arange(batch * 3).reshape(batch, 3)), "k": f32([1.0])}
    engine = Engine(np.tanh)
    assert infer_by_items(engine.infer, feed, batch)[1] == ""
    assert engine.sizes == [batch]


def test_a_run_says_how_many_items_its_reference_is_of_and_checks_all(tmp_path: Path) -> None:
    models.write(
        tmp_path / "models/net", [helper.make_node("Tanh", ["x"], ["y"])], {"x": ["n", 4]}, {"y": ["n", 4]}, []
    )  # fmt: skip
    model = str(tmp_path / "models/net/model.onnx")
    words = ("-r", "both", "-i", "random", "--batch_sizes", "4,20", "-t", "3")
    said = ask(tmp_path, "-m", model, *words)
    assert said.status == 0, said.err
    told = {}
    for record in said.records.values():
        (check,) = [x for x in record.launches if x.name == "check"]
        told[record.cell.batch] = {c.reference for c in check.compared}
        assert {c.total for c in check.compared} == {4 * record.cell.batch}
        items = np.load(record.cell.sets[0].inputs[0].path)
        assert len(np.unique(items, axis=0)) == min(record.cell.batch, ITEMS)
    by = "CPUExecutionProvider unoptimised"
    assert told == {4: {by}, 20: {f"{by}, 8 items of 20"}}, json.dumps(said.err)
