"""Which form of a model each target is given, and what is said where it can load none."""

from dataclasses import replace
from pathlib import Path

import pytest

from perf import backends
from perf.backends import ProbeResult
from perf.machine.gpus import Gpu
from perf.planning import form_choice, targets
from perf.planning import plan as planning
from perf.planning.targets import Planned, ProbedEnvironment
from perf.request import model_list as model_files
from perf.request.environments import EnvironmentSpec
from perf.request.options import BadRequestError, parse
from perf.schema.cell import Environment, ModelFile
from perf.schema.model_form import Format, ModelForm
from tests import models

CPU = "CPUExecutionProvider"
SCRIPT = ModelForm(Format.TORCHSCRIPT, "/m.ts", "1" * 64)
ENTRY = ModelForm(Format.ENTRY_POINT, "/m.py", "2" * 64, "m:net", "/")
PICKLED = ModelForm(Format.PICKLE, "/m.pt", "3" * 64)


def place(name: str, *serves: str, default: bool = True, **versions: str) -> ProbedEnvironment:
    spec = EnvironmentSpec(name, f"/{name}", targets=serves, default=default)
    found = ProbeResult(
        providers=() if "torch" in versions else (CPU,), versions=versions, gpus=()
    )
    return ProbedEnvironment(spec, Environment(name, f"/{name}", {}, versions), found)


PLACES = (
    place("current", onnxruntime="1"),
    place("torch", "torch", "torch_fp16", default=False, torch="2.13.0+cpu"),
)


@pytest.fixture
def onnx_model(tmp_path: Path) -> ModelFile:
    (model,) = model_files.load_models(models.relu(tmp_path / "relu") / "model.onnx")
    return model


def of_form(*forms: ModelForm) -> ModelFile:
    first = forms[0]
    return ModelFile("m", first.path, first.sha256, "/", format=first.format, forms=forms)


def planned(
    model: ModelFile,
    *words: str,
    places: tuple[ProbedEnvironment, ...] = PLACES,
    gpus: tuple[Gpu, ...] = (),
) -> dict[str, Planned]:
    options = parse(words)
    offered = targets.make_offers(places, backends.discover_backends(), {})
    chosen = targets.choose_offers(offered, options, form_choice.formats_of([model]))
    return {
        p.cell.target.label: p for p in planning.plan_cells([model], chosen, options, gpus=gpus)
    }


def test_without_a_name_an_onnx_model_runs_where_it_always_did(onnx_model: ModelFile) -> None:
    assert list(planned(onnx_model)) == [CPU]


def test_without_a_name_a_torch_model_runs_eagerly_in_fp32(onnx_model: ModelFile) -> None:
    assert list(planned(of_form(SCRIPT))) == ["torch"]
    assert list(planned(replace(onnx_model, forms=(SCRIPT,)))) == [CPU, "torch"]


def test_without_a_name_each_model_of_a_list_has_the_targets_that_can_load_it(
    onnx_model: ModelFile,
) -> None:
    options = parse(())
    both = (onnx_model, of_form(SCRIPT))
    offered = targets.make_offers(PLACES, backends.discover_backends(), {})
    chosen = targets.choose_offers(offered, options, form_choice.formats_of(both))
    cells = [p.cell.id for p in planning.plan_cells(both, chosen, options)]
    assert cells == ["relu::CPUExecutionProvider", "m::torch"]


def test_an_onnx_model_on_a_torch_target_is_skipped_with_the_fix(onnx_model: ModelFile) -> None:
    cells = planned(onnx_model, "-e", "torch", "cpu")
    assert "name one as 'torch' in its row of a model list" in cells["torch"].skip
    assert not cells[CPU].skip
    skipped = planned(of_form(SCRIPT), "-e", "cpu")[CPU].skip
    assert "name one as 'model_path' in its row" in skipped


def test_a_target_is_given_the_form_it_likes_best() -> None:
    model = of_form(SCRIPT, ENTRY)
    assert planned(model, "-e", "torch")["torch"].cell.form == ENTRY
    assert model.eager_form == ENTRY


def test_the_form_and_what_outputs_are_held_to_are_part_of_a_cells_identity(
    onnx_model: ModelFile,
) -> None:
    alone = planned(onnx_model, "-e", "cpu")[CPU].cell
    beside = planned(replace(onnx_model, forms=(SCRIPT,)), "-e", "cpu", "torch")
    assert beside[CPU].cell.form is None
    assert alone.digest != beside[CPU].cell.digest
    other = replace(SCRIPT, sha256="9" * 64)
    again = planned(replace(onnx_model, forms=(other,)), "-e", "cpu", "torch")
    for label in (CPU, "torch"):
        assert again[label].cell.digest != beside[label].cell.digest
    moved = replace(SCRIPT, path="/elsewhere.ts")
    same = planned(replace(onnx_model, forms=(moved,)), "-e", "torch")
    assert same["torch"].cell.digest == beside["torch"].cell.digest


def test_a_pickle_is_refused_until_it_is_allowed() -> None:
    with pytest.raises(BadRequestError, match=r"/m\.pt is a pickle.*--allow_pickle"):
        planned(of_form(PICKLED), "-e", "torch")
    allowed = planned(of_form(PICKLED), "-e", "torch", "--allow_pickle")
    assert allowed["torch"].cell.form == PICKLED


GPU = Gpu(0, "GPU-1", "NVIDIA H200", 1.0, "580.1", "13.0", 700.0)


def test_torch_takes_a_gpu_where_its_build_can_use_one() -> None:
    def cell(torch: str, *words: str) -> str:
        probed = place("torch", "torch", torch=torch)
        probed = replace(probed, found=replace(probed.found, gpus=(GPU.name,)))
        found = planned(
            of_form(SCRIPT), "-e", "torch", *words, places=(PLACES[0], probed), gpus=(GPU,)
        )
        return found["torch"].cell.gpu

    assert cell("2.14.1") == GPU.uuid
    assert cell("2.13.0+cpu") == ""
    assert cell("2.14.1", "--ep_options", "torch:device=cpu") == ""


def test_who_reads_a_form_is_the_first_environment_that_can() -> None:
    broken = replace(place("broken", "torch", torch="1"), problem="it is broken")
    offers = targets.make_offers((broken, *PLACES), backends.discover_backends(), {})
    readers = form_choice.eager_readers(offers)
    assert readers[Format.TORCHSCRIPT][1].name == "torch"
    assert Format.ONNX not in readers
