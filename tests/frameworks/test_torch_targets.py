"""PyTorch's targets on a CPU: precisions, forms of a model, what they decline and what they find out."""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.frameworks.workplace import Workplace, outcomes

pytestmark = pytest.mark.frameworks


def test_every_precision_is_a_target_and_tells_what_ran_in_it(workplace: Workplace) -> None:
    names = [f"torch_{p}" for p in ("tf32", "fp16", "bf16", "fp32+fp16", "fp32+bf16")]
    said = workplace.run("-m", "nets:small_cnn", "-e", *names)
    got = outcomes(said)
    assert got.pop("small_cnn::torch_tf32") == "Skipped"
    assert set(got.values()) == {"Passed"}, got
    shares = {}
    for record in said.records.values():
        if record.launches and (told := record.launches[0].attested):
            shares[record.cell.target.label] = (told.precision, told.layer_share)
    assert shares["torch_fp16"] == ("fp16", 1.0)
    assert shares["torch_bf16"] == ("bf16", 1.0)
    assert shares["torch_fp32+fp16"][0] == "fp16"
    assert shares["torch_fp32+bf16"][1] > 0.3  # autocast may leave some of them in fp32
    precision = {row["target"]: row["precision"] for row in said.cells.values()}
    assert precision["torch_fp32+fp16"] == "fp32+fp16"


def test_files_of_each_kind_load_and_agree_with_the_module_they_are_of(
    workplace: Workplace,
) -> None:
    workplace.convert("nets:small_cnn", "torchscript", "traced.jit.pt")
    workplace.convert("nets:small_cnn", "torchscript", "scripted.ts", "--script")
    workplace.convert("nets:small_cnn", "export", "program.pt2")
    rows: list[dict[str, Any]] = [
        {"model_name": "traced", "torch": "traced.jit.pt"},
        {"model_name": "scripted", "torch": "scripted.ts", "inputs": {"image": {"shape": [2, 3, 32, 32]}}},
        {"model_name": "program", "torch": "program.pt2"},
    ]  # fmt: skip
    path = workplace.home / "list.json"
    path.write_text(json.dumps([{"working_directory": ".", **row} for row in rows]))
    said = workplace.run("-m", str(path), "-e", "torch", "torch_script", "-b", "both")
    assert set(outcomes(said).values()) == {"Passed"}, outcomes(said)
    assert len(said.records) == 12
    outputs = {
        r.cell.model.name: [np.load(t.path) for t in r.cell.sets[0].outputs]
        for r in said.records.values()
    }
    for name in ("scripted", "program"):
        for mine, theirs in zip(outputs[name], outputs["traced"], strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_nested_arguments_and_results_are_fed_and_compared_by_name(workplace: Workplace) -> None:
    said = workplace.run("-m", "nets:nested", "-e", "torch", "torch_compile")
    assert set(outcomes(said).values()) == {"Passed"}, outcomes(said)
    (cell, *_) = (r.cell for r in said.records.values())
    assert [t.name for t in cell.sets[0].inputs] == ["images[0]", "images[1]"]
    assert [t.name for t in cell.sets[0].outputs] == [
        "output_0.scores", "output_0.count", "output_1.scores", "output_1.count",
    ]  # fmt: skip


def test_a_worker_forked_from_one_that_imported_pytorch_computes_on_all_its_threads(
    workplace: Workplace,
) -> None:
    said = workplace.run("-m", "nets:threads", "-e", "torch", "--intra_op_threads", "2")
    (record,) = said.records.values()
    assert type(record.outcome).__name__ == "Passed"
    assert {x.isolation for x in record.launches} == {"host"}
    asked_for, seen = np.load(record.cell.sets[0].outputs[1].path)
    assert asked_for == 2
    assert seen >= 2


def test_one_core_is_given_one_thread(workplace: Workplace) -> None:
    said = workplace.run("-m", "nets:threads", "-e", "torch", "--cpu_affinity", "0")
    (record,) = said.records.values()
    assert np.load(record.cell.sets[0].outputs[1].path)[0] == 1


def test_what_was_not_compiled_is_a_fallback(workplace: Workplace) -> None:
    said = workplace.run("-m", "nets:uncompiled", "-e", "torch_compile")
    assert outcomes(said)["uncompiled::torch_compile"] == "FellBack"


def test_weights_that_differ_from_process_to_process_are_found_out(workplace: Workplace) -> None:
    said = workplace.run("-m", "nets:drifting", "-e", "torch")
    assert outcomes(said)["drifting::torch"].startswith("Mismatched")


def test_without_a_compiler_it_declines_with_the_fix(workplace: Workplace) -> None:
    empty = workplace.home / "bin"
    empty.mkdir()
    said = workplace.run(
        "-m", "nets:small_cnn", "-e", "torch_compile", "torch_export", env={"PATH": str(empty)}
    )
    for row in said.cells.values():
        assert row["outcome"] == "Skipped"
        assert "apt-get install g++" in str(row["detail"])


@pytest.mark.parametrize(
    ("words", "outcome", "says"),
    [
        (("nets:small_cnn", "-e", "torch", "--ep_options", "torch:mod=1"), "Skipped", "no option 'mod'; known are"),
        (("nets:small_cnn", "-e", "torch_compile", "--ep_options", "torch_compile:mode=x"), "Skipped", "use one of default"),
        (("nets:small_cnn", "-e", "torch_script", "--ep_options", "torch_script:mode=x"), "Skipped", "use trace or script"),
        (("nets:small_cnn", "-e", "torch", "--shape", "image=2x3x32"), "ArtefactFailed", "reference outputs by eager PyTorch"),
        (("nets:small_cnn", "-e", "torch", "--shape", "imge=1"), "ArtefactFailed", "no input is called 'imge'"),
        (("nets:no_inputs", "-e", "torch"), "ArtefactFailed", "must return (module, example inputs), got SmallCnn"),
        (("nets:gone", "-e", "torch"), "ArtefactFailed", "has no function 'gone'"),
    ],
)  # fmt: skip
def test_bad_input_says_what_is_wrong_in_one_line(
    workplace: Workplace, words: tuple[str, ...], outcome: str, says: str
) -> None:
    said = workplace.run("-m", *words)
    (row,) = (r for r in said.cells.values() if r["outcome"] != "Passed")
    assert row["outcome"] == outcome, row["detail"]
    assert says in str(row["detail"])


# --- pickles


class Marks:
    """Whoever unpickles it leaves a mark."""

    def __reduce__(self) -> Any:
        return (open, ("unpickled", "w"))


def whole(home: Path) -> str:
    (home / "whole.pt").write_bytes(pickle.dumps(Marks()))
    return "whole.pt"


def sly_program(home: Path) -> str:
    """An exported program whose example inputs are a pickle of code."""
    with (
        zipfile.ZipFile(home / "program.pt2") as honest,
        zipfile.ZipFile(home / "sly.pt2", "w") as sly,
    ):
        for name in honest.namelist():
            data = honest.read(name)
            sly.writestr(name, pickle.dumps(Marks()) if "sample_inputs" in name else data)
    return "sly.pt2"


@pytest.mark.parametrize("make", [whole, sly_program])
def test_a_pickle_of_code_never_runs_unasked(
    workplace: Workplace, make: Callable[[Path], str]
) -> None:
    workplace.convert("nets:small_cnn", "export", "program.pt2")
    said = workplace.run("-m", make(workplace.home), "-e", "torch", "--strict")
    assert said.status in (1, 2), said.out
    assert list(workplace.home.rglob("unpickled")) == []


def test_a_module_saved_whole_runs_where_it_is_allowed(workplace: Workplace) -> None:
    code = "import torch, nets; torch.save(nets.SmallCnn(), 'whole.pt')"
    done = workplace.python("-c", f"import sys; sys.path.insert(0, '.'); {code}")
    assert done.returncode == 0, done.stderr
    words = ("-m", "whole.pt", "-e", "torch", "--shape", "image=2x3x32x32")
    refused = workplace.run(*words)
    assert refused.status == 2
    assert "--allow_pickle" in refused.err
    workplace.let_torch_see(workplace.home)  # the class of what was saved
    allowed = workplace.run(*words, "--allow_pickle")
    (row,) = allowed.cells.values()
    assert row["outcome"] == "Passed", row


def test_a_cuda_graph_is_declined_where_there_is_no_gpu(workplace: Workplace) -> None:
    said = workplace.run("-m", "nets:small_cnn", "-e", "torch", "--cuda_graph", "both")
    assert outcomes(said) == {
        "small_cnn::torch": "Passed", "small_cnn::torch[cuda_graph=on]": "Skipped",
    }  # fmt: skip
    detail = said.cells["small_cnn::torch[cuda_graph=on]"]["detail"]
    assert detail == "CUDA graphs are of a GPU, and this cell runs on the CPU"
    assert said.cells["small_cnn::torch"]["notes"] == [], "no device of it is watched"
