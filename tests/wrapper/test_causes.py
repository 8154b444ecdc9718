"""A run says of wrong outputs whose fault they are, and lets no fault by where its reference is shaky."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from perf.schema.cause import cause_of
from perf.schema.record import Mismatched, Passed, Record
from tests import models
from tests.asking import ROOT, Said, ask

FAULTY = ROOT / "tests" / "fakes" / "faulty_cpu.py"
ENVIRONMENTS = f"""
drop = ["*"]
[current]
python = "current"

[faulty]
python = "current"
backend = "{FAULTY}"
targets = ["FaultyExecutionProvider"]
"""
FAULTS = {
    "zeroed": "fault=zeroed", "up": "fault=scaled_1.05", "down": "fault=scaled_0.95", "swapped": "fault=swapped",
    "shifted": "fault=shifted_1", "more": "fault=scaled_1.5", "less": "fault=scaled_0.5",
    "fed": "fault=fed", "timed": "fault=fed,timed=1", "optimised": "fault=shifted_1,right_at=basic",
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "environments.toml").write_text(ENVIRONMENTS, encoding="utf-8")
    return tmp_path


def run(
    home: Path,
    *names: str,
    input_data: str = "zoo",
    targets: str = "faulty",
    more: tuple[str, ...] = (),
) -> Said:
    """Validate the models in `home` on the faulty EP, a cell for each fault named."""
    faults = [
        w for n in names for w in ("--ep_options", f"FaultyExecutionProvider[{n}]:{FAULTS[n]}")
    ]
    return ask(home, "-i", input_data, "-r", "validate", "-e", *targets.split(), *faults, *more)


def fault(said: Said, model: str, name: str) -> Record:
    return said.records[f"{model}::FaultyExecutionProvider[{name}]"]


def cause(record: Record) -> str:
    assert isinstance(record.outcome, Mismatched)
    return record.outcome.cause


def offset(path: Path, size: float) -> Path:
    """y = (x + size) - size, without stored outputs: fp32 keeps fewer digits of x the larger the size is."""
    nodes = [
        helper.make_node("Add", ["x", "c"], ["a"]),
        helper.make_node("Sub", ["a", "c"], ["y"]),
    ]
    feeds: list[tuple[models.Tensors, models.Tensors]] = [
        ({"x": models.noise(n, (4, 8))}, {}) for n in range(2)
    ]
    parameters = {"c": np.array([size], np.float32)}
    return models.write(path, nodes, {"x": (4, 8)}, {"y": (4, 8)}, feeds, parameters=parameters)


def test_a_right_ep_passes_where_the_reference_alone_is_off_and_wrong_ones_still_fail(
    home: Path,
) -> None:
    offset(home / "models" / "shaky", 40_000)
    said = run(home, "fed", "zeroed", "up", "down")
    right = fault(said, "shaky", "fed")
    assert right.outcome == Passed()
    row = said.cells[right.cell.id]
    assert 1e-4 < row["reference_noise"] < 5e-3
    assert any("within the noise of its reference" in mark for mark in row["marks"])
    for name in ("zeroed", "up", "down"):
        wrong = fault(said, "shaky", name)
        assert cause_of(cause(wrong)) == "the EP"
        assert "fp64 makes the target the outlier" in cause(wrong)


def test_a_right_ep_is_timed_where_the_reference_alone_is_off(home: Path) -> None:
    offset(home / "models" / "shaky", 40_000)
    said = run(home, "timed", more=("-r", "both", "-t", "3", "--launches", "2"))
    right = fault(said, "shaky", "timed")
    assert right.outcome == Passed()
    assert {c.timed_run for x in right.launches for c in x.compared} == {"", "first", "last"}
    assert said.cells[right.cell.id]["p50_ms"] > 0


def test_an_ill_conditioned_model_stays_mismatched_and_says_which_side_is_off(home: Path) -> None:
    offset(home / "models" / "hopeless", 2_000_000)
    said = run(home, "fed", "up")
    text = cause(fault(said, "hopeless", "fed"))
    assert cause_of(text) == "ill-conditioned"
    assert "fp64 makes the reference the outlier" in text
    assert isinstance(fault(said, "hopeless", "up").outcome, Mismatched)


def test_each_fault_is_told_as_whose_it_is(home: Path) -> None:
    models.linear(home / "models" / "stale", error=1.0)
    models.two_outputs(home / "models" / "pair")
    said = run(home, "swapped", "optimised", "up", targets="faulty cpu", more=("--explain",))
    assert cause_of(cause(said.records["stale::CPUExecutionProvider"])) == "stored data"
    assert cause(fault(said, "pair", "swapped")).startswith(
        "pairing: it equals the reference of 'difference'"
    )
    text = cause(fault(said, "pair", "optimised"))
    assert text.startswith("optimiser: it passes at -g basic")
    text = cause(fault(said, "pair", "up"))
    assert text.startswith(
        "the EP: the unoptimised CPU EP agrees with the reference, it repeats its outputs"
    )
    assert "it fails at -g disable and basic too" in text
    assert said.cells["stale::CPUExecutionProvider"]["cause"] == "stored data"
    assert "stored data: the unoptimised CPU EP disagrees with it too" in said.out


def test_outputs_stored_under_other_names_in_another_order_are_told(home: Path) -> None:
    folder = models.two_outputs(home / "models" / "renamed")
    for data_set in folder.glob("test_data_set_*"):
        total, difference = (onnx.load_tensor(str(data_set / f"output_{n}.pb")) for n in (0, 1))
        for number, (name, tensor) in enumerate((("b", difference), ("a", total))):
            tensor.name = f"{name}_renamed"
            (data_set / f"output_{number}.pb").write_bytes(tensor.SerializeToString())
    (record,) = run(home, targets="cpu").records.values()
    assert cause(record).startswith("pairing: it was taken by position")
    own = home / "test_data_set_0.npz"  # named as a stored one, whose names are not its own
    x = {name: models.noise(0, (3, 5)) for name in ("a", "b")}
    np.savez(own, **x, total=x["a"], difference=x["a"] - x["b"])  # type: ignore[arg-type]
    (record,) = run(home, targets="cpu", more=("--inputs", own.name)).records.values()
    assert cause(record).startswith("stored data")


def test_subnormals_are_told_where_flushing_them_makes_the_fault(home: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["a"]),
        helper.make_node("Div", ["a", "c"], ["y"]),
    ]
    x = {"x": models.noise(0, (1, 3))}
    models.write(home / "models" / "tiny", nodes, {"x": (1, 3)}, {"y": (1, 3)}, [(x, {"y": x["x"]})],
                 parameters={"c": np.array([1e-39], np.float32)})  # fmt: skip
    said = run(
        home,
        targets="cpu",
        more=("--session_config", "session.set_denormal_as_zero=1", "--rtol", "0.1"),
    )
    (record,) = said.records.values()
    assert cause_of(cause(record)) == "subnormals"


def test_diagnose_says_whose_fault_a_cell_of_the_latest_run_is(home: Path) -> None:
    models.two_outputs(home / "models" / "pair")
    said = run(home, "optimised")
    words = [
        sys.executable,
        "-m",
        "ep_perf",
        "diagnose",
        "pair::FaultyExecutionProvider[optimised]",
    ]
    bare = {
        "PYTHONPATH": str(ROOT), "PATH": "", "EP_PERF_LEASES": os.environ["EP_PERF_LEASES"],
    }  # fmt: skip
    done = subprocess.run(words, cwd=home, capture_output=True, text=True, check=False, timeout=120,
                          env=bare)  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1].startswith("optimiser: it passes at -g basic")
    assert {p.resolve().parent for p in said.results.glob("*/run.json")} == {
        said.run.root
    }  # none was added
    done = subprocess.run([*words[:-1], "pare::X"], cwd=home, capture_output=True, text=True, check=False,
                          timeout=120, env=bare)  # fmt: skip
    assert done.returncode == 2
    assert "has no cell 'pare::X'; nearest is pair::" in done.stderr


def random_model(path: Path, seed: Mapping[str, float], *, stored: bool) -> Path:
    """y = x · W + noise, and z = x · W, which no chance touches."""
    weight = models.noise(3, (8, 16))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("RandomNormalLike", ["z"], ["e"], **seed),
        helper.make_node("Add", ["z", "e"], ["y"]),
    ]
    feeds = [models.noise(n, (1, 8)) for n in range(2)]
    return models.write(
        path,
        nodes,
        {"x": (1, 8)},
        {"y": (1, 16), "z": (1, 16)},
        [({"x": x}, {"y": x @ weight, "z": x @ weight} if stored else {}) for x in feeds],
        parameters={"w": weight},
    )


@pytest.mark.parametrize("stored", [False, True], ids=["no outputs stored", "stored"])
@pytest.mark.parametrize("seed", [{}, {"seed": 7.0}], ids=["unseeded", "seeded"])
def test_a_model_that_draws_at_random_is_compared_by_shape_and_range_and_told(
    home: Path, seed: Mapping[str, float], stored: bool
) -> None:
    random_model(home / "models" / "vae", seed, stored=stored)
    said = run(home, "swapped", "up", targets="faulty cpu")
    row = said.cells["vae::CPUExecutionProvider"]
    assert (row["status"], row["not_reproducible"]) == ("Pass", ["y"])
    (mark,) = (m for m in row["marks"] if "not reproducible" in m)
    assert mark.startswith("y not reproducible (RandomNormalLike")
    assert ("the first run of a session alone repeats" in mark) == bool(seed)
    for name in ("swapped", "up"):  # its other output is held to the digit
        assert isinstance(fault(said, "vae", name).outcome, Mismatched)


def dropout(training: bool) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        nodes = [helper.make_node("Dropout", ["x", "r", "t"], ["y"])]
        fixed = {"r": np.array(0.5, np.float32), "t": np.array(training)}
        return models.write(path, nodes, {"x": (4, 8)}, {"y": (4, 8)}, [({"x": models.noise(0, (4, 8))}, {})],
                            parameters=fixed)  # fmt: skip

    return write


def test_dropout_is_chance_in_training_mode_alone(home: Path) -> None:
    dropout(True)(home / "models" / "training")
    dropout(False)(home / "models" / "inference")
    said = run(home, targets="cpu")
    found = {r["model"]: (r["status"], r["not_reproducible"]) for r in said.cells.values()}
    assert found == {"training": ("Pass", ["y"]), "inference": ("Pass", [])}


@pytest.mark.parametrize("onnx_type", [onnx.TensorProto.INT4, onnx.TensorProto.FLOAT8E5M2])
def test_a_wrong_ep_is_blamed_where_inputs_are_of_a_type_that_numpy_lacks(
    home: Path, onnx_type: int
) -> None:
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.FLOAT)], "small",
        [helper.make_tensor_value_info("x", onnx_type, [2, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 4])],
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    ).SerializeToString()
    (home / "small.onnx").write_bytes(model)
    said = run(home, "down", input_data="random", more=("-m", "small.onnx"))
    assert cause(fault(said, "small", "down")).startswith("the EP: ")


def in_ort_format(model: Path) -> None:
    """The model of a folder in ONNX Runtime's own format, in place of its ONNX."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(model.with_suffix(".ort"))
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    ort.InferenceSession(str(model), options)
    model.unlink()


def test_a_model_in_onnxruntimes_own_format_is_studied_and_what_was_not_tried_is_said(
    home: Path,
) -> None:
    random_model(home / "models" / "vae", {}, stored=False)
    models.linear(home / "models" / "line")
    for name in ("vae", "line"):
        in_ort_format(home / "models" / name / "model.onnx")
    said = run(home, "up", targets="faulty cpu")
    row = said.cells["vae::CPUExecutionProvider"]
    assert (row["status"], row["not_reproducible"]) == ("Pass", ["y"])
    (mark,) = (m for m in row["marks"] if "not reproducible" in m)
    assert mark.startswith("y not reproducible (ops that an .ort file does not tell)")
    told = "no fp64 result (none: an .ort file holds no ONNX to compute in fp64)"
    assert told in cause(fault(said, "line", "up"))


def drawing(op: str, **attributes: float) -> Callable[[Path], Path]:
    """y, 4 x 64 values that one op draws."""

    def write(path: Path) -> Path:
        nodes = [helper.make_node(op, ["x"], ["y"], **attributes)]
        feeds: list[tuple[models.Tensors, models.Tensors]] = [
            ({"x": np.full((4, 64), 0.5, np.float32)}, {}) for _ in range(2)
        ]
        return models.write(path, nodes, {"x": (4, 64)}, {"y": (4, 64)}, feeds)

    return write


def test_what_an_ep_draws_otherwise_than_the_reference_does_not_pass(home: Path) -> None:
    drawing("Bernoulli")(home / "models" / "coin")
    drawing("RandomNormalLike", mean=1.0)(home / "models" / "normal")
    faults = ("shifted", "more")
    said = run(home, *faults, targets="faulty cpu")
    for name in ("coin", "normal"):
        row = said.cells[f"{name}::CPUExecutionProvider"]
        assert (row["status"], row["not_reproducible"]) == ("Pass", ["y"])
        for one in faults:
            record = fault(said, name, one)
            assert cause_of(cause(record)) == "chance", (name, one)


def test_a_model_that_draws_seldom_is_none_that_repeats(home: Path) -> None:
    """Two of three sets of runs are alike: the noise is added in one run of five."""
    nodes = [
        helper.make_node("RandomUniform", [], ["u"], shape=[1]),
        helper.make_node("Greater", ["u", "often"], ["seldom"]),
        helper.make_node("Cast", ["seldom"], ["c"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    feeds: list[tuple[models.Tensors, models.Tensors]] = [({"x": models.noise(0, (2, 3))}, {})]
    models.write(home / "models" / "seldom", nodes, {"x": (2, 3)}, {"y": (2, 3)}, feeds,
                 parameters={"often": np.array(0.8, np.float32)})  # fmt: skip
    said = run(home, targets="cpu")
    row = said.cells["seldom::CPUExecutionProvider"]
    assert (row["status"], row["not_reproducible"]) == ("Pass", ["y"])
