"""Wrong requests and interpreters that lack something: one clear line each, and nothing written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from perf.schema.record import ArtefactFailed, Passed
from tests.asking import CURRENT, QUICK, ROOT, ask, one_line
from tests.conftest import made_home


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
        (["-e", "CUDAExecutionProvidr"], "unknown EP 'CUDAExecutionProvidr'; nearest are CUDAExecution"),
        (["-k", "(relu"], "-k '(relu': a ')' is missing"),
        (["--run_id", "../up"], "--run_id '../up': use letters"),
        (["--resume"], "holds 0 runs (no run.json); run "),
        (["--resume", "never"], "never: no such file, folder, run id or saved name below"),
        (["--rerun", "failed"], "holds 0 runs (no run.json); run "),
        (["--cpu_affinity", "999"], "--cpu_affinity 999: this machine's cores are"),
        (["--run_id", "latest"], "--run_id latest: the folder of results means something else"),
        (["--env", "x=/nowhere/python"], "--env x=/nowhere/python: no interpreter /nowhere/python can be"),
        (["--env", "x=/etc", "--list"], "--env x=/etc: no interpreter"),
        (["--shape", "z=8x64"], "--shape z=8x64: linear: no input is called 'z'; its inputs are 'x' [batch,8]"),
        (["--shape", "x=8x64", "--models", "linear"], "linear: input 'x' is [batch,8], not 8x64"),
        (["--shape", "x=2x8", "x=8"], "--shape x=8: linear: input 'x' is [batch,8], not 8"),
        (["--ep_options", "cpu:nonsense=1"],
         "--ep_options CPUExecutionProvider: no option nonsense; it takes use_arena"),
        (["--ep_options", "cpu[v]:use_arenas=1"], "no option use_arenas; nearest is use_arena"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_one_line_and_status_2(
    shared_home: Path, words: list[str], says: str
) -> None:
    refused(shared_home, *words, says=says)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"garbage" * 99, "net.onnx: truncated, or not an ONNX model of 693 bytes"),
        (b"", "home/net.onnx: truncated, or not an ONNX model: it is empty"),
        (None, "net.onnx: truncated, or not an ONNX model"),
    ],
)
def test_a_file_given_by_name_that_is_no_model_is_refused_before_anything_runs(
    home: Path, data: bytes | None, says: str
) -> None:
    whole = (home / "models" / "linear" / "model.onnx").read_bytes()
    (home / "net.onnx").write_bytes(whole[: len(whole) // 2] if data is None else data)
    refused(home, "-m", "net.onnx", "-i", "random", says=says)
    refused(home, "-m", "models/relu/model.onnx", "net.onnx", "--dry_run", says=says)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--expected", "pipe"], "pipe: it is a pipe, not a regular file"),
        (["-m", "pipe"], "pipe: it is a pipe, not a regular file"),
        (["-m", "pipe.json"], "pipe.json: it is a pipe, not a regular file"),
        (["--custom_ops", "pipe"], "--custom_ops pipe: it is a pipe, not a regular file"),
        (["--inputs", "pipe"], "--inputs pipe: neither a folder nor an .npz file"),
        (["--env", "x=pipe.whl"], "there is no wheel pipe.whl"),
        (["--env", "x=sparse.whl"], "sparse.whl is no wheel, which is a zip archive"),
        (["--resume", "pipe"], "pipe: no such file, folder, run id or saved name below"),
        (["--against", "pipe"], "pipe"),
        (["--shard", "1/1", "--shard_costs", "pipe"], "pipe"),
    ],
)  # fmt: skip
def test_a_pipe_or_a_vast_file_that_a_flag_names_is_refused_at_once(
    home: Path, words: list[str], says: str
) -> None:
    for name in ("pipe", "pipe.json", "pipe.whl"):
        os.mkfifo(home / name)
    with (home / "sparse.whl").open("wb") as file:
        file.truncate(1 << 40)
    refused(home, *words, says=says)


def test_a_pipe_in_place_of_the_file_of_environments_is_refused_at_once(home: Path) -> None:
    (home / "environments.toml").unlink()
    os.mkfifo(home / "environments.toml")
    refused(home, says="environments.toml: it is a pipe, not a regular file")


@pytest.fixture(scope="module")
def home_with_junk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a file, an empty folder, and what only its name says."""
    home = made_home(tmp_path_factory.mktemp("junk") / "home")
    (home / "file").write_bytes(b"")
    (home / "empty").mkdir()
    for name in ("torn.npz", "text.so"):
        (home / name).write_bytes(b"garbage")
    (home / "script").write_text("#!/bin/sh\necho 2.7\n")
    (home / "script").chmod(0o755)
    return home


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--keep_cache", "file"], "--keep_cache file: "),
        (["--keep_cache", "file/below"], "/home/file is not a folder; choose another"),
        (["--export", "junit=empty"], "--export junit=empty: it is a folder; name a file in it"),
        (["--export", "json=file/x.json"], "--export json=file/x.json: "),
        (["--export", "jnuit=x"], "no format 'jnuit': nearest is junit; use html"),
        (["-w", "nowhere"], "-w nowhere: no such folder"),
        (["-w", "file"], "-w file: no such folder"),
        (["--trtexec", "nowhere"], "--trtexec nowhere: no such executable file"),
        (["--trtexec", "./file"], "--trtexec ./file: no such executable file"),
        (["--inputs", "torn.npz"], "--inputs torn.npz: not a whole .npz file; numpy.savez(torn.npz, x=x)"),
        (["--inputs", "empty"], "--inputs empty: it holds no test_data_set_N/input_M.pb and no .npz"),
        (["--inputs", "file"], "--inputs file: neither a folder nor an .npz file"),
        (["--custom_ops", "text.so"], "--custom_ops text.so: not a shared library; give the .so"),
        (["--custom_ops", "none.so"], "--custom_ops none.so: No such file"),
        (["--plugin", "x=text.so"], "--plugin x=text.so: not a shared library; give the .so"),
        (["--env", "x=/bin/true"], "--env x=/bin/true: /bin/true is no Python; workers need 3.11"),
        (["--env", "x=./script"], "is Python 2.7; workers need 3.11 or newer"),
        (["--exec_prefix", "./file", "--isolation", "spawn"], "--exec_prefix ./file: no such program"),
        (["--expected", "empty"], "empty: it is a folder, not a regular file"),
        (["--trt_ep_options", "a=b"], "--trt_ep_options: no target of this run takes any (CPUExecutionPr"),
        (["--cuda_ep_options", "a=b"], "--cuda_ep_options: no target of this run takes any"),
        (["--trt_profile", "x=1x8:2x8:4x8"], "--trt_profile: no target of this run takes any"),
        (["--builds", "3"], "--builds 3: no target of this run builds an engine"),
        (["--session_config", "session.disable_prepackin=1"],
         "--session_config session.disable_prepackin: no library of CPUExecutionProvider holds such a name; "
         "nearest is session.disable_prepacking"),
        (["--max_minutes", "5"], "--max_minutes 5: it ends a run of --ab alone"),
        (["--shard_costs", "latest"], "--shard_costs latest: it balances shards, and no --shard"),
        (["--cpu_affinity", "a"], "--cpu_affinity a: 'a' is no whole number"),
        (["--batch_sizes", "1,x"], "--batch_sizes 1,x: 'x' is no whole number"),
        (["-t", "1.5"], "--test_times 1.5: '1.5' is no whole number"),
        (["--seed", "x"], "--seed x: 'x' is no whole number"),
        (["--fail_on", "Slowr"], "no outcome or verdict 'Slowr': nearest is Slower; use Mismatched"),
    ],
)  # fmt: skip
def test_a_flag_that_only_some_target_would_read_is_held_to_its_meaning_whatever_runs(
    home_with_junk: Path, words: list[str], says: str
) -> None:
    refused(home_with_junk, "-e", "cpu", "-i", "random", *words, says=says)
    assert not (home_with_junk / "nowhere").exists()


def test_a_session_entry_that_the_engine_cannot_judge_is_said_not_to_be_checked(
    home: Path,
) -> None:
    given = ("-e", "cpu", "-r", "validate", "--models", "relu", *QUICK)
    said = ask(home, *given, "--session_config", "session.of_mine=1")
    assert said.status == 0, said.err
    assert "--session_config session.of_mine: not checked: the engine takes any name" in said.err
    assert (
        "not checked"
        not in ask(home, *given, "--session_config", "session.disable_prepacking=1").err
    )


@pytest.mark.parametrize("words", [["--keep_cache", "file"], ["--export", "junit=empty"]])
def test_one_process_refuses_the_same_paths(home_with_junk: Path, words: list[str]) -> None:
    refused(home_with_junk, "--in_process", "-e", "cpu", *words, says=f"{words[0]} {words[1]}: ")


def test_a_shape_that_fits_one_of_several_models_is_run_on_that(home: Path) -> None:
    said = ask(home, "-i", "random", "-t", "3", "--launches", "1", "--shape", "x=5x8")
    outcomes = {r.cell.model.name: r.outcome for r in said.records.values()}
    assert said.status == 0
    assert outcomes["linear"] == Passed()
    assert isinstance(outcomes["relu"], ArtefactFailed)
    assert "input 'x' is [2,8] in the model, and 5x8 is asked for" in outcomes["relu"].what


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
            '[{"root_working_directory": 3}]',
            "list.json[0]: 'root_working_directory' is not a string",
        ),
    ],
)
def test_a_malformed_model_list_names_the_place(home: Path, text: str, says: str) -> None:
    (home / "list.json").write_text(text, encoding="utf-8")
    refused(home, "-m", "list.json", says=says)


def test_models_that_are_not_as_listed_harm_no_other(home: Path) -> None:
    broken = {
        "absent": ({"model_path": "none.onnx"}, "none.onnx; `python -m setup_models.check` says"),
        "changed": ({"sha256": "0" * 64}, "the list says " + "0" * 64),
        "halved": (
            {"model_path_fp16": "half.onnx"},
            "half.onnx; `python -m setup_models.check` says",
        ),
    }
    entry = {"model_name": "relu", "working_directory": "models/relu", "model_path": "model.onnx",
             "test_data_path": "."}  # fmt: skip
    rows = [{**entry, "model_name": name, **change} for name, (change, _) in broken.items()]
    (home / "list.json").write_text(json.dumps([*rows, entry]), encoding="utf-8")
    said = ask(home, "-m", "list.json", *QUICK, "-r", "validate")
    assert said.status == 0
    outcomes = {r.cell.model.name: r.outcome for r in said.records.values()}
    assert outcomes["relu"] == Passed()
    assert outcomes.keys() == {*broken, "relu"}
    for name, (_, says) in broken.items():
        found = outcomes[name]
        assert isinstance(found, ArtefactFailed)
        assert says in found.what


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"modle_path": "x"}, "unknown key 'modle_path'; known are"),
        ({"tolerances": {"fp32": {"rtol": 1}}}, '.tolerances.fp32: expected {"rtol": 1e-3'),
        ({"tolerances": [1]}, ".tolerances: expected an object"),
        ({"tolerances": {"fp31": {"rtol": 1, "atol": 1}}}, ".tolerances: 'fp31' is none of fp32"),
        ({"comparison": "roughly"}, "comparison 'roughly' is none of elementwise, unordered"),
        ({"inputs": {"x": {"range": [0]}}}, '.inputs.x: expected {"shape": [1, 3]'),
        ({"inputs": {"x": {"rnge": [0, 1]}}}, ".inputs.x: unknown key 'rnge'"),
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


def test_two_rows_of_one_name_harm_no_other_model(home: Path) -> None:
    entry = {"model_name": "twin", "working_directory": "models/relu", "model_path": "model.onnx",
             "test_data_path": "."}  # fmt: skip
    rows = [entry, entry, entry | {"model_name": "relu"}, entry | {"model_name": "twin_row_1"}]
    (home / "list.json").write_text(json.dumps(rows), encoding="utf-8")
    said = ask(home, "-m", "list.json", *QUICK, "-r", "validate", "-e", "cpu")
    outcomes = {r.cell.model.name: r.outcome for r in said.records.values()}
    assert {n: isinstance(o, Passed) for n, o in outcomes.items()} == {
        "twin": False,
        "twin_row_1_": False,
        "relu": True,
        "twin_row_1": True,
    }
    assert "list.json: 2 rows are named 'twin'; names must differ" in said.out


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


def test_an_option_that_an_engine_does_not_know_is_refused_in_its_words(home: Path) -> None:
    python = ROOT / ".envs" / "openvino" / "bin" / "python"
    words = ("--env", f"ov={python}", "-e", "ov@ov", "--ep_options")
    says = "OpenVINOExecutionProvider refuses the option nonsense: Invalid OpenVINO EP option: nonsense"
    refused(home, *words, "ov:nonsense=1", says=says)
    known = ask(home, *words, "ov:num_of_threads=1", *QUICK, "-r", "both", "--models", "relu")
    assert {c["status"] for c in known.cells.values()} == {"Pass"}


# Interpreters


def test_an_interpreter_that_is_not_there_fails_its_cells_and_no_others(home: Path) -> None:
    (home / "environments.toml").write_text(
        CURRENT + '[gone]\npython = "/no/such/python"\n', encoding="utf-8"
    )
    said = ask(home, *QUICK, "-r", "both", "-e", "cpu", "cpu@gone", "--models", "relu")
    assert said.status == 1  # a target that was named could not run
    assert {i: c["status"] for i, c in said.cells.items()} == {
        "relu::CPUExecutionProvider": "Pass",
        "relu::CPUExecutionProvider@gone": "Skipped",
    }
    detail = said.cells["relu::CPUExecutionProvider@gone"]["detail"]
    assert "no interpreter /no/such/python (No such file or directory)" in detail
    assert "correct environments.toml or --env" in detail


def test_a_run_whose_only_environment_is_not_there_cannot_be_completed(home: Path) -> None:
    (home / "environments.toml").write_text(
        'drop = ["*"]\n[a]\npython = "/no/python"\n', encoding="utf-8"
    )
    refused(home, says="environment a: no interpreter /no/python", status=2)


def test_an_interpreter_without_its_packages_gets_the_command_that_fixes_it(home: Path) -> None:
    bare = home / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    (home / "environments.toml").write_text(
        'drop = ["*"]\n[a]\npython = "bare/bin/python"\n', encoding="utf-8"
    )
    refused(home, says="--env a='numpy==VERSION onnxruntime==VERSION'", status=2)


def test_an_interpreter_of_the_wrapper_without_onnx_gets_the_command_that_fixes_it(
    home: Path,
) -> None:
    without = str(ROOT / ".envs" / "openvino" / "bin" / "python")  # an engine and numpy, no onnx
    (home / "environments.toml").write_text(CURRENT, encoding="utf-8")
    said = ask(home, *QUICK, "-e", "ov", python=without)
    assert (said.status, said.out) == (2, "")
    assert one_line(said).endswith("`./perf.sh --setup` fixes it")
    assert not said.results.exists()
    assert ask(home, "--list", python=without).status == 0


# Names


def test_a_folder_whose_name_is_not_utf8_costs_its_own_cells_and_no_later_run(home: Path) -> None:
    bad = Path(os.fsdecode(bytes(home / "models") + b"/fl\xfcte"))
    shutil.copytree(home / "models/relu", bad)
    said = ask(home, *QUICK, "-e", "cpu", "-r", "both")
    assert said.status == 0, said.err
    outcomes = {cell: type(r.outcome) for cell, r in said.records.items()}
    assert outcomes["fl\\udcfcte::CPUExecutionProvider"] is ArtefactFailed
    assert outcomes["relu::CPUExecutionProvider"] is Passed
    shutil.rmtree(bad)
    assert ask(home, *QUICK, "-e", "cpu", "-r", "both").status == 0


def test_half_a_character_in_a_rows_name_costs_that_row_alone(home: Path) -> None:
    row = {"working_directory": "models/relu", "model_path": "model.onnx", "test_data_path": "."}
    rows = [{**row, "model_name": name} for name in ("a\ud800b", "nul\0", "whole")]
    (home / "list.json").write_text(json.dumps(rows))
    said = ask(home, *QUICK, "-e", "cpu", "-r", "both", "-m", "list.json")
    assert said.status == 0, said.err
    outcomes = {r.cell.model.name: type(r.outcome) for r in said.records.values()}
    assert outcomes == {"row_0": ArtefactFailed, "row_1": ArtefactFailed, "whole": Passed}


def test_a_sparse_terabyte_in_place_of_a_library_is_one_line(shared_home: Path) -> None:
    sparse = shared_home / "vendor.so"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    try:
        refused(shared_home, "--list", "--plugin", f"x={sparse}", says="1099511627776 bytes long")
    finally:
        sparse.unlink()
