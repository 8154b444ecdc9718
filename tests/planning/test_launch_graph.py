"""What a model's cells need and in which order, driven by answers that workers could have given."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from perf import backends
from perf.planning import launch_graph
from perf.planning.launch import (
    CellState,
    LaunchGraph,
    LaunchRequest,
    LaunchResult,
    RunContext,
    expectation_of,
)
from perf.planning.targets import Planned
from perf.request.options import parse
from perf.results.run_folder import RunFolder
from perf.schema.cell import Environment, ModelFile, Precision, Target, TensorFile, TestSet
from perf.schema.fold import fold_launch
from perf.schema.journal import (
    Began,
    CellUnsupported,
    Event,
    ExceptionRaised,
    Finished,
    OutputsSaved,
    Prepared,
    Stage,
)
from perf.schema.record import (
    ArtefactFailed,
    Ending,
    EnvironmentFailed,
    LaunchKind,
    Outcome,
    Passed,
    Raised,
    Skipped,
)
from tests.results import hand_made

CPU = backends.backend_serving("CPUExecutionProvider", backends.discover_backends())
HERE = Environment("current", "/p", {}, {"onnxruntime": "1"})
X, Y = TensorFile("x", "/x.npy", 1, (1,)), TensorFile("y", "/y.npy", 1, (1,))
STORED = TestSet("set_0", (X,), (Y,))
ALONE = TestSet("set_0", (X,), unreferenced=("y",))
MADE = replace(
    STORED, outputs=(replace(Y, made_by="CPUExecutionProvider unoptimised"),), unreferenced=()
)
WELL = Ending(0, None)


def context(folder: Path, *words: str, reference: bool = True) -> RunContext:
    own = Environment("wrapper", "/w")
    return RunContext(
        RunFolder(folder, "one"), parse(words), own, (CPU, HERE) if reference else None
    )


def cells(*labels: str, skip: str = "", model: ModelFile | None = None) -> list[CellState]:
    base = hand_made.two_models()[0].cell
    out = []
    for label in labels:
        precision = Precision.FP16 if label.endswith("fp16") else Precision.FP32
        target = Target(label, precision, "current", label)
        cell = replace(base, id=f"m::{label}", target=target, model=model or base.model)
        out.append(CellState(Planned(cell, None, skip), cell, CPU))  # type: ignore[arg-type]
    return out


def told(
    ask: LaunchRequest, *events: Event, ending: Ending = WELL, failed: str = ""
) -> LaunchResult:
    whole = (Began(Stage.LOAD, 1.0), *events, Finished(2.0))
    made = fold_launch(ask.name, ask.kind, whole, ending, expectation_of(ask.cell) if ask.cell else
                  expectation_of(hand_made.two_models()[0].cell))  # fmt: skip
    return LaunchResult(ask, whole, ending, made, failed)


def begin(asking: LaunchGraph) -> Sequence[LaunchRequest]:
    return next(asking)


def finish(asking: LaunchGraph, answers: Sequence[LaunchResult]) -> None:
    try:
        asking.send(answers)
    except StopIteration:
        return
    raise AssertionError("the flow asks for more")


def test_inputs_come_first_then_all_checks_at_once(tmp_path: Path) -> None:
    mine = cells("A", "B")
    asking = launch_graph.set_up_model(context(tmp_path), mine[0].cell.model, mine)
    (prepare,) = begin(asking)
    assert prepare.kind is LaunchKind.PREPARE
    assert prepare.environment.name == "wrapper"
    checks = asking.send([told(prepare, Prepared((STORED,)))])
    assert [(a.kind, a.cell.id if a.cell else "") for a in checks] == [
        (LaunchKind.CHECK, "m::A"),
        (LaunchKind.CHECK, "m::B"),
    ]
    assert all(a.cell and a.cell.sets == (STORED,) for a in checks)
    failing = ExceptionRaised(Stage.CREATE, "Fail", "no kernel")
    finish(asking, [told(checks[0]), told(checks[1], failing, ending=Ending(1, None))])
    assert [p.outcome for p in mine] == [Passed(), Raised(Stage.CREATE, "Fail", "no kernel")]


def test_missing_outputs_are_made_by_the_unoptimised_cpu_ep_before_any_check(
    tmp_path: Path,
) -> None:
    mine = cells("A", "B")
    asking = launch_graph.set_up_model(context(tmp_path), mine[0].cell.model, mine)
    (prepare,) = begin(asking)
    (reference,) = asking.send([told(prepare, Prepared((ALONE,)))])
    assert reference.kind is LaunchKind.REFERENCE
    assert reference.cell is not None
    assert reference.cell.graph_optimization == "disable"
    assert (reference.cell.target.name, reference.environment) == ("CPUExecutionProvider", HERE)
    assert reference.cell.options == {}
    checks = asking.send([told(reference, OutputsSaved((STORED,)))])
    assert all(a.cell and a.cell.sets == (MADE,) for a in checks)
    finish(asking, [told(a) for a in checks])


def test_a_set_with_some_outputs_keeps_them_and_gets_the_others_sequences_too(
    tmp_path: Path,
) -> None:
    mine = cells("A")
    asking = launch_graph.set_up_model(context(tmp_path), mine[0].cell.model, mine)
    (prepare,) = begin(asking)
    partly = replace(STORED, unreferenced=("z",))
    (reference,) = asking.send([told(prepare, Prepared((partly,)))])
    run = tuple(TensorFile(name, f"/{name}.npy", 1, (1,)) for name in ("z[0]", "y", "z[1]"))
    (check,) = asking.send([told(reference, OutputsSaved((TestSet("set_0", (X,), run),)))])
    assert check.cell
    (held,) = check.cell.sets
    assert [(t.name, t.path, bool(t.made_by)) for t in held.outputs] == [
        ("y", "/y.npy", False), ("z[0]", "/z[0].npy", True), ("z[1]", "/z[1].npy", True),
    ]  # fmt: skip
    assert held.unreferenced == ()


def test_where_no_reference_can_be_made_stored_outputs_are_compared(tmp_path: Path) -> None:
    mine = cells("A")
    asking = launch_graph.set_up_model(context(tmp_path), mine[0].cell.model, mine)
    (prepare,) = begin(asking)
    partly = replace(STORED, unreferenced=("z",))
    (reference,) = asking.send([told(prepare, Prepared((partly,)))])
    bad = ExceptionRaised(Stage.CREATE, "Fail", "no kernel")
    (check,) = asking.send([told(reference, bad, ending=Ending(1, None))])
    assert check.cell
    assert check.cell.sets == (partly,)


def test_a_reference_that_fails_fails_all_cells_and_none_is_checked(tmp_path: Path) -> None:
    mine = cells("A", "B")
    asking = launch_graph.set_up_model(context(tmp_path), mine[0].cell.model, mine)
    (prepare,) = begin(asking)
    (reference,) = asking.send([told(prepare, Prepared((ALONE,)))])
    bad = ExceptionRaised(Stage.CREATE, "Fail", "opset 9999")
    assert list(asking.send([told(reference, bad, ending=Ending(1, None))])) == []
    finish(asking, [])
    for p in mine:
        assert isinstance(p.outcome, ArtefactFailed)
        assert "reference outputs on the CPU EP: " in p.outcome.what
        assert "opset 9999" in p.outcome.what


def test_without_a_check_no_reference_is_made(tmp_path: Path) -> None:
    mine = cells("A")
    asking = launch_graph.set_up_model(context(tmp_path, "--no_check"), mine[0].cell.model, mine)
    (prepare,) = begin(asking)
    (check,) = asking.send([told(prepare, Prepared((ALONE,)))])
    assert check.kind is LaunchKind.CHECK


def outcomes_of_inputs(tmp_path: Path, answer: Event | None, ending: Ending) -> Outcome:
    mine = cells("A")
    asking = launch_graph.set_up_model(context(tmp_path), mine[0].cell.model, mine)
    (prepare,) = begin(asking)
    events = (answer,) if answer else ()
    assert list(asking.send([told(prepare, *events, ending=ending)])) == []
    finish(asking, [])
    return mine[0].outcome


def test_inputs_that_cannot_be_made_end_the_models_cells(tmp_path: Path) -> None:
    assert outcomes_of_inputs(tmp_path, CellUnsupported("a nested sequence"), WELL) == Skipped(
        "a nested sequence"
    )
    crash = outcomes_of_inputs(tmp_path, None, Ending(None, 11))
    assert isinstance(crash, ArtefactFailed)
    assert "SIGSEGV" in crash.what
    raised = outcomes_of_inputs(
        tmp_path, ExceptionRaised(Stage.PREPARE, "BadModel", "m.onnx: truncated"), Ending(1, None)
    )
    assert isinstance(raised, ArtefactFailed)
    assert "m.onnx: truncated" in raised.what


def test_what_cannot_run_here_asks_nothing(tmp_path: Path) -> None:
    mine = cells("A", "B", skip="no device")
    asking = launch_graph.set_up_model(context(tmp_path), mine[0].cell.model, mine)
    assert list(begin(asking)) == []
    finish(asking, [])
    assert {p.outcome for p in mine} == {Skipped("no device")}
    assert not tmp_path.joinpath("one").exists()


def test_an_environment_that_cannot_start_fails_its_cell_alone(tmp_path: Path) -> None:
    mine = cells("A", "B")
    asking = launch_graph.set_up_model(context(tmp_path), mine[0].cell.model, mine)
    (prepare,) = begin(asking)
    checks = asking.send([told(prepare, Prepared((STORED,)))])
    finish(asking, [told(checks[0], failed="no libfoo.so"), told(checks[1])])
    assert [p.outcome for p in mine] == [EnvironmentFailed("no libfoo.so"), Passed()]
    assert mine[0].launches == []


def test_half_precision_data_are_prepared_apart_and_referenced_on_their_own_model(
    tmp_path: Path,
) -> None:
    base = hand_made.two_models()[0].cell.model
    model = replace(
        base, path_fp16="/half.onnx", sha256_fp16="f" * 64, test_data="/d", test_data_fp16="/h"
    )
    mine = cells("A", "A_fp16", model=model)
    asking = launch_graph.set_up_model(context(tmp_path), model, mine)
    (full,) = begin(asking)
    (reference,) = asking.send([told(full, Prepared((ALONE,)))])
    (half,) = asking.send([told(reference, OutputsSaved((STORED,)))])
    assert half.kind is LaunchKind.PREPARE
    assert half.folder != full.folder
    (again,) = asking.send([told(half, Prepared((ALONE,)))])
    assert again.folder != reference.folder
    assert (reference.cell and reference.cell.model.path) == base.path
    assert (again.cell and again.cell.model.path) == "/half.onnx"
    checks = asking.send([told(again, OutputsSaved((STORED,)))])
    assert [a.cell.target.label for a in checks if a.cell] == ["A", "A_fp16"]
