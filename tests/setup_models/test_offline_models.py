"""The models themselves: the list names them, any engine loads them, and outputs tell right from wrong."""

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from perf.conversion.cpu_reference import open_session, output_distance
from perf.conversion.data_sets import Tensors, read_inputs, read_outputs
from perf.conversion.signature import read_signature
from perf.request.model_list import load_models
from perf.schema.cell import Comparison
from setup_models import offline
from setup_models.generate import detector, seeded, topologies
from tests.asking import ROOT
from tests.inprocess.asking import prepared

Array = NDArray[Any]
CLASSIFIERS = ("squeezenet", "shufflenet", "inception_v1", "resnet50", "densenet121")
NAMES = tuple(recipe.name for recipe in offline.RECIPES)


class Stored(NamedTuple):
    """What one test data set holds, by tensor name, in file order."""

    inputs: Tensors
    outputs: Tensors


@pytest.fixture(scope="session")
def models() -> Path:
    """The repository's own set, made where it is not there yet."""
    offline.main([])
    return ROOT / "models"


def stored(folder: Path, number: int) -> Stored:
    signature, home = read_signature(folder / "model.onnx"), folder / f"test_data_set_{number}"
    return Stored(read_inputs(home, signature), read_outputs(home, signature))


def optimised(model: Path | bytes) -> ort.InferenceSession:
    """What a run has: every optimisation, several threads."""
    source = model if isinstance(model, bytes) else str(model / "model.onnx")
    return ort.InferenceSession(source, providers=["CPUExecutionProvider"])


def distance(a: Array, b: Array) -> float:
    """Norm of the difference over the norm of the first."""
    found = output_distance(b, a)
    assert found is not None
    return found.relative


def test_the_list_names_the_set_and_what_it_overrides_fits(models: Path, tmp_path: Path) -> None:
    listed = {model.name: model for model in load_models(ROOT / "model_list.json")}
    assert tuple(listed) == NAMES
    assert listed["detector"].comparison is Comparison.UNORDERED
    assert listed["int8_qdq"].tolerances["fp32"].atol == 0.04
    assert listed["encoder"].inputs["input_ids"].shape == (2, 48)
    for name, model in listed.items():
        assert Path(model.path).resolve() == (models / name / "model.onnx").resolve()
        assert not model.problem
        (one,) = prepared(model, tmp_path / name, "random")
        feed = {tensor.name: np.load(tensor.path) for tensor in one.inputs}
        outputs = optimised(models / name).run(None, feed)
        assert all(output.size and np.isfinite(output).all() for output in outputs), name


@pytest.mark.parametrize("name", NAMES)
def test_a_model_loads_anywhere_and_its_outputs_differ(models: Path, name: str) -> None:
    model = onnx.load(models / name / "model.onnx")
    (opset,) = model.opset_import
    assert (opset.domain, opset.version <= 20, model.ir_version <= 10) == ("", True, True)
    inputs = {value.name for value in model.graph.input}
    assert not inputs & {tensor.name for tensor in model.graph.initializer}
    assert not [node for node in model.graph.node if node.op_type == "ConstantOfShape"]
    session = optimised(models / name)
    first, second = sets = [stored(models / name, number) for number in range(2)]
    for data in sets:
        assert list(data.inputs) == [value.name for value in session.get_inputs()]
        assert list(data.outputs) == [value.name for value in session.get_outputs()]
        for (key, reference), output in zip(
            data.outputs.items(), session.run(None, data.inputs), strict=True
        ):
            assert output.dtype == reference.dtype, key
            assert distance(reference, output) < 1e-5, key
    for key, fed in first.inputs.items():
        assert fed.dtype.kind != "f" or not np.array_equal(fed, second.inputs[key]), key
    for key, output in first.outputs.items():
        assert np.unique(output).size > 2, key
        wide = output.astype(np.float64)
        assert wide.std() > 0.1 * np.abs(wide).mean(), key
        if output.shape == second.outputs[key].shape:
            assert distance(output, second.outputs[key]) > 0.1, key


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_sees_differences_and_is_not_flat(models: Path, name: str) -> None:
    session = optimised(models / name)
    ((key, picture),) = stored(models / name, 0).inputs.items()
    darker = picture.copy()
    darker[:, :, 60:160, 60:160] -= 1
    before, after = (session.run(None, {key: x})[0] for x in (picture, darker))
    assert distance(before, after) > 1e-2
    for number in range(2):
        (output,) = stored(models / name, number).outputs.values()
        assert output.shape[1] == 1000
        if name == "densenet121":  # it ends in logits
            assert 0.5 < output.std() < 5
            continue
        assert output.sum() == pytest.approx(1, abs=1e-4)
        assert 5 / 1000 < output.max() < 0.5
        assert np.sort(output.ravel())[-100:].sum() < 0.95


def test_encoder_honours_its_mask_and_its_dynamic_dimensions(models: Path) -> None:
    session = optimised(models / "encoder")
    single, batch = (stored(models / "encoder", number) for number in range(2))
    assert single.inputs["input_ids"].shape != batch.inputs["input_ids"].shape
    assert {array.dtype for array in batch.inputs.values()} == {np.dtype(np.int64)}
    changed = {key: array.copy() for key, array in batch.inputs.items()}
    padded = changed["attention_mask"] == 0
    assert 0 < padded.sum() < padded.size
    changed["input_ids"][padded] = 5
    logits = session.run(["logits"], changed)[0]
    np.testing.assert_allclose(logits, batch.outputs["logits"], rtol=0, atol=1e-5)
    changed["attention_mask"][:] = 1
    unmasked = session.run(["logits"], changed)[0]
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
    session = optimised(models / "text_recogniser")
    data = stored(models / "text_recogniser", 0)
    image = data.inputs["image"]
    assert image.shape[3] != stored(models / "text_recogniser", 1).inputs["image"].shape[3]
    before = data.outputs["characters"]
    assert before.shape == (image.shape[3] // 4, 1, 37)
    for columns, far in ((slice(0, 24), -1), (slice(-24, None), 0)):
        changed = image.copy()
        changed[..., columns] *= -1
        after = session.run(None, {"image": changed})[0]
        assert distance(before[far], after[far]) > 1e-7  # through the recurrence alone


def test_int8_weights_are_per_channel_and_pictures_use_the_range(models: Path) -> None:
    model = onnx.load(models / "int8_qdq" / "model.onnx")
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    scales = [array for key, array in arrays.items() if key.endswith(".scales")]
    assert len(scales) == 4
    assert all(np.unique(array).size == array.size for array in scales)
    quantised = [n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    model.graph.output.extend(
        helper.make_tensor_value_info(key, TensorProto.INT8, None) for key in quantised
    )
    session = open_session(model.SerializeToString())
    for number in range(2):
        for steps in session.run(quantised, stored(models / "int8_qdq", number).inputs):
            assert steps.max() > 60
            assert (np.abs(steps.astype(int)) >= 127).mean() < 0.02  # saturated


def test_detector_leaves_no_decision_close(models: Path) -> None:
    model = onnx.load(models / "detector" / "model.onnx")
    cells = detector.CELLS**2
    for key, shape in (("all_boxes", [1, cells, 4]), ("all_scores", [1, detector.CLASSES, cells])):
        model.graph.output.append(helper.make_tensor_value_info(key, TensorProto.FLOAT, shape))
    session = open_session(model.SerializeToString())
    for number in range(2):
        data = stored(models / "detector", number)
        boxes, scores = session.run(["all_boxes", "all_scores"], data.inputs)
        assert np.abs(scores - detector.SCORE_LIMIT).min() > 3e-3
        found = [suppressed(boxes[0], scores[0, label]) for label in range(detector.CLASSES)]
        for label, kept in enumerate(found):
            assert 0 < len(kept) < detector.MOST
            mine = data.outputs["labels"] == label
            np.testing.assert_array_equal(data.outputs["boxes"][mine], boxes[0, kept])
            np.testing.assert_array_equal(data.outputs["scores"][mine], scores[0, label, kept])
        passed = int((scores > detector.SCORE_LIMIT).sum())
        assert passed - sum(map(len, found)) >= 5  # suppression has work


def suppressed(boxes: Array, scores: Array) -> list[int]:
    """Greedy suppression by hand; asserts that no overlap and no deciding order is close."""
    kept: list[int] = []
    for place in np.argsort(-scores):
        if scores[place] <= detector.SCORE_LIMIT:
            break
        overlaps = [overlap(boxes[place], boxes[other]) for other in kept]
        assert all(abs(shared - detector.OVERLAP_LIMIT) > 5e-3 for shared in overlaps)
        rivals = [o for o, v in zip(kept, overlaps, strict=True) if v > detector.OVERLAP_LIMIT]
        assert all(scores[other] - scores[place] > 3e-3 for other in rivals)
        if not rivals:
            kept.append(int(place))
    assert all(scores[a] > scores[b] for a, b in pairwise(kept))
    return kept


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes y1 x1 y2 x2."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


def test_last_bits_do_not_move_weights(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gains are powers of the fourth root of two: what rounds otherwise gives the same model."""
    assert seeded.quarter_octave(0.26 * (1 + 1e-5)) == seeded.quarter_octave(0.26) == 0.25
    monkeypatch.setattr(topologies, "open_session", lambda model, threads: optimised(model))
    for name in ("squeezenet", "shufflenet"):
        again = topologies.build(name, offline.SEED).model.SerializeToString(deterministic=True)
        assert again == (models / name / "model.onnx").read_bytes()
