"""The README's commands are what its reader can type: each is parsed, planned or run as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tests import models

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
(LIBRARY,) = ROOT.glob(".envs/nxrt/lib/python*/site-packages/nxrt_ep_cpu/*.so")
PLUGIN = f"mine={LIBRARY}"
SWITCHES = (
    "--list",
    "--help",
    "--resume",
    "--rerun failed",
)  # they need no plan, or an earlier run


def commands() -> list[str]:
    """Lines of code blocks that are typed, without their comments."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```", README, re.M | re.S):
        for line in block.splitlines():
            word = line.removeprefix("$ ")
            if re.match(r"(\./perf\.sh|python3?|make|ep-perf|pipx) ?", word) and (
                line.startswith("$ ") or "$ " not in block
            ):
                found.append(word.split("  #")[0].split("        #")[0].strip())
    return list(dict.fromkeys(found))


COMMANDS = commands()
PLANNED = [
    c for c in COMMANDS
    if re.match(r"(python3? benchmark(_wrapper)?\.py|ep-perf run)", c) and not c.endswith(SWITCHES)
    and "models/model_list.json" not in c
]  # fmt: skip


def typed(command: str) -> list[str]:
    """The words after Python: what pip makes ep-perf of is ep_perf/__main__.py."""
    program, *words = shlex.split(command)
    return [*(["-m", "ep_perf"] if program == "ep-perf" else []), *words]


def test_the_readme_opens_with_its_two_commands() -> None:
    assert COMMANDS[:2] == ["./perf.sh", "make test"]
    assert "\ntest:" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert len(PLANNED) >= 6


@pytest.mark.parametrize("command", PLANNED)
def test_a_run_can_be_planned_as_written(command: str, tmp_path: Path) -> None:
    dims: models.Shape = ["n", 3, "height", "width"]
    same = helper.make_node("Identity", ["x"], ["y"])
    fed = {"x": models.noise(0, (1, 3, 4, 4))}
    models.write(tmp_path / "net", [same], {"x": dims}, {"y": dims}, [(fed, {"y": fed["x"]})])
    np.savez(tmp_path / "mine.npz", **fed)  # type: ignore[arg-type]
    words = typed(command)
    swapped = {
        "net.onnx": str(tmp_path / "net" / "model.onnx"),
        "mine.npz": str(tmp_path / "mine.npz"),
        "mine=/path/to/python": f"mine={sys.executable}",
    }
    words = [swapped.get(w, w) for w in words]
    done = subprocess.run(
        [sys.executable, *words, "--dry_run", "--no_install"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cells" in done.stdout


def test_list_and_help_answer() -> None:
    for command in (c for c in COMMANDS if c.endswith(("--list", "--help", "bash"))):
        words = [PLUGIN if w == "mine=libmy_ep.so" else w for w in typed(command)]
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert re.search(r"CPUExecutionProvider|usage|_shtab_ep_perf", done.stdout)


def test_flags_that_the_readme_names_exist() -> None:
    from perf.request.flags import FLAGS

    known = {f.name for f in FLAGS} | {
        "help",
        "converter",
        "update_lock",
        "setup",
        "only",
        "calibrate",
    }
    known |= {"print_completion"}
    named = {w.replace("-", "_") for w in re.findall(r"(?<![\w-])--([a-z][a-z_-]+)", README)}
    assert {n for n in named if n not in known and n.removeprefix("no_") not in known} <= {
        "downloads", "make_test_data", "shape", "range", "value", "no_",
    }  # fmt: skip


def test_the_commands_work_in_a_fresh_shell_as_the_readme_begins_it() -> None:
    (begun,) = re.findall(r"^\./perf\.sh --setup && (\. .*activate)$", README, re.M)
    done = subprocess.run(
        ["env", "-i", "PATH=/usr/bin:/bin", "bash", "-c", f"{begun} && python benchmark_wrapper.py --dry_run"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cells" in done.stdout
