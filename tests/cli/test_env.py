"""Environments built from wheels by a real pip without an index: shared, never overwritten, removed when free."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from perf.cli import env
from perf.schema.file_lock import hold_lock
from tests.asking import CURRENT, ROOT
from tests.docker.wheels import make_wheel


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """EP_PERF_ENVS, as two clones share it, in a folder whose environments.toml names one environment."""
    monkeypatch.setenv("EP_PERF_ENVS", str(tmp_path / "shared"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "environments.toml").write_text(CURRENT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shared"


def tiny(folder: Path, version: str) -> Path:
    return make_wheel(folder, "tiny", version, {"tiny.py": f"VERSION = {version!r}\n"})


def version_in(folder: Path) -> str:
    code = "import tiny; print(tiny.VERSION)"
    done = subprocess.run(
        [folder / "bin" / "python", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_two_builders_at_once_build_once(shared: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "perf.cli.env", "build", f"mine={tiny(tmp_path, '1')}"]
    both = [
        subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    told = [p.communicate(timeout=120)[1] for p in both]
    assert [p.returncode for p in both] == [0, 0], told
    assert "".join(told).count("building environment mine") == 1
    assert version_in(shared / "mine") == "1"


def test_other_requirements_of_one_name_lie_beside_what_is_in_use_until_no_run_holds_them(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tiny(tmp_path, "1"), tiny(tmp_path, "2")
    assert env.main(["build", f"mine={one}"]) == 0
    assert env.main(["build", f"mine={two}"]) == 0
    (other,) = shared.glob("mine-*")
    assert (version_in(shared / "mine"), version_in(other)) == ("1", "2")
    capsys.readouterr()
    assert env.main(["build", f"mine={one}"]) == 0  # both are there
    assert env.main(["build", f"mine={two}"]) == 0
    assert capsys.readouterr().err == ""
    make_wheel(tmp_path, "tiny", "1", {"tiny.py": "VERSION = 'anew'\n"})
    assert (
        env.main(["build", f"mine={one}"]) == 0
    )  # of the same name and version, and not the same
    built = [p for p in shared.glob("mine*") if p.is_dir()]
    assert sorted(map(version_in, built)) == ["1", "2", "anew"]

    capsys.readouterr()
    assert env.main(["list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(shared)
    assert {e["name"]: e["state"] for e in told["environments"]} == {
        "current": "an interpreter", **{p.name: "named by no file" for p in built},
    }  # fmt: skip
    with hold_lock(shared / "mine", shared=True):
        assert env.main(["remove", "mine"]) == 2
    assert "a run is using it" in capsys.readouterr().err
    assert env.main(["remove", "--unused"]) == 0
    assert [p for p in shared.iterdir() if p.is_dir()] == []
    assert env.main(["remove", "mine"]) == 2
    assert env.main(["remove", ".."]) == 2


def test_what_cannot_be_built_says_why_and_leaves_nothing(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert env.main(["build", "mine=no-such-package==9"]) == 2
    assert "environment mine could not be built: ERROR: No matching" in capsys.readouterr().err
    assert [p for p in shared.iterdir() if p.is_dir()] == []
    assert env.main(["build", "mine=gone.whl"]) == 2
    assert "--env mine=gone.whl: there is no wheel gone.whl" in capsys.readouterr().err
    assert env.main(["build", "mine=onnxruntime>=1.3"]) == 2
    assert "pins nothing; write PACKAGE==VERSION" in capsys.readouterr().err
