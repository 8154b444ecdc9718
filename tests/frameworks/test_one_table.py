"""The same weights as ONNX and in PyTorch's forms: one table, all held to the eager model."""

import json
from pathlib import Path

import numpy as np
import pytest

from perf.schema.record import Record
from tests.frameworks.workplace import Workplace, outcomes

pytestmark = pytest.mark.frameworks


def listed(workplace: Workplace, **row: str) -> str:
    path = workplace.home / "list.json"
    path.write_text(json.dumps([{"model_name": "small", "working_directory": ".", **row}]))
    return str(path)


def references(record: Record) -> list[Path]:
    return [Path(t.path) for s in record.cell.sets for t in s.outputs]


def test_onnx_and_torch_targets_stand_beside_each_other_and_agree(workplace: Workplace) -> None:
    workplace.convert("nets:small_cnn", "onnx", "small.onnx", "--open_batch")
    model = listed(workplace, model_path="small.onnx", test_data_path=".", torch="nets:small_cnn")
    names = (
        "cpu", "openvino_alone", "iree", "torch", "torch_script", "torch_compile", "torch_export",
    )  # fmt: skip
    said = workplace.run("-m", model, "-e", *names, "--shape", "image=2x3x32x32")
    assert said.status == 0, said.err
    assert set(outcomes(said).values()) == {"Passed"}, outcomes(said)
    assert len(said.records) == len(names)
    for record in said.records.values():
        assert references(record) == references(next(iter(said.records.values())))
        (maker,) = {p.parent.parent.name for p in references(record)}
        assert maker == "launch"
        check = next(x for x in record.launches if x.name == "check")
        assert [c.output for c in check.compared[:2]] == ["output_0", "output_1"]
        assert max(c.max_abs or 0.0 for c in check.compared) < 1e-4
    compiled = said.records["small::torch_compile[image=2x3x32x32]"]
    (measured,) = [x for x in compiled.launches if x.timed]
    assert measured.created
    assert measured.created.cached is True  # what the check launch compiled
    told = compiled.launches[0].placement
    assert told
    assert told.nodes == {"inductor": 8}
    cache = Path(compiled.cell.cache)
    assert cache.is_relative_to(said.run.root)
    assert any((cache / "inductor").iterdir())


def test_an_onnx_file_of_other_weights_is_found_out(workplace: Workplace) -> None:
    workplace.convert("nets:other_weights", "onnx", "small.onnx")
    model = listed(workplace, model_path="small.onnx", test_data_path=".", torch="nets:small_cnn")
    said = workplace.run("-m", model, "-e", "cpu", "torch")
    got = outcomes(said)
    assert got["small::CPUExecutionProvider"].startswith("Mismatched")
    assert got["small::torch"] == "Passed"


def test_without_pytorch_a_row_that_is_held_to_it_says_so(workplace: Workplace) -> None:
    workplace.convert("nets:small_cnn", "onnx", "small.onnx")
    model = listed(workplace, model_path="small.onnx", test_data_path=".", torch="nets:small_cnn")
    said = workplace.run("-m", model, "-e", "cpu", "--env", "torch=/gone/python")
    (row,) = said.cells.values()
    assert row["outcome"] == "ArtefactFailed"
    assert "no environment here runs an entry point" in str(row["detail"])


def test_inputs_fed_by_default_are_drawn_and_two_runs_draw_the_same(workplace: Workplace) -> None:
    first = workplace.run("-m", "nets:small_cnn", out="a")
    second = workplace.run("-m", "nets:small_cnn", out="b")
    one, two = (next(iter(s.records.values())).cell.sets for s in (first, second))
    assert [s.name for s in one] == ["random_0", "random_1"]
    for a, b in zip(one, two, strict=True):
        x, y = np.load(a.inputs[0].path), np.load(b.inputs[0].path)
        np.testing.assert_array_equal(x, y)
        assert x.std() > 0.1
    stored = workplace.run("-m", "nets:small_cnn", "-i", "zoo", out="c")
    (record,) = stored.records.values()
    assert [s.name for s in record.cell.sets] == ["example"]
