"""The models themselves: they load on the oldest engine, and their outputs can tell right from wrong."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from setup_models import offline
from setup_models.generate import detector, made, seeded, topologies
from tests.asking import ROOT

Array = NDArray[Any]
CLASSIFIERS = ("squeezenet", "shufflenet", "inception_v1", "resnet50", "densenet121")
NAMES = tuple(recipe.name for recipe in offline.RECIPES)


@dataclass(frozen=True)
class Stored:
    """What one test data set holds, by tensor name, in file order."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]


@pytest.fixture(scope="session")
def models() -> Path:
    """The repository's own set, made where it is not there yet."""
    offline.main([])
    return ROOT / "models"


def stored(folder: Path, number: int) -> Stored:
    def tensors(kind: str) -> dict[str, Array]:
        paths = sorted((folder / f"test_data_set_{number}").glob(f"{kind}_*.pb"))
        protos = [onnx.load_tensor(str(path)) for path in paths]
        return {proto.name: numpy_helper.to_array(proto) for proto in protos}

    return Stored(tensors("input"), tensors("output"))


def optimised(folder: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    return ort.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )


def distance(a: Array, b: Array) -> float:
    """Norm of the difference over the norm of the first."""
    left, right = a.astype(np.float64), b.astype(np.float64)
    return float(np.linalg.norm(left - right) / np.linalg.norm(left))


@pytest.mark.parametrize("name", NAMES)
def test_versions_load_on_the_oldest_environment(models: Path, name: str) -> None:
    model = onnx.load(models / name / "model.onnx")
    (opset,) = model.opset_import
    assert (opset.domain, opset.version <= 20, model.ir_version <= 10) == ("", True, True)
    inputs = {value.name for value in model.graph.input}
    assert not inputs & {tensor.name for tensor in model.graph.initializer}
    assert not [node for node in model.graph.node if node.op_type == "ConstantOfShape"]


@pytest.mark.parametrize("name", NAMES)
def test_sets_fit_the_model_and_the_references_hold(models: Path, name: str) -> None:
    engine = optimised(models / name)
    for number in range(2):
        data = stored(models / name, number)
        assert list(data.inputs) == [value.name for value in engine.get_inputs()]
        assert list(data.outputs) == [value.name for value in engine.get_outputs()]
        again = engine.run(None, data.inputs)
        for (key, reference), output in zip(data.outputs.items(), again, strict=True):
            assert (output.shape, output.dtype) == (reference.shape, reference.dtype), key
            assert distance(reference, output) < 1e-5, key


@pytest.mark.parametrize("name", NAMES)
def test_outputs_depend_on_the_input_and_are_no_constant(models: Path, name: str) -> None:
    first, second = (stored(models / name, number) for number in range(2))
    assert all(
        a.shape != b.shape or not np.array_equal(a, b)
        for a, b in zip(first.inputs.values(), second.inputs.values(), strict=True)
        if a.dtype.kind == "f"
    )
    for key, output in first.outputs.items():
        assert np.unique(output).size > 2, key
        assert output.astype(np.float64).std() > 0.1 * np.abs(output.astype(np.float64)).mean(), (
            key
        )
        other = second.outputs[key]
        if output.shape == other.shape:
            assert distance(output, other) > 0.1, key


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_slightly_different_picture_gives_a_different_answer(models: Path, name: str) -> None:
    engine = optimised(models / name)
    ((key, picture),) = stored(models / name, 0).inputs.items()
    darker = picture.copy()
    darker[:, :, 60:160, 60:160] -= 1
    before, after = (engine.run(None, {key: x})[0] for x in (picture, darker))
    assert distance(before, after) > 1e-2


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_softmax_is_neither_flat_nor_one_hot(models: Path, name: str) -> None:
    for number in range(2):
        (output,) = stored(models / name, number).outputs.values()
        assert output.shape[1] == 1000
        if name == "densenet121":  # it ends in logits
            assert 0.5 < output.std() < 5
            continue
        assert output.sum() == pytest.approx(1, abs=1e-4)
        assert 5 / 1000 < output.max() < 0.5
        assert np.sort(output.ravel())[-100:].sum() < 0.95


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_the_wheels_own_model_fails_what_these_pass(models: Path, name: str) -> None:
    """Guards the tests above: on the vacuous original the two pictures give one answer."""
    light = Path(onnx.__file__).parent / f"backend/test/data/light/light_{name}.onnx"
    engine = made.session(light.read_bytes())
    first, second = (
        engine.run(None, stored(models / name, number).inputs)[0] for number in range(2)
    )
    assert distance(first, second) < 1e-6


def test_one_wrong_weight_in_the_first_layer_shows(models: Path) -> None:
    model = onnx.load(models / "resnet50" / "model.onnx")
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    weight = next(t for t in model.graph.initializer if t.name == first.input[1])
    values = numpy_helper.to_array(weight).copy()
    values[0] *= -1  # one of 64 filters
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    data = stored(models / "resnet50", 0)
    (output,) = made.session(model.SerializeToString()).run(None, data.inputs)
    (reference,) = data.outputs.values()
    assert distance(reference, output) > 1e-3


def test_encoder_honours_its_mask_and_its_dynamic_dimensions(models: Path) -> None:
    engine = optimised(models / "encoder")
    single, batch = (stored(models / "encoder", number) for number in range(2))
    assert single.inputs["input_ids"].shape != batch.inputs["input_ids"].shape
    assert {array.dtype for array in batch.inputs.values()} == {np.dtype(np.int64)}
    changed = {key: array.copy() for key, array in batch.inputs.items()}
    padded = changed["attention_mask"] == 0
    assert 0 < padded.sum() < padded.size
    changed["input_ids"][padded] = 5
    logits = engine.run(["logits"], changed)[0]
    np.testing.assert_allclose(logits, batch.outputs["logits"], rtol=0, atol=1e-5)
    changed["attention_mask"][:] = 1
    unmasked = engine.run(["logits"], changed)[0]
    assert np.abs(unmasked[-1] - logits[-1]).max() > 1e-2


def test_loop_if_takes_both_branches_and_both_lengths(models: Path) -> None:
    first, second = (stored(models / "loop_if", number) for number in range(2))
    assert first.outputs["trace"].shape[0] == int(first.inputs["steps"]) == 24
    assert second.outputs["trace"].shape[0] == int(second.inputs["steps"]) == 60
    assert (first.outputs["final"] == 0).any()  # the Relu branch
    assert second.outputs["final"].min() > 0  # the Sigmoid branch
    for data in (first, second):
        assert abs(data.inputs["x"].mean()) > 0.2  # what the If compares with 0


def test_text_recogniser_reads_columns_in_both_directions(models: Path) -> None:
    engine = optimised(models / "text_recogniser")
    data = stored(models / "text_recogniser", 0)
    image = data.inputs["image"]
    assert image.shape[3] != stored(models / "text_recogniser", 1).inputs["image"].shape[3]
    before = data.outputs["characters"]
    assert before.shape == (image.shape[3] // 4, 1, 37)
    for columns, far in ((slice(0, 24), -1), (slice(-24, None), 0)):
        changed = image.copy()
        changed[..., columns] *= -1
        after = engine.run(None, {"image": changed})[0]
        assert distance(before[far], after[far]) > 1e-7  # through the recurrence alone


def test_int8_weights_are_per_channel_and_pictures_use_the_range(models: Path) -> None:
    graph = onnx.load(models / "int8_qdq" / "model.onnx").graph
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    scales = [array for key, array in arrays.items() if key.endswith(".scales")]
    assert len(scales) == 4
    assert all(np.unique(array).size == array.size for array in scales)
    quantised = [node.output[0] for node in graph.node if node.op_type == "QuantizeLinear"]
    model = onnx.load(models / "int8_qdq" / "model.onnx")
    model.graph.output.extend(
        helper.make_tensor_value_info(key, TensorProto.INT8, None) for key in quantised
    )
    engine = made.session(model.SerializeToString())
    for number in range(2):
        feed = stored(models / "int8_qdq", number).inputs
        for steps in engine.run(quantised, feed):
            assert steps.max() > 60
            assert (np.abs(steps.astype(int)) >= 127).mean() < 0.02  # saturated


def test_detector_leaves_no_decision_close(models: Path) -> None:
    model = onnx.load(models / "detector" / "model.onnx")
    cells = detector.CELLS**2
    for key, shape in (("all_boxes", [1, cells, 4]), ("all_scores", [1, detector.CLASSES, cells])):
        model.graph.output.append(helper.make_tensor_value_info(key, TensorProto.FLOAT, shape))
    engine = made.session(model.SerializeToString())
    for number in range(2):
        data = stored(models / "detector", number)
        boxes, scores = engine.run(["all_boxes", "all_scores"], data.inputs)
        assert np.abs(scores - detector.SCORE_LIMIT).min() > 3e-3
        found = [_suppressed(boxes[0], scores[0, label]) for label in range(detector.CLASSES)]
        for label, kept in enumerate(found):
            assert 0 < len(kept) < detector.MOST
            mine = data.outputs["labels"] == label
            np.testing.assert_array_equal(data.outputs["boxes"][mine], boxes[0, kept])
            np.testing.assert_array_equal(data.outputs["scores"][mine], scores[0, label, kept])
        passed = int((scores > detector.SCORE_LIMIT).sum())
        assert passed - sum(map(len, found)) >= 5  # suppression has work


def _suppressed(boxes: Array, scores: Array) -> list[int]:
    """Greedy suppression by hand; asserts that no overlap and no deciding order is close."""
    kept: list[int] = []
    for place in np.argsort(-scores):
        if scores[place] <= detector.SCORE_LIMIT:
            break
        overlaps = [_overlap(boxes[place], boxes[other]) for other in kept]
        assert all(abs(overlap - detector.OVERLAP_LIMIT) > 5e-3 for overlap in overlaps)
        rivals = [o for o, v in zip(kept, overlaps, strict=True) if v > detector.OVERLAP_LIMIT]
        assert all(scores[other] - scores[place] > 3e-3 for other in rivals)
        if not rivals:
            kept.append(int(place))
    assert all(scores[a] > scores[b] for a, b in pairwise(kept))
    return kept


def _overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes y1 x1 y2 x2."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


def test_streams_are_apart_and_stay_as_they_are() -> None:
    draws = [seeded.stream(*key).integers(0, 1 << 32) for key in (("a", 1), ("a", 2), ("b", 1))]
    assert len(set(draws)) == 3
    assert draws[0] == seeded.stream("a", 1).integers(0, 1 << 32)


@pytest.mark.parametrize(
    ("value", "near"), [(1.0, 1.0), (1.05, 1.0), (1.15, 2**0.25), (0.26, 0.25)]
)
def test_gains_are_powers_of_the_fourth_root_of_two(value: float, near: float) -> None:
    assert seeded.quarter_octave(value) == pytest.approx(near, rel=1e-15)
    assert seeded.quarter_octave(value * (1 + 1e-5)) == seeded.quarter_octave(value)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_another_engines_last_bits_do_not_move_the_weights(
    models: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def other(model: bytes) -> ort.InferenceSession:
        return ort.InferenceSession(model, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(topologies, "session", other)  # all cores, all optimisations
    again = topologies.build(name, offline.SEED).model.SerializeToString(deterministic=True)
    assert again == (models / name / "model.onnx").read_bytes()
