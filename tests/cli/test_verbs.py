"""ep-perf: a verb finds its program, a typo its verb, and a shell what can be completed."""

import subprocess
import sys
from pathlib import Path

import pytest

from perf.cli import verbs
from tests.asking import QUICK, ROOT


def ep_perf(*words: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, str(ROOT / "ep_perf" / "__main__.py"), *words]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        argv, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("words", verbs.BY_WORDS)
def test_every_verb_has_its_help_under_its_own_name(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = ep_perf(*words.split(), "-h")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: ep-perf {words} ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rnu"], "ep-perf has no 'rnu'; nearest is run"),
        (["models", "ad"], "ep-perf models has no 'ad'; nearest is add"),
        (["--versoin"], "nearest is --version"),
        (["models"], "which verb? add, check, fetch, offline, packages, convert, infer_shapes"),
        ([], "which verb? run, diagnose, compare, report, results, models, frameworks, env"),
        (["run", "--lauches", "3"], "nearest to --lauches is --launches"),
        (["env", "lst"], "invalid choice: 'lst'"),
        (["--print_completion", "fish"], "--print_completion takes one of bash, zsh, tcsh"),
    ],
)
def test_what_is_not_understood_is_one_line_and_status_2(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verbs.main(words) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert (told.out, told.err.count("\n")) == ("", 1)


def test_a_refusal_keeps_its_program_s_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verbs.main(["models", "add", str(tmp_path / "none.onnx")]) == 2
    assert verbs.main(["compare", "a"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_help_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert verbs.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {words} " in told for words in verbs.BY_WORDS)
    assert verbs.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ep-perf 0.")


def test_bash_completes_verbs_and_flags(tmp_path: Path) -> None:
    done = ep_perf("--print_completion", "bash")
    assert done.returncode == 0, done.stderr
    (tmp_path / "completion").write_text(done.stdout, encoding="utf-8")
    ask = (
        'source "$1"; COMP_WORDS=("${@:2}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
        '_shtab_ep_perf; echo "${COMPREPLY[@]}"'
    )
    for words, completed in (
        (["mod"], "models"),
        (["models", "off"], "offline"),
        (["run", "--laun"], "--launches"),
        (["compare", "--only", "lat"], "latency"),
    ):
        argv = ["bash", "-c", ask, "bash", str(tmp_path / "completion"), "ep-perf", *words]
        told = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert told.stdout.split() == [completed], words


def test_results_come_as_json(home: Path) -> None:
    import json

    run = ("run", "-m", "models", *QUICK, "-r", "validate", "--models", "relu", "--json")
    done = ep_perf(*run, cwd=home)
    told = json.loads(done.stdout)
    assert [(c["cell"], c["status"]) for c in told["cells"]] == [
        ("relu::CPUExecutionProvider", "Pass")
    ]
    assert "[1/1] relu::CPUExecutionProvider  Passed" in done.stderr
    listed = json.loads(ep_perf("run", "--list", "--json", cwd=home).stdout)
    assert listed["targets"][0]["environment"] == "current"
    assert {"CPUExecutionProvider", "OpenVINOExecutionProvider"} <= {
        t["target"] for t in listed["targets"]
    }
