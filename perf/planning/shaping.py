"""A second check of cells whose engine asks for inferred shapes, on a copy of the model that has them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from perf.core import codec, fold, run_folder
from perf.core.cell import ModelFile
from perf.core.record import LaunchKind, Outcome, Passed, Raised
from perf.planning.flow import Ask, Flow, Kitchen, Progress, artefacts
from perf.planning.jobs import ArtefactJob


def again(
    kitchen: Kitchen,
    model: ModelFile,
    checked: Sequence[Progress],
    check: Callable[[Kitchen, Progress, str], Ask],
) -> Flow:
    """Infer shapes symbolically and check once more; without them the engine's own words stand.

    TensorRT's parser does not know the output shapes of custom ops and of some subgraphs, and ONNX
    Runtime's provider then refuses the session. The copy lies in the cache, never beside the model.
    """
    mine = [p for p in checked if p.cell.model.path_fp16 is None and asks(p.outcome)]
    if not mine:
        return
    folder = kitchen.run.cache(f"{model.sha256[:16]}-shapes")
    job = ArtefactJob(model, "shapes", str(artefacts(kitchen)))
    run_folder.write_json(folder / "artefact.json", codec.encode(job), durable=False)
    (answer,) = yield [
        Ask(
            LaunchKind.ARTEFACT, "artefact", folder / "artefact.json", folder / "launch", kitchen.own,
            ("numpy", "onnx"),
        )
    ]  # fmt: skip
    made = fold.artefact(answer.events)
    if made is None or not isinstance(answer.launch.outcome, Passed):
        return
    for p in mine:
        shaped = replace(p.cell.model, path=made.path, folder=str(Path(made.path).parent))
        p.cell = replace(p.cell, model=shaped)
        p.outcome = Passed()
        p.launches.clear()  # of the model as it was; its folder stays
    answers = yield [check(kitchen, p, "check_shaped") for p in mine]
    for p, answer in zip(mine, answers, strict=True):
        p.add(answer)


def asks(outcome: Outcome) -> bool:
    """Whether an engine ended with ONNX Runtime's request to run shape inference first."""
    return isinstance(outcome, Raised) and "run shape inference" in outcome.message
