"""Bad requests and bad models: one clear line each, nothing half-written, other cells unharmed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from perf.core.record import ArtefactFailed, Outcome, Passed, Raised
from tests import models
from tests.asking import CURRENT, QUICK, ROOT, Said, ask, one_line


def refused(home: Path, *words: str, says: str, status: int = 2) -> None:
    said = ask(home, *words)
    assert said.status == status, said
    assert says in one_line(said)
    assert said.out == ""
    assert not (home / "result").exists()


# Requests


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-m", "none.json"], "none.json: no such model list, folder or .onnx file; `python -m"),
        (["-m", "none.onnx"], "none.onnx: no such model list, folder or .onnx file"),
        (["-r", "fast"], "--running_mode fast: use one of validate, benchmark, both"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["-e", "CUDAExecutionProvidr"], "unknown EP 'CUDAExecutionProvidr'; nearest are CUDAExecution"),
        (["-e", "cpu@elsewhere"], "cpu@elsewhere: no environment 'elsewhere' serves it; these do: current"),
        (["-e", "CUDAExecutionProvider_fp16", "--no_fp16"], "is an fp16 target and --no_fp16 was given"),
        (["--models", "vgg*"], "--models 'vgg*' matches none of: linear, relu"),
        (["-k", "vgg"], "nothing to run: no cell of 2 models and 1 targets matches"),
        (["-k", "(relu"], "-k '(relu': a ')' is missing"),
        (["--run_id", "../up"], "--run_id '../up': use letters"),
        (["--resume"], "no run there (no run.json); -o names the folder of results"),
        (["--resume", "never"], "no run there (no run.json)"),
        (["--rerun", "failed"], "no run there (no run.json)"),
        (["--exec_prefix", "nice"], "--exec_prefix needs --isolation spawn"),
        (["--devices", "3"], "--devices 3: "),
        (["--cpu_affinity", "999"], "--cpu_affinity 999: this machine's cores are"),
        (["--ep_options", "cdua:a=1"], "--ep_options cdua: no target of this run is meant"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_one_line_and_status_2(
    shared_home: Path, words: list[str], says: str
) -> None:
    refused(shared_home, *words, says=says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "list.json:1: not JSON: Expecting value"),
        ('[\n{"model_name": }]', "list.json:2: not JSON"),
        ("{}", "list.json: expected a JSON list of models, got dict"),
        ("[]", "list.json: no model in it"),
        ("[1]", "list.json[0]: expected an object, got 1"),
        (
            '[{"model_name": "a"}]',
            "list.json[0] (a): 'working_directory' is missing or not a string",
        ),
        (
            '[{"model_name":"a","working_directory":".","model_path":"a.onnx","test_data_path":"."}]',
            "list.json[0] (a): no file ",
        ),
        (
            '[{"root_working_directory": 3}]',
            "list.json[0]: 'root_working_directory' is not a string",
        ),
    ],
)
def test_a_malformed_model_list_names_the_place(home: Path, text: str, says: str) -> None:
    (home / "list.json").write_text(text, encoding="utf-8")
    refused(home, "-m", "list.json", says=says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"modle_path": "x"}, "unknown key 'modle_path'; known are"),
        ({"sha256": "0" * 64}, "the list says " + "0" * 64),
        ({"tolerances": {"fp32": {"rtol": 1}}}, '.tolerances.fp32: expected {"rtol": 1e-3'),
        ({"tolerances": [1]}, ".tolerances: expected an object"),
        ({"tolerances": {"fp31": {"rtol": 1, "atol": 1}}}, ".tolerances: 'fp31' is none of fp32"),
        ({"comparison": "roughly"}, "comparison 'roughly' is none of elementwise, unordered"),
        ({"inputs": {"x": {"range": [0]}}}, '.inputs.x: expected {"shape": [1, 3]'),
        ({"inputs": {"x": {"rnge": [0, 1]}}}, ".inputs.x: unknown key 'rnge'"),
        ({"model_path_fp16": "none.onnx"}, "no file "),
        ({"model_path_fp16": 3}, ".model_path_fp16: expected a string, got 3"),
        ({"model_name": "../relu"}, None),
    ],
)
def test_a_wrong_entry_names_the_model_and_the_key(
    home: Path, change: dict[str, object], says: str | None
) -> None:
    entry = {"model_name": "relu", "working_directory": "models/relu", "model_path": "model.onnx",
             "test_data_path": "."}  # fmt: skip
    (home / "list.json").write_text(json.dumps([{**entry, **change}]), encoding="utf-8")
    if says is not None:
        refused(home, "-m", "list.json", says=says)
        return
    said = ask(home, "-m", "list.json", *QUICK, "-r", "validate")  # an odd name is no bad input
    assert said.status == 0
    assert said.run.root.resolve().parent == (home / "result").resolve()
    (record,) = said.records.values()
    assert record.outcome == Passed()


def test_two_models_of_one_name_are_refused(home: Path) -> None:
    entry = {"model_name": "relu", "working_directory": "models/relu", "model_path": "model.onnx",
             "test_data_path": "."}  # fmt: skip
    (home / "list.json").write_text(json.dumps([entry, entry]), encoding="utf-8")
    refused(home, "-m", "list.json", says="two models are named 'relu'; names must differ")


def test_a_folder_without_models_says_what_was_expected(home: Path) -> None:
    (home / "empty").mkdir()
    refused(home, "-m", "empty", says="empty: no model below it (expected NAME/model.onnx with")


def test_a_wrong_environments_file_is_one_line(home: Path) -> None:
    (home / "environments.toml").write_text('[a]\nrequirements = ["numpy"]\n', encoding="utf-8")
    refused(home, says="[a]: 'numpy' is not pinned; write name==version")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file or directory"),
        ("x = = 1", "invalid syntax (mine.py, line 1)"),
        ("x = 1", "no BACKEND = Backend(…) at its end"),
        ("1 / 0", "division by zero"),
    ],
)
def test_a_backend_kept_elsewhere_that_is_none_is_one_line(
    home: Path, text: str | None, says: str
) -> None:
    if text is not None:
        (home / "mine.py").write_text(text, encoding="utf-8")
    (home / "environments.toml").write_text(
        '[mine]\npython = "current"\nbackend = "mine.py"\n', encoding="utf-8"
    )
    refused(home, says=f"[mine]: backend {home}/mine.py: {says}")


# Interpreters


def test_an_interpreter_that_is_not_there_fails_its_cells_and_no_others(home: Path) -> None:
    words = ("--env", "gone=/no/such/python", "-e", "cpu", "cpu@gone", "--models", "relu")
    said = ask(home, *QUICK, "-r", "both", *words)
    assert said.status == 1  # a target that was named could not run
    assert {i: c["status"] for i, c in said.cells.items()} == {
        "relu::CPUExecutionProvider": "Pass",
        "relu::CPUExecutionProvider@gone": "Skipped",
    }
    detail = said.cells["relu::CPUExecutionProvider@gone"]["detail"]
    assert "no interpreter /no/such/python (No such file or directory)" in detail
    assert "correct environments.toml or --env" in detail


def test_a_run_whose_only_environment_is_not_there_cannot_be_completed(home: Path) -> None:
    (home / "environments.toml").write_text('[a]\npython = "/no/python"\n', encoding="utf-8")
    refused(home, says="environment a: no interpreter /no/python", status=3)


def test_an_interpreter_without_its_packages_gets_the_command_that_fixes_it(home: Path) -> None:
    bare = home / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    (home / "environments.toml").write_text('[a]\npython = "bare/bin/python"\n', encoding="utf-8")
    refused(home, says=f"`{bare}/bin/python -m pip install numpy onnxruntime` fixes it", status=3)


def test_an_interpreter_of_the_wrapper_without_onnx_gets_the_command_that_fixes_it(
    home: Path,
) -> None:
    without = str(ROOT / ".envs" / "openvino" / "bin" / "python")  # an engine and numpy, no onnx
    (home / "environments.toml").write_text(CURRENT, encoding="utf-8")
    said = ask(home, *QUICK, "-e", "ov", python=without)
    assert (said.status, said.out) == (3, "")
    assert one_line(said).endswith(f"`{without} -m pip install onnx` fixes it")
    assert not said.results.exists()
    assert ask(home, "--list", python=without).status == 0


# Models and their data


def truncated(folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:40])


def empty(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"")


def not_onnx(folder: Path) -> None:
    (folder / "model.onnx").write_text("<html>404 Not Found</html>", encoding="utf-8")


def newer_opset(folder: Path) -> None:
    changed(folder, lambda model: model.opset_import[0].__setattr__("version", 9999))


def external(folder: Path, location: str) -> None:
    path = folder / "model.onnx"
    model = onnx.load(str(path))
    tensor = numpy_helper.from_array(models.noise(1, (4,)), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    model.graph.initializer.append(tensor)
    path.write_bytes(model.SerializeToString())


def missing_external(folder: Path) -> None:
    external(folder, "weights.bin")


def short_external(folder: Path) -> None:
    external(folder, "weights.bin")
    (folder / "weights.bin").write_bytes(b"1234")


def outside_external(folder: Path) -> None:
    (folder.parent.parent / "secret.bin").write_bytes(b"0" * 16)
    external(folder, "../../secret.bin")


def linked_external(folder: Path) -> None:
    (folder.parent.parent / "secret.bin").write_bytes(b"0" * 16)
    external(folder, "weights.bin")
    (folder / "weights.bin").symlink_to("../../secret.bin")


def wrong_shape(folder: Path) -> None:
    stored(folder, models.noise(1, (3, 3)))


def wrong_type(folder: Path) -> None:
    stored(folder, models.noise(1, (2, 8)).astype("float64"))


def wrong_output(folder: Path) -> None:
    tensor = numpy_helper.from_array(models.noise(1, (1, 8)), "y")
    (folder / "test_data_set_0" / "output_0.pb").write_bytes(tensor.SerializeToString())


def torn_data(folder: Path) -> None:
    path = folder / "test_data_set_1" / "input_0.pb"
    path.write_bytes(path.read_bytes()[:-9])


def no_input(folder: Path) -> None:
    (folder / "test_data_set_0" / "input_0.pb").unlink()


def too_many_inputs(folder: Path) -> None:
    tensor = numpy_helper.from_array(models.noise(1, (2, 8)), "other")
    (folder / "test_data_set_0" / "input_1.pb").write_bytes(tensor.SerializeToString())


def stored(folder: Path, array: object) -> None:
    tensor = numpy_helper.from_array(array, "x")
    (folder / "test_data_set_0" / "input_0.pb").write_bytes(tensor.SerializeToString())


def changed(folder: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    path = folder / "model.onnx"
    model = onnx.load(str(path))
    change(model)
    path.write_bytes(model.SerializeToString())


def unknown_op(folder: Path) -> None:
    changed(folder, lambda model: model.graph.node[0].__setattr__("op_type", "Frobnicate"))


BAD: dict[Callable[[Path], None], tuple[type[Outcome], str]] = {
    truncated: (ArtefactFailed, "model.onnx: truncated, or not an ONNX model"),
    empty: (ArtefactFailed, "model.onnx: truncated, or not an ONNX model"),
    not_onnx: (ArtefactFailed, "model.onnx: truncated, or not an ONNX model"),
    newer_opset: (Raised, "9999"),
    unknown_op: (Raised, "Frobnicate"),
    missing_external: (ArtefactFailed, "external data 'weights.bin' is missing; copy it beside"),
    short_external: (ArtefactFailed, "external data 'weights.bin' has 4 bytes, 'w' needs 16"),
    outside_external: (
        ArtefactFailed,
        "external data '../../secret.bin' lies outside the model's",
    ),
    linked_external: (ArtefactFailed, "external data 'weights.bin' lies outside the model's"),
    wrong_shape: (ArtefactFailed, "'x' is [2,8] in the model, [3,3] in the test data"),
    wrong_type: (ArtefactFailed, "'x' is float32 in the model, float64 in the test data"),
    wrong_output: (ArtefactFailed, "'y' is [2,8] in the model, [1,8] in the test data"),
    torn_data: (ArtefactFailed, "test_data_set_1/input_0.pb: "),
    no_input: (ArtefactFailed, "test_data_set_0: no data for input 'x' (0 of 1 given)"),
    too_many_inputs: (ArtefactFailed, "input_1.pb: the model has only 1 inputs"),
}


@pytest.fixture(scope="module")
def beside_bad_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Said, Path]]:
    """One run over a model of every bad kind and two good ones."""
    home = tmp_path_factory.mktemp("bad") / "home"
    home.mkdir()
    (home / "environments.toml").write_text(CURRENT, encoding="utf-8")
    for spoil in BAD:
        spoil(models.relu(home / "models" / spoil.__name__))
    models.relu(home / "models" / "a_good_one")
    models.linear(home / "models" / "the_last_one")
    before = snapshot(home / "models")
    yield ask(home, *QUICK, "-r", "both"), home
    assert snapshot(home / "models") == before


@pytest.mark.parametrize("spoil", BAD, ids=lambda f: f.__name__)
def test_a_bad_model_is_an_outcome_of_its_own_cell(
    beside_bad_models: tuple[Said, Path], spoil: Callable[[Path], None]
) -> None:
    said, _ = beside_bad_models
    record = said.records[f"{spoil.__name__}::CPUExecutionProvider"]
    kind, says = BAD[spoil]
    assert isinstance(record.outcome, kind), record.outcome
    text = said.cells[record.cell.id]["detail"]
    assert says in text
    assert "\n" not in text


def test_good_models_beside_bad_ones_are_measured(beside_bad_models: tuple[Said, Path]) -> None:
    said, _ = beside_bad_models
    assert said.status == 0
    for name in ("a_good_one", "the_last_one"):
        record = said.records[f"{name}::CPUExecutionProvider"]
        assert record.outcome == Passed()
        assert len(record.launches) == 3
    assert said.out.strip().endswith("would make the exit status 1.")


def test_nothing_is_ever_written_into_a_models_folder(
    beside_bad_models: tuple[Said, Path],
) -> None:
    _, home = beside_bad_models
    left = {
        p.relative_to(home / "models").parts[-1]
        for p in (home / "models").rglob("*")
        if p.is_file()
    }
    assert {p for p in left if not p.endswith((".onnx", ".pb", ".bin"))} == set()


# Result folders


def test_a_result_folder_that_is_a_file_is_refused(home: Path) -> None:
    (home / "result").write_text("mine")
    said = ask(home, *QUICK)
    assert said.status == 2
    assert "result: not a folder; choose another with -o" in one_line(said)
    assert (home / "result").read_text() == "mine"


def test_a_read_only_result_folder_is_refused(home: Path) -> None:
    (home / "result").mkdir(mode=0o555)
    said = read_only(home)
    assert said.status == 2
    assert "choose a writable folder with -o" in one_line(said)
    assert list((home / "result").iterdir()) == []


def read_only(home: Path) -> Said:
    """Run where the folder cannot be written: by mode, or for root without the right to override it."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    argv = [*drop, sys.executable, "benchmark_wrapper.py", "-m", str(home / "models"), "-o",
            str(home / "result"), *QUICK]  # fmt: skip
    done = subprocess.run(
        argv, cwd=models_root(), capture_output=True, text=True, timeout=60, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr, home / "result")


def models_root() -> Path:
    return Path(__file__).parents[2]


LIMIT = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from perf.wrapper.cli import main
raise SystemExit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("room", [600, 1300, 2560, 5140])
def test_a_full_disk_ends_the_run_with_status_3_and_a_way_to_go_on(home: Path, room: int) -> None:
    """Every file may hold `room` bytes: what the wrapper writes fails early, later and last."""
    argv = [
        sys.executable,
        "-c",
        LIMIT,
        str(room),
        "-m",
        "models",
        "-o",
        "result",
        *QUICK,
        "-r",
        "both",
    ]
    done = subprocess.run(
        argv, cwd=home, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(models_root())},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    line = one_line(Said(done.returncode, done.stdout, done.stderr, home))
    assert "File too large" in line
    assert "make room" in line
    assert ("--resume" in line) == bool(list((home / "result").glob("*/run.json")))
    for path in (home / "result").rglob("*.json"):
        if not path.name.startswith("profile"):  # the engine's own
            json.loads(path.read_text(encoding="utf-8"))  # whole, or not there
    assert not list((home / "result").glob("benchmark_*.csv"))


def test_after_a_full_disk_the_run_is_finished_by_resume(home: Path) -> None:
    argv = [
        sys.executable,
        "-c",
        LIMIT,
        "2000",
        "-m",
        "models",
        "-o",
        "result",
        *QUICK,
        "-r",
        "both",
    ]
    done = subprocess.run(
        argv, cwd=home, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(models_root())},
    )  # fmt: skip
    assert done.returncode == 3
    said = ask(home, "--resume")
    assert said.status == 0, said.err
    assert {r.outcome for r in said.records.values()} == {Passed()}
    assert len(said.records) == 2


def test_a_run_id_that_is_being_written_is_refused_and_the_other_run_unharmed(home: Path) -> None:
    first = ask(home, *QUICK, "--run_id", "one")
    assert first.status == 0
    before = snapshot(home / "result")
    again = ask(home, *QUICK, "--run_id", "one")
    assert again.status == 2
    assert "choose another --run_id, or --resume one" in one_line(again)
    assert snapshot(home / "result") == before
    other = ask(home, *QUICK, "--run_id", "two")
    assert other.status == 0


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_the_models_of_a_read_only_folder_can_be_run(home: Path) -> None:
    for path in [*(home / "models").rglob("*"), home / "models"]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    said = ask(home, *QUICK)
    for path in [home / "models", *(home / "models").rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert said.status == 0
    shutil.rmtree(home / "models")


def test_helper_made_a_model_of_a_newer_opset() -> None:
    assert helper.make_opsetid("", 9999).version > onnx.defs.onnx_opset_version()
