"""Every backend that is found is held to tests/backends/contract.py where it can run, and to less elsewhere."""

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from perf import backends
from perf.backends import Backend, ProbeResult
from perf.request.environments import QUIET
from perf.request.flags import FLAGS
from perf.schema import cell as cells
from perf.schema.model_form import Format, ModelForm
from perf.worker.probe import look_around
from tests.backends.contract import PROMISES
from tests.backends.trial_cells import cells_for
from tests.fakes.trt_cells import trtexec_in

ROOT = Path(__file__).parents[2]
ENVS = ROOT / ".envs"  # built by: python -m perf.wrapper.environments openvino nxrt rtx
CONTRACT = Path(__file__).with_name("contract.py")
ENGINES = ("numpy", "onnx", "onnxruntime", "torch", "tensorrt", "pynvml", "rich")
ALL = backends.discover_backends()
PROBED = look_around()
HERE = ProbeResult(PROBED.providers, PROBED.versions, errors=PROBED.errors)
NXRT = {
    "target": "NxrtCpuExecutionProvider",
    "library": str(
        next(ENVS.glob("nxrt/lib/python*/site-packages/nxrt_ep_cpu/*.so"), "not built")
    ),
    "ep_name": "cpu_ep",
}


def named(backend: Backend) -> str:
    return backend.targets[0].name if backend.targets else "plug-in"


def why_missing(backend: Backend, found: ProbeResult) -> str:
    """What it says, or that it cannot even say it."""
    try:
        return backend.missing(found)
    except Exception as e:
        return f"missing() raises {type(e).__name__}: {e}"


@dataclass(frozen=True)
class Trial:
    """A backend where it can run: in this interpreter or an environment's, on a fake of what is not ours."""

    name: str
    backend: Backend
    python: Path | str = sys.executable
    plugin: Mapping[str, str] = field(default_factory=dict)
    fake: str = ""  # trtexec, or the tensorrt package
    entries: str = (
        ""  # a module of the same models as functions, for a backend that reads no ONNX file
    )


def elsewhere(target: str, python: str, fake: str = "") -> Trial:
    name = f"{target} {fake}".strip()
    return Trial(name, backends.backend_serving(target, ALL), ENVS / python, fake=fake)


TRIALS = [
    *(Trial(named(b), b) for b in ALL if b.targets and not why_missing(b, HERE)),
    Trial("plug-in", next(b for b in ALL if b.serves_plugins), plugin=NXRT),
    elsewhere("OpenVINOExecutionProvider", "openvino/bin/python"),
    elsewhere("TensorRT_RTX", "rtx/bin/python"),
    elsewhere("Standalone_TRT", sys.executable, "trtexec"),
    elsewhere("Standalone_TRT", sys.executable, "tensorrt"),
]


def put_promises(trial: Trial, folder: Path) -> dict[str, str]:
    """Every promise with what became of it, "" where it was kept; in a process of its own."""
    paths = []
    for name, made in cells_for(trial.backend, folder, trial.plugin).items():
        path = folder / f"{name}.json"
        trtexec = trtexec_in(folder) if trial.fake == "trtexec" else ""
        entry = f"{trial.entries}:{name}"
        form = ModelForm(Format.ENTRY_POINT, entry, "0" * 64, entry, str(ROOT))
        asked = replace(made, trtexec=trtexec, form=form if trial.entries else None)
        cells.write_cell(asked, path)
        paths.append(str(path))
    request = {
        "cells": paths,
        "folder": str(folder / "launches"),
        "fake_tensorrt": trial.fake == "tensorrt",
    }
    own = {"TMPDIR": str(folder / "tmp"), "HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    for key in ("TMPDIR", "HOME"):
        Path(own[key]).mkdir()
    own |= {**QUIET, "FAKE_TRTEXEC_MS": "0.5"}
    out, how = folder / "promises.jsonl", "it hangs"
    with contextlib.suppress(subprocess.TimeoutExpired):
        ended = subprocess.run(
            [trial.python, CONTRACT, json.dumps(request), out], cwd=folder, env={**os.environ, **own},
            capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        how = f"the process ended with {ended.returncode}: {ended.stderr[-500:]}"
    results = dict(map(json.loads, out.read_text().splitlines() if out.exists() else ()))
    unreached = [p.__name__ for p in PROMISES if p.__name__ not in results]
    return {n: how if b is None else b for n, b in results.items()} | dict.fromkeys(
        unreached[:1], how
    )


@pytest.mark.parametrize("trial", TRIALS, ids=lambda t: t.name)
def test_it_keeps_its_promises(trial: Trial, tmp_path: Path, subtests: pytest.Subtests) -> None:
    promises = put_promises(trial, tmp_path)
    for promise, broken in promises.items():
        with subtests.test(promise):
            if broken:
                pytest.fail(broken, pytrace=False)


def test_those_that_run_in_any_build_of_onnxruntime_run_here() -> None:
    assert {t.name for t in TRIALS} >= {"CPUExecutionProvider", "AzureExecutionProvider"}


def test_target_names_aliases_and_parts_are_unique() -> None:
    spelled = Counter(s for b in ALL for s in {s for t in b.targets for s in t.spellings})
    assert [s for s, n in spelled.items() if n > 1] == []
    served = Counter(n for b in ALL for n in {t.name for t in b.targets})
    assert [n for n, count in served.items() if count > 1] == []
    assert [named(b) for b in ALL if b.reference] == ["CPUExecutionProvider"]
    assert [named(b) for b in ALL if b.serves_plugins] == ["plug-in"]


@pytest.mark.parametrize("backend", ALL, ids=named)
def test_what_it_says_before_it_is_opened_holds(backend: Backend) -> None:
    spellings = [s for t in backend.targets for s in {t.label.lower(), *map(str.lower, t.aliases)}]
    assert [s for s, n in Counter(spellings).items() if n > 1] == [], "two targets share a name"
    assert backend.serves_plugins == (not backend.targets), "no target, and no plug-in's either"
    flags = {f.name for f in FLAGS} | {""}
    assert {backend.options_flag, backend.fallback_options_flag} <= flags, (
        "options by no flag that is"
    )
    assert isinstance(backend.program("", ""), str)
    assert isinstance(backend.program("/nowhere/trtexec", "/nowhere"), str)
    texts = [x for pair in backend.default_options.items() for x in pair]
    assert all(isinstance(x, str) for x in (*texts, *backend.preload, backend.provider))


@pytest.mark.parametrize("backend", ALL, ids=named)
def test_it_says_in_one_line_what_is_missing(backend: Backend) -> None:
    nothing = ProbeResult()
    gpu = ProbeResult(gpus=("NVIDIA H200",), versions={"tensorrt": "10rc1", "numpy": ""})
    torn = replace(HERE, errors={"onnxruntime": "ImportError: no", "plugin": "RuntimeError: no"})
    for found in (nothing, gpu, torn, HERE):
        reason = backend.missing(found)
        assert isinstance(reason, str)
        assert "\n" not in reason
    assert backend.missing(nothing), "it says that it can run where nothing is"


def test_finding_backends_imports_no_engine_and_starts_nothing() -> None:
    code = (
        "import json, sys; from perf import backends; backends.discover_backends(); from pathlib import Path; "
        f"print(json.dumps([m for m in {ENGINES!r} if m in sys.modules] + "
        "[p.name for p in Path('/proc/self/task').iterdir()][1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_a_file_kept_elsewhere_may_hold_dataclasses_of_postponed_annotations(
    tmp_path: Path,
) -> None:
    text = (Path(backends.__file__).parent / "cpu.py").read_text(encoding="utf-8")
    more = "from dataclasses import dataclass\n\n@dataclass\nclass Mine:\n    mine: str = ''\n"
    (tmp_path / "mine.py").write_text(f"from __future__ import annotations\n{text}\n{more}")
    assert backends.load_backend_file(tmp_path / "mine.py").reference
