"""A cell's identity: it changes with all that can change its answer, and with nothing else."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.schema import cell as cells
from perf.schema.cell import Cell, Environment, Io, Precision, Protocol, Tolerance, safe_name
from perf.schema.model_form import Format, ModelForm
from tests.results import hand_made

CELL = cells.seal(hand_made.two_models()[0].cell)
OTHER = {
    "model": replace(CELL.model, sha256="f" * 64),
    "target": replace(CELL.target, precision=Precision.BF16),
    "environment": Environment("e", "/p", {}, {"onnxruntime": "9"}),
    "options": {"a": "b"},
    "session_config": {"a": "b"},
    "graph_optimization": "basic",
    "io": Io.DEVICE,
    "tf32": not CELL.tf32,
    "protocol": Protocol(launches=77),
    "tolerance": Tolerance(9.0, 9.0),
    "inputs_digest": "else",
    "checked": not CELL.checked,
    "benchmarked": not CELL.benchmarked,
    "plugin": {"library": "x"},
    "min_ep_share": 0.75,
    "form": ModelForm(Format.TORCHSCRIPT, "/m.ts", "e" * 64),
    "cuda_graph": not CELL.cuda_graph,
}
NOT_IDENTITY = {
    "id": "other", "digest": "0", "variant": "v", "provider": "P", "profile": not CELL.profile,
    "sets": (), "cache": "c", "workspace": "/w", "trtexec": "/t", "device": 5, "gpu": "GPU-1", "gpu_name": "H100",
    "batch": 7,  # the inputs' digest has it, and shapes too
    "shapes": {"x": (8, 3)},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(OTHER))
def test_whatever_can_change_an_answer_changes_the_digest(name: str) -> None:
    assert cells.digest_of(replace(CELL, **{name: OTHER[name]})) != CELL.digest  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(NOT_IDENTITY))
def test_what_cannot_change_it_does_not(name: str) -> None:
    assert cells.digest_of(replace(CELL, **{name: NOT_IDENTITY[name]})) == CELL.digest  # type: ignore[arg-type]


def test_every_field_of_a_cell_is_on_one_side_or_the_other() -> None:
    assert {f.name for f in fields(Cell)} == set(OTHER) | set(NOT_IDENTITY)


def test_the_place_of_a_file_is_no_part_of_what_it_is() -> None:
    moved = replace(CELL, model=replace(CELL.model, path="/elsewhere/m.onnx", folder="/elsewhere"))
    assert cells.digest_of(moved) == CELL.digest


def test_a_cell_reads_back_from_its_file(tmp_path: Path) -> None:
    cells.write_cell(CELL, tmp_path / "cell.json")
    assert cells.read_cell(tmp_path / "cell.json") == CELL


@given(st.text(max_size=300))
def test_any_name_makes_one_safe_folder(name: str) -> None:
    safe = safe_name(name)
    assert safe not in ("", ".", "..")
    assert "/" not in safe
    assert "\0" not in safe
    assert len(safe.encode()) < 256


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_names_never_share_a_folder(a: str, b: str) -> None:
    assert (safe_name(a) == safe_name(b)) == (a == b)


@pytest.mark.parametrize("name", ["squeezenet", "a-b_c.1", "T@env[io=device,a=b]"])
def test_a_name_that_can_stay_stays(name: str) -> None:
    assert (safe_name(name) == name) == ("," not in name)
