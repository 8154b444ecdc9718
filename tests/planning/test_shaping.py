"""Cells whose engine asks for shapes are checked once more on a model that has them; others are not."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from perf.planning import launch_graph
from perf.planning.launch import CellState, LaunchGraph, LaunchRequest
from perf.schema import codec, fold, journal
from perf.schema.cell import ModelFile
from perf.schema.jobs import ArtefactJob
from perf.schema.journal import Artefact, Created, ExceptionRaised, Prepared, Stage
from perf.schema.record import Ending, LaunchKind, Passed, Raised
from perf.worker import stages
from tests import models
from tests.planning.test_launch_graph import STORED, begin, cells, context, finish, told

# As ONNX Runtime's TensorRT provider says it.
SHAPELESS = ExceptionRaised(
    Stage.CREATE,
    "Fail",
    "TensorRT input: Resize__27:0 has no shape specified. Please run shape inference on the onnx "
    "model first. Details can be found in https://onnxruntime.ai/docs",
)
ENDED = Ending(1, None)


def checked(
    folder: Path, mine: list[CellState], *failing: ExceptionRaised
) -> tuple[LaunchGraph, Sequence[LaunchRequest]]:
    asking = launch_graph.set_up_model(context(folder), mine[0].cell.model, mine)
    (prepare,) = begin(asking)
    checks = asking.send([told(prepare, Prepared((STORED,)))])
    failed = [told(a, f, ending=ENDED) for a, f in zip(checks, failing, strict=False)]
    return asking, asking.send([*failed, *(told(a) for a in checks[len(failed) :])])


def test_the_cell_that_asked_is_checked_again_on_the_copy(tmp_path: Path) -> None:
    mine = cells("A", "B")
    asking, (artefact,) = checked(tmp_path, mine, SHAPELESS)
    assert artefact.kind is LaunchKind.ARTEFACT
    job = artefact.described
    assert isinstance(job, ArtefactJob)
    assert (job.precision, job.model) == ("shapes", mine[0].cell.model)
    (again,) = asking.send([told(artefact, Artefact("/cache/key/model.shapes.onnx", {}))])
    assert (again.kind, again.name) == (LaunchKind.CHECK, "check_shaped")
    assert again.cell is not None
    assert again.cell.model.path == "/cache/key/model.shapes.onnx"
    assert again.cell.digest == mine[0].cell.digest
    finish(asking, [told(again, Created(0.1, False))])
    assert [p.outcome for p in mine] == [Passed(), Passed()]
    assert [[x.name for x in p.launches] for p in mine] == [["check_shaped"], ["check"]]
    assert mine[1].cell.model.path != mine[0].cell.model.path


def test_what_fails_again_keeps_its_last_word(tmp_path: Path) -> None:
    mine = cells("A")
    asking, (artefact,) = checked(tmp_path, mine, SHAPELESS)
    (again,) = asking.send([told(artefact, Artefact("/shaped.onnx", {}))])
    finish(asking, [told(again, ExceptionRaised(Stage.CREATE, "Fail", "no plugin"), ending=ENDED)])
    assert mine[0].outcome == Raised(Stage.CREATE, "Fail", "no plugin")


def test_without_shapes_the_engines_own_words_stand(tmp_path: Path) -> None:
    mine = cells("A")
    asking, (artefact,) = checked(tmp_path, mine, SHAPELESS)
    failed = ExceptionRaised(Stage.CONVERT, "UserError", "needs sympy")
    finish(asking, [told(artefact, failed, ending=ENDED)])
    assert mine[0].outcome == Raised(Stage.CREATE, "Fail", SHAPELESS.message)
    assert [x.name for x in mine[0].launches] == ["check"]


def test_other_failures_and_models_of_ones_own_are_left_as_they_are(tmp_path: Path) -> None:
    own = cells("A")
    own[0].cell = replace(own[0].cell, model=replace(own[0].cell.model, path_fp16="/own.onnx"))
    for mine, failure in (
        (cells("A"), ExceptionRaised(Stage.CREATE, "Fail", "no kernel")),
        (own, SHAPELESS),
    ):
        asking = launch_graph.set_up_model(context(tmp_path), mine[0].cell.model, mine)
        (prepare,) = begin(asking)
        (check,) = asking.send([told(prepare, Prepared((STORED,)))])
        finish(asking, [told(check, failure, ending=ENDED)])
        assert mine[0].outcome == Raised(Stage.CREATE, "Fail", failure.message)


def test_the_worker_makes_the_copy_in_the_cache(tmp_path: Path) -> None:
    models.linear(tmp_path / "m")
    path = next((tmp_path / "m").glob("*.onnx"))
    before = sorted(p.name for p in (tmp_path / "m").iterdir())
    model = ModelFile("linear", str(path), "0" * 64, str(path.parent))
    job = ArtefactJob(model, "shapes", str(tmp_path / "cache"))
    (tmp_path / "job.json").write_text(json.dumps(codec.encode(job)))
    told_in = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert stages.run_launch("artefact", tmp_path / "job.json", tmp_path / name) == 0
        made = fold.find_artifact(
            journal.parse_journal((tmp_path / name / "journal.jsonl").read_bytes())
        )
        assert made is not None
        told_in.append(Path(made.path))
    assert told_in[0] == told_in[1]
    assert told_in[0].parent.parent == tmp_path / "cache"
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == before
