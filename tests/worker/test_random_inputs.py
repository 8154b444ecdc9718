"""Random inputs: what they are drawn from, and what is declined with the override to write."""

from pathlib import Path

import numpy as np
import pytest

from perf.backends import Unsupported
from perf.measure import tensor_io
from perf.schema.cell import InputOverride
from perf.worker.model_signature import BadModel
from perf.worker.prepare import PrepareRequest, prepare_sets
from tests import models
from tests.inprocess.asking import model_file, put

RANDOM = PrepareRequest("random", seed=3, sets=2)


def test_random_data_repeat_for_a_seed_and_differ_between_sets_and_seeds(tmp_path: Path) -> None:
    model = model_file(models.linear(tmp_path / "m"))
    first, again, other = (
        [
            tensor_io.load_inputs(s)["x"]
            for s in prepare_sets(model, PrepareRequest("random", seed, 2), tmp_path / name)
        ]
        for seed, name in ((3, "a"), (3, "b"), (4, "c"))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, other)
    assert first[0].shape == (1, 8)
    assert 0 <= first[0].min() < first[0].max() < 1


def test_random_integers_stay_within_the_stored_ones(tmp_path: Path) -> None:
    folder = models.lookup(tmp_path / "m")
    put(folder, 0, "input_0", np.full((50, 20), 3), "ids")
    sets = prepare_sets(model_file(folder), RANDOM, tmp_path / "o")
    assert set(np.unique(tensor_io.load_inputs(sets[0])["ids"])) == {0, 1, 2, 3}
    assert sets[0].outputs == ()


def test_random_integers_without_stored_ones_need_a_range(tmp_path: Path) -> None:
    folder = models.lookup(tmp_path / "m")
    bare = model_file(folder, inputs={"ids": InputOverride(shape=(40, 20))})
    object.__setattr__(bare, "test_data", None)
    with pytest.raises(Unsupported, match=r'"inputs": \{"ids": \{"range": \[0, 1\]\}\}'):
        prepare_sets(bare, RANDOM, tmp_path / "o")
    object.__setattr__(bare, "inputs", {"ids": InputOverride(shape=(40, 20), range=(2, 5))})
    drawn = tensor_io.load_inputs(prepare_sets(bare, RANDOM, tmp_path / "o")[0])["ids"]
    assert set(np.unique(drawn)) == {2, 3, 4, 5}


def test_random_shapes_need_a_shape_where_nothing_tells(tmp_path: Path) -> None:
    bare = model_file(models.linear(tmp_path / "m", sets=0))
    with pytest.raises(Unsupported, match="--shape x=1x8"):
        prepare_sets(bare, RANDOM, tmp_path / "o")
    asked = PrepareRequest("random", shapes={"x": (5, 8)})
    assert prepare_sets(bare, asked, tmp_path / "o")[0].inputs[0].shape == (5, 8)
    with pytest.raises(BadModel, match="no input 'z' to override; it has x"):
        prepare_sets(bare, PrepareRequest("random", shapes={"z": (5, 8)}), tmp_path / "o")
    with pytest.raises(BadModel, match="5x7 is asked for"):
        prepare_sets(bare, PrepareRequest("random", shapes={"x": (5, 7)}), tmp_path / "o")


def test_a_flags_shape_wins_over_the_model_list_and_is_refused_for_stored_data(
    tmp_path: Path,
) -> None:
    model = model_file(
        models.linear(tmp_path / "m"), inputs={"x": InputOverride(shape=(2, 8), value=0.5)}
    )
    asked = PrepareRequest("random", shapes={"x": (3, 8)})
    drawn = tensor_io.load_inputs(prepare_sets(model, asked, tmp_path / "o")[0])["x"]
    np.testing.assert_array_equal(drawn, np.full((3, 8), 0.5, np.float32))
    with pytest.raises(Unsupported, match="needs random inputs"):
        prepare_sets(model, PrepareRequest("zoo", shapes={"x": (3, 8)}), tmp_path / "p")
