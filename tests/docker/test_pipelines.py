"""The pipelines' inline shell is clean, and their scripts call what they should; `make lint` has the schemas."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from docker import versions as v
from tests.docker.recorded import HOME, Programs, Run

TOOLS = Path(sys.executable).parent
AZURE = sorted((HOME / "azure-pipelines").rglob("*.yml"))
GITHUB = sorted((HOME / ".github/workflows").glob("*.yml"))
ACTION = [HOME / "action.yml"]


def tool(name: str, *arguments: str, given: str = "") -> str:
    """What a linter says; empty when it is content."""
    done = subprocess.run(
        [str(TOOLS / name), *arguments], input=given, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def inline_shell(node: object) -> Iterator[str]:
    """Every script that stands in a pipeline itself, wherever it is."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("bash", "run") and isinstance(value, str):
                yield value
            else:
                yield from inline_shell(value)
    elif isinstance(node, list):
        for value in node:
            yield from inline_shell(value)


@pytest.mark.parametrize(
    "file", [*AZURE, *GITHUB, *ACTION], ids=lambda p: str(p.relative_to(HOME))
)
def test_inline_shell_is_clean_and_short(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    shells = list(inline_shell(YAML(typ="safe").load(text)))
    assert len(shells) == len(re.findall(r"^ *(?:- )?(?:bash|run): ", text, re.MULTILINE))
    for shell in shells:
        # Values come through the environment: pasted into a script, they would be run as one.
        assert "${{" not in shell
        assert "$(" not in shell
        assert len(shell.splitlines()) <= 8  # longer ones belong into a script of their own
        assert tool("shellcheck", "--shell=bash", "-", given=shell) == ""


def test_both_pipelines_offer_the_cuda_versions_there_are() -> None:
    there = ['"' + f.cuda + '"' for f in v.load().flavours.values() if f.tensorrt]
    for file in (AZURE[0], HOME / ".github/workflows/linux-gpu-tensorrt-perf.yml"):
        assert f"[{', '.join(there)}]" in file.read_text(encoding="utf-8")


@pytest.fixture
def pipeline(checkout: Path) -> Path:
    """The pipelines' scripts in a checkout whose path holds a space."""
    copied = checkout / "azure-pipelines"
    shutil.copytree(HOME / "azure-pipelines", copied)
    return copied / "scripts"


def test_the_image_is_the_tensorrt_flavour_of_a_cuda_version(
    pipeline: Path, script: Run, programs: Programs
) -> None:
    programs.add("docker")
    for cuda, branch in (("13.0", "rel 1.31"), ("13.3", "")):
        done = script(pipeline / "build_image.sh", "ep-perf:7", cuda, branch)
        assert done.returncode == 0, done.stderr
    first, second = programs.calls()
    assert first[first.index("--tag") + 1] == "ep-perf:7"
    assert "ORT_BRANCH=rel 1.31" in first
    assert "ORT_FROM=release" in second
    assert "TENSORRT_MAJOR=11" in second
    assert script(pipeline / "build_image.sh", "ep-perf:7", "11.0", "").returncode == 2


def test_models_and_eps_reach_the_harness(
    pipeline: Path, script: Run, programs: Programs, tmp_path: Path
) -> None:
    programs.add("docker", "sys.exit(1)")
    models = tmp_path / "my models"
    models.mkdir()
    run = pipeline / "run_models.sh"
    selected = script(run, "i:1", "selected-models", str(models), "cpu cuda", "20261126.1")
    assert selected.returncode == 1  # as the harness ended
    assert script(run, "i:1", "offline", "", "", "20261126.2").returncode == 1
    first, second = programs.calls()
    assert first[first.index("i:1") :] == [
        *("i:1", "-o", "/result", "-m", str(models), "--label", "20261126.1", "-e", "cpu cuda")
    ]
    assert second[second.index("i:1") :] == ["i:1", "-o", "/result", "--label", "20261126.2"]


def a_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    return folder


def test_the_gate_compares_the_newest_runs_of_each_group(
    pipeline: Path, script: Run, programs: Programs, tmp_path: Path
) -> None:
    programs.add("docker", "sys.exit(int(os.environ['FAKE_STATUS']))")
    previous, current, out = tmp_path / "previous", tmp_path / "result", tmp_path / "the out"
    a_run(previous / "result-cuda13.0-1/offline/20261123T100000-h-0001")
    before = a_run(previous / "result-cuda13.0-1/offline/20261124T100000-h-0000")
    a_run(current / "offline/20261125T100000-h-0002")
    now = a_run(current / "offline/20261126T100000-h-0001")
    a_run(current / "zoo models/20261126T120000-h-0003")  # new: nothing to be worse than
    (current / "latest-notes").mkdir()

    def gate(status: int) -> subprocess.CompletedProcess[str]:
        arguments = ("ep-perf:7", str(previous), str(current), str(out))
        return script(pipeline / "gate.sh", *arguments, env={"FAKE_STATUS": str(status)})

    for status in (0, 1, 2, 3):
        assert gate(status).returncode == status
    first, *others = programs.calls()
    assert others == [first] * 3
    for run in (before, now):
        assert f"type=bind,source={run},target={run},readonly" in first
    assert first[first.index("ep-perf:7") + 1 :] == [
        *("/opt/ep-perf/comparison/comparison_script.py", "-p", str(before), "-c", str(now)),
        *("-o", "/out/comparison_offline.csv", "--across", "ep_version", "--markdown"),
    ]
    assert "zoo models has no earlier good run" in gate(0).stdout


def test_the_gate_without_runs(
    pipeline: Path, script: Run, programs: Programs, tmp_path: Path
) -> None:
    programs.add("docker")
    current = tmp_path / "result"
    a_run(current / "offline/20261126T100000-h-0001")
    gate = pipeline / "gate.sh"
    first = script(gate, "i", str(tmp_path / "nothing"), str(current), str(tmp_path / "out"))
    assert (first.returncode, programs.calls()) == (0, [])
    assert "this one is the first to compare with" in first.stdout
    (tmp_path / "empty").mkdir()
    none = script(gate, "i", str(current), str(tmp_path / "empty"), str(tmp_path / "out"))
    assert none.returncode == 2
    assert "holds no run; the models did not run" in none.stderr


def test_the_last_good_run_is_fetched(script: Run, programs: Programs, tmp_path: Path) -> None:
    programs.add("gh", "print(os.environ.get('FAKE_RUN', '') if 'list' in sys.argv else '')")
    fetch = HOME / ".github/workflows/last_good_run.sh"
    folder = tmp_path / "the last"
    arguments = ("perf.yml", "main", "result-cuda13.0-*", str(folder))
    none = script(fetch, *arguments)
    assert none.returncode == 0
    assert "perf.yml has no good run on main yet" in none.stdout
    assert folder.is_dir()
    assert script(fetch, *arguments, env={"FAKE_RUN": "4711"}).returncode == 0
    listed = [
        *("gh", "run", "list", "--workflow", "perf.yml", "--branch", "main"),
        *("--status", "success", "--limit", "1", "--json", "databaseId", "--jq", ".[].databaseId"),
    ]
    download = ["gh", "run", "download", "4711", "--pattern", "result-cuda13.0-*", "--dir"]
    assert programs.calls() == [listed, listed, [*download, str(folder)]]


# A container without an engine: the same interpreter and scripts, from this checkout.
CONTAINER = """
import subprocess
at = sys.argv.index("--entrypoint")
out = next(a.split(",")[1][7:] for a in sys.argv if a.endswith("target=/out"))
asked = [a.replace("/opt/ep-perf", HOME).replace("/out/", out + "/") for a in sys.argv[at + 3 :]]
sys.exit(subprocess.run([sys.executable, *asked]).returncode)
"""


def test_the_gate_compares_real_runs(
    pipeline: Path, script: Run, programs: Programs, tmp_path: Path
) -> None:
    programs.add("docker", f"HOME = {str(HOME)!r}\n{CONTAINER}")
    current, previous = tmp_path / "result", tmp_path / "previous"
    flags = [
        "--no_install",
        "-e",
        "CPUExecutionProvider",
        "--models",
        "loop_if",
        "--launches",
        "2",
    ]
    ran = script(HOME / "perf.sh", *flags, "-t", "5", "-o", str(current / "offline"))
    assert ran.returncode == 0, ran.stderr
    shutil.copytree(current, previous / "result-cuda13.0-1", symlinks=True)

    def gate() -> subprocess.CompletedProcess[str]:
        arguments = ("ep-perf:7", str(previous), str(current), str(tmp_path / "out"))
        summary = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
        return script(pipeline / "gate.sh", *arguments, env=summary)

    same = gate()
    assert same.returncode == 0, same.stdout + same.stderr
    assert (tmp_path / "out/comparison_offline.md").read_text(encoding="utf-8") in same.stdout
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").strip()
    assert "loop_if" in (tmp_path / "out/comparison_offline.csv").read_text(encoding="utf-8")
    for record in current.rglob("record.json"):
        record.unlink()
    assert gate().returncode == 2


# The action and the template for other people's pipelines


@pytest.fixture
def exports(tmp_path: Path) -> dict[str, str]:
    """What a workflow gives the action's script."""
    return {
        "MODELS": "models net.onnx", "TARGETS": "cpu ov", "FLAGS": "-r both -k 'relu and not fp16'",
        "FAIL_ON": "any", "EXPECTED": "", "RESULTS": "result", "AGAINST": "good", "SAVE_BASELINE": "good",
        "OUT": str(tmp_path / "the out"),
    }  # fmt: skip


def test_the_action_hands_its_inputs_on_and_ends_as_the_run_ends(
    script: Run, tmp_path: Path, exports: dict[str, str]
) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(HOME / ".github/actions", checkout / ".github/actions")
    fake = checkout / "perf.sh"
    fake.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\necho told >"$OUT/summary.md"\nexit 1\n')
    fake.chmod(0o755)
    summary, output = tmp_path / "summary.md", tmp_path / "output"
    told = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(output)}
    done = script(checkout / ".github/actions/run.sh", env={**exports, **told})
    assert done.returncode == 1
    words = done.stdout.splitlines()
    assert words[:12] == [
        "-r", "both", "-k", "relu and not fp16", "-m", "models", "-m", "net.onnx", "-e", "cpu", "ov", "--against",
    ]  # fmt: skip
    assert f"junit={exports['OUT']}/cells.xml" in words
    assert summary.read_text() == "told\n"
    assert output.read_text() == "status=1\n"


def test_the_action_runs_the_harness_and_leaves_what_ci_reads(
    script: Run, tmp_path: Path, exports: dict[str, str]
) -> None:
    small = {
        "MODELS": "", "TARGETS": "cpu", "FLAGS": "--no_install --models loop_if --launches 1 -t 5 -i zoo",
        "RESULTS": str(tmp_path / "result"),
    }  # fmt: skip
    done = script(HOME / ".github/actions/run.sh", env={**exports, **small})
    assert done.returncode == 0, done.stderr
    left = {p.name for p in Path(exports["OUT"]).iterdir()}
    assert left == {
        "cells.xml", "cells.sarif", "report.html", "cells.csv", "comment.md", "summary.md",
    }  # fmt: skip
    assert (tmp_path / "result/baselines/good").is_symlink()


def test_one_comment_is_edited_however_often_a_pull_request_is_run(
    script: Run, programs: Programs, tmp_path: Path
) -> None:
    programs.add(
        "gh", "print(os.environ.get('FAKE_COMMENT', '') if '--paginate' in sys.argv else '')"
    )
    comment, text = HOME / ".github/actions/comment.sh", tmp_path / "comment.md"
    words = ("7", "ep-perf", str(text))
    repository = {"GH_REPO": "me/mine"}
    assert script(comment, *words, env=repository).returncode == 0
    assert programs.calls() == []  # a run that left nothing changes nothing
    text.write_text("| matrix |\n")
    assert script(comment, *words, env=repository).returncode == 0
    assert script(comment, *words, env={**repository, "FAKE_COMMENT": "4711"}).returncode == 0
    _, first, _, second = programs.calls()
    body = "body=<!-- ep-perf -->\n| matrix |"
    assert first[2:6] == ["--method", "POST", "repos/me/mine/issues/7/comments", "--raw-field"]
    assert second[2:5] == ["--method", "PATCH", "repos/me/mine/issues/comments/4711"]
    assert first[6] == second[6] == body


def test_without_an_image_models_run_on_the_machine_itself(
    pipeline: Path, script: Run, programs: Programs, checkout: Path
) -> None:
    replace(programs, folder=checkout).add("perf.sh")
    done = script(pipeline / "run_models.sh", "", "offline", "", "cpu", "20261126.1")
    assert programs.calls() == [
        ["perf.sh", "-o", str(checkout / "result/offline"), "--label", "20261126.1", "-e", "cpu"]
    ], done.stderr
