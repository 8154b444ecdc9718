"""The precision of a converted model proved, or disproved, by a real profile of ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from perf.backends._ort.session import OrtSession, SessionSpec
from perf.schema.cell import ModelFile, Precision
from perf.schema.journal import PrecisionEvidence
from tests.inprocess.asking import cell


def half_model(path: Path, operator: str) -> Path:
    """y = operator(x), all in float16: matrix products have no such kernel on the CPU, identities have."""
    weight = numpy_helper.from_array(np.ones((8, 8), np.float16), "w")
    given = ["x", "w"] if operator == "MatMul" else ["x"]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT16, [4, 8]) for n in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node(operator, given, ["y"])], "g", infos[:1], infos[1:],
        [weight] if operator == "MatMul" else [],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)
    return path


def attested(
    tmp_path: Path, operator: str, precision: Precision, *, typed: bool = True
) -> PrecisionEvidence | None:
    path = half_model(tmp_path / "model.onnx", operator)
    wanted = cell(ModelFile("m", str(path), "0", str(tmp_path)), precision=precision)
    spec = SessionSpec(str(path), [("CPUExecutionProvider", {})], typed=typed)
    with OrtSession.open(wanted, tmp_path, spec) as session:
        session.infer({"x": np.ones((4, 8), np.float16)})
        session.placement()
        return session.precision_evidence()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_kernels_that_run_in_half_are_seen_to(tmp_path: Path) -> None:
    got = attested(tmp_path, "Identity", Precision.FP16)
    assert got is not None
    assert (got.precision, got.layer_share, got.regime) == ("fp16", 1.0, "converted model")


def test_a_half_model_that_ran_in_float_is_found_out(tmp_path: Path) -> None:
    """The CPU EP casts to float where it has no half kernel, and says nothing."""
    got = attested(tmp_path, "MatMul", Precision.FP16)
    assert got is not None
    assert got.layer_share < 1.0


def test_full_precision_and_fused_engines_are_not_judged_by_their_tensors(tmp_path: Path) -> None:
    assert attested(tmp_path, "Identity", Precision.FP32) is None
    assert attested(tmp_path, "Identity", Precision.FP16, typed=False) is None
