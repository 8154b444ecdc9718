"""Locks: what they hold of the versions that are pinned, and that pip takes no other bytes."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from perf.request.environments import EnvironmentSpec, load_environments
from perf.request.locks import find_lock, lock_path, normalise
from perf.wrapper import environments
from perf.wrapper.write_locks import EXTRAS
from tests.asking import ROOT
from tests.docker.wheels import make_wheel

BUILT = [
    (folder, spec)
    for folder in (ROOT, ROOT / "tests")
    for spec in load_environments(folder / "environments.toml")
    if spec.requirements
]


def versions(name: str) -> dict[str, str]:
    text = lock_path(ROOT, name).read_text(encoding="utf-8")
    return dict(re.findall(r"^(\S+)==(\S+)", text, re.M))


@pytest.mark.parametrize(("folder", "spec"), BUILT, ids=lambda x: getattr(x, "name", ""))
def test_each_environment_that_is_built_has_its_lock(folder: Path, spec: EnvironmentSpec) -> None:
    assert spec.folder == str(folder)
    assert find_lock(spec.folder, spec.name, spec.requirements) == lock_path(folder, spec.name)


def test_the_harness_is_locked_at_the_versions_of_its_constraints() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(normalise(x).split("==") for x in text.splitlines() if "==" in x)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [p for extra in EXTRAS for p in project["optional-dependencies"][extra]]
    names = {normalise(p + "==").removesuffix("==") for p in project["dependencies"]}
    run, dev = versions("harness"), versions("harness-dev")
    assert names <= set(run)
    assert names | {normalise(p + "==").removesuffix("==") for p in extras} <= set(dev)
    assert run.items() <= dev.items()
    assert dev == {k: v for k, v in pinned.items() if k in dev}


@pytest.mark.parametrize(
    "lock", [*ROOT.glob("locks/*"), *ROOT.glob("tests/locks/*")], ids=lambda p: p.stem
)
def test_a_lock_holds_digests_and_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    entries = re.split(r"^(?=\S+==)", text, flags=re.M)[1:]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "//" not in text


def test_a_lock_of_another_version_is_none(tmp_path: Path) -> None:
    lock_path(tmp_path, "x").parent.mkdir()
    lock_path(tmp_path, "x").write_text("some-package==1.0 \\\n    --hash=sha256:00\n")
    assert find_lock(str(tmp_path), "x", ["Some_Package[extra]==1.0"])
    assert find_lock(str(tmp_path), "x", ["some-package==1.1"]) is None
    assert find_lock(str(tmp_path), "y", ["some-package==1.0"]) is None
    assert find_lock("", "x", ["some-package==1.0"]) is None


def test_other_bytes_of_the_same_version_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path, "tiny", "1.0", {"tiny.py": ""})
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", str(tmp_path)), ("EXTRA_INDEX_URL", "")):
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("EP_PERF_ENVS", str(tmp_path / "envs"))
    toml = tmp_path / "environments.toml"
    toml.write_text('[small]\nrequirements = ["tiny==1.0"]\n')
    (spec,) = load_environments(toml)
    lock = lock_path(tmp_path, "small")
    lock.parent.mkdir()
    lock.write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    said: list[str] = []
    problem = environments.build_environment(spec, said.append)
    assert problem.startswith("environment small could not be built: ")
    assert not (tmp_path / "envs" / "small").exists()
    lock.write_text(f"tiny==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    assert environments.build_environment(spec, said.append) == ""
    assert "by their versions alone" not in " ".join(said)
