"""`pip install .`: one name in site-packages, and the harness works from there, whoever cannot write to it."""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from perf.schema.record import LaunchKind, Passed, Skipped
from tests import models
from tests.asking import CURRENT, ROOT
from tests.package.installs import Install

QUICK = ("-m", "models", "-i", "zoo", "-t", "4", "--launches", "1", "-r", "both")
RELU = "relu::CPUExecutionProvider"


def test_site_packages_gain_one_name(installed: Install) -> None:
    assert {n.partition("-")[0] for n in installed.new_names} == {"ep_perf"}
    assert len(installed.new_names) == 2  # and its dist-info
    folders = {p.name for p in (installed.site_packages / "ep_perf").iterdir() if p.is_dir()}
    assert folders - {"__pycache__"} == {"perf", "comparison", "setup_models", "locks"}


def test_every_source_and_data_file_travels(wheel: Path) -> None:
    rooms = ("perf", "comparison", "setup_models", "locks")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *rooms], cwd=ROOT, check=True,
        capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    of_clones = ("locks/harness", "perf/native/")  # .venv and the C++ runtime are made there
    listed = [n for n in listed if not n.endswith(".sh") and not n.startswith(of_clones)]
    wanted = {f"ep_perf/{n}" for n in listed if (ROOT / n).exists()}
    with zipfile.ZipFile(wheel) as archive:
        packed = {n for n in archive.namelist() if n.startswith("ep_perf/")}
    more = {
        "__init__.py",
        "__main__.py",
        "api.py",
        "py.typed",
        "model_list.json",
        "environments.toml",
        "harness_commit.txt",
    }
    assert packed == wanted | {f"ep_perf/{n}" for n in more}


def test_importing_ep_perf_is_what_makes_the_rest_importable(
    installed: Install, tmp_path: Path
) -> None:
    code = "import importlib.util as u; print(u.find_spec('perf')); import ep_perf, perf; print(perf.__path__[0])"
    said = installed.run(tmp_path, installed.python, "-c", code)
    assert said.out.splitlines() == ["None", str(installed.site_packages / "ep_perf" / "perf")]


@pytest.mark.parametrize("how", ["host", "spawn", "inprocess"])
def test_a_model_is_prepared_checked_and_timed(installed: Install, home: Path, how: str) -> None:
    """With PYTHONSAFEPATH, and nothing of the package writable."""
    denied = installed.run(
        home, Path("/bin/touch"), str(installed.site_packages / "ep_perf" / "x")
    )
    assert "Permission denied" in denied.err
    way = ("--in_process",) if how == "inprocess" else ("--isolation", how)
    before = set(installed.site_packages.rglob("*"))
    said = installed.ep_perf(home, "run", *QUICK, *way, "--models", "relu")
    assert said.status == 0, said
    record = said.records[RELU]
    assert record.outcome == Passed()
    assert [x.kind for x in record.launches] == [LaunchKind.CHECK, LaunchKind.MEASURE]
    assert {x.isolation for x in record.launches} == {how}
    assert set(installed.site_packages.rglob("*")) == before
    assert {p.name for p in home.iterdir()} == {"environments.toml", "models", "result"}


def test_results_name_the_commit_that_the_package_was_built_from(
    installed: Install, home: Path
) -> None:
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert installed.ep_perf(home, "--version").out == f"ep-perf 0.1.0 {head}\n"
    said = installed.ep_perf(home, "run", *QUICK, "-r", "validate", "--models", "relu")
    assert (said.status, said.err) == (
        2,
        "error: -r is given twice, and takes one value: leave out one (see --help)\n",
    )
    said = installed.ep_perf(home, "run", *QUICK[:-2], "-r", "validate", "--models", "relu")
    assert json.loads((said.run.root / "run.json").read_text())["harness_commit"] == head


def test_an_engine_elsewhere_sees_our_code_and_none_of_our_packages(
    installed: Install, home: Path
) -> None:
    """One environment with an engine and numpy of its own, and one with neither."""
    bare = home / "bare"
    subprocess.run([installed.python, "-m", "venv", "--without-pip", bare], check=True)
    (home / "environments.toml").write_text(
        f'{CURRENT}[before]\npython = "{ROOT}/.envs/ort_before/bin/python"\n'
        f'[bare]\npython = "{bare}/bin/python"\ntargets = ["CPUExecutionProvider"]\n',
        encoding="utf-8",
    )
    said = installed.ep_perf(
        home, "run", *QUICK, "--models", "relu", "-e", "cpu@before", "cpu@bare"
    )
    outcomes = {i: r.outcome for i, r in said.records.items()}
    assert outcomes[f"{RELU}@before"] == Passed()
    assert {x.versions["onnxruntime"] for x in said.records[f"{RELU}@before"].launches} == {
        "1.30.0"
    }
    skipped = outcomes[f"{RELU}@bare"]
    assert isinstance(skipped, Skipped)
    assert "environment bare cannot import numpy" in skipped.reason
    assert "--env bare='numpy==VERSION" in skipped.reason


def test_a_failing_cell_is_run_again_by_what_is_printed(installed: Install, home: Path) -> None:
    models.linear(home / "models" / "wrong", error=1.0)
    on_path = {"PATH": f"{installed.venv}/bin:/usr/bin:/bin"}
    said = installed.ep_perf(home, "run", *QUICK, "--models", "wrong", env=on_path)
    (again,) = (line.strip() for line in said.out.splitlines() if "--rerun" in line)
    assert " ep-perf run --" in again
    pasted = installed.run(home, Path("/bin/bash"), "-c", again, env=on_path)
    assert "Mismatched" in pasted.out, pasted


def test_without_a_model_the_offline_ones_are_run_from_where_they_are_kept(
    installed: Install, tmp_path: Path
) -> None:
    data = {"EP_PERF_HOME": "", "XDG_DATA_HOME": str(tmp_path / "xdg")}
    made_in = tmp_path / "xdg" / "ep-perf" / "models"
    made = installed.ep_perf(tmp_path, "models", "offline", "--only", "loop_if", env=data)
    assert (made.status, [p.name for p in made_in.iterdir() if p.is_dir()]) == (0, ["loop_if"])
    told = json.loads(installed.ep_perf(tmp_path, "models", "check", "--json", env=data).out)
    assert {row["name"]: row["sets"] for row in told}["loop_if"] == 2
    assert "ep-perf models offline" in told[0]["lacks"][0][1]
    planned = ("run", "--dry_run", "--json", "-e", "cpu", "--models", "loop_if")
    (cell,) = json.loads(installed.ep_perf(tmp_path, *planned, env=data).out)["cells"]
    assert Path(cell["cell"]["model"]["path"]).parent == made_in / "loop_if"
    listed = json.loads(installed.ep_perf(tmp_path, "env", "list", "--json", env=data).out)
    assert listed["folder"] == str(tmp_path / "xdg" / "ep-perf" / "envs")
    assert {e["name"] for e in listed["environments"]} >= {"current", "openvino", "cuda"}


def test_two_runs_are_compared(installed: Install, home: Path) -> None:
    for run_id in ("one", "two"):
        words = (*QUICK[:-2], "-r", "validate", "--models", "relu", "--run_id", run_id)
        assert installed.ep_perf(home, "run", *words).status == 0
    told = installed.ep_perf(home, "compare", "one", "two", "--only", "failures", "--json")
    assert (told.status, json.loads(told.out)["lines"]) == (0, [])
    assert installed.ep_perf(home, "compare", "one").err.startswith("error: give -p PREV")


def test_what_is_missing_is_added_where_ep_perf_is_installed(
    installed: Install, tmp_path: Path
) -> None:
    code = "import ep_perf; from perf.request.programs import install_command as i; print(i('zstandard', extra=True))"
    assert installed.run(tmp_path, installed.python, "-c", code).out == (
        f"{installed.python} -m pip install zstandard\n"
    )
    mark = installed.venv / "pipx_metadata.json"  # what pipx leaves in the venvs that it makes
    mark.write_text("{}")
    try:
        told = installed.run(tmp_path, installed.python, "-c", code).out
    finally:
        mark.unlink()
    assert told == "pipx inject ep-perf zstandard\n"
