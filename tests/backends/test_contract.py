"""What every backend owes the harness, whichever it is; those that can run here are run."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from perf import backends
from perf.backends import Backend, ProbeResult
from perf.measure import tensor_io
from perf.schema.cell import Io, Protocol
from tests import models
from tests.inprocess.asking import cell, model_file, stored_sets

ALL = backends.discover_backends()
ENGINES = ("numpy", "onnx", "onnxruntime", "torch", "tensorrt", "pynvml", "rich")
HERE = [b for b in ALL if b.provider in ort.get_available_providers() and not b.needs_gpu]


def test_target_names_and_aliases_are_unique() -> None:
    spellings = Counter(s.lower() for b in ALL for t in b.targets for s in (t.label, *t.aliases))
    assert [s for s, n in spellings.items() if n > 1] == []


def test_one_backend_serves_each_name() -> None:
    served = Counter(n for b in ALL for n in {t.name for t in b.targets})
    assert [n for n, count in served.items() if count > 1] == []


def test_the_cpu_and_the_azure_ep_run_here() -> None:
    assert {b.provider for b in HERE} >= {"CPUExecutionProvider", "AzureExecutionProvider"}


def test_finding_backends_imports_no_engine() -> None:
    code = (
        "import json, sys; from perf import backends; backends.discover_backends(); "
        f"print(json.dumps([m for m in {ENGINES!r} if m in sys.modules]))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == []


@pytest.mark.parametrize(
    "backend", [b for b in ALL if not b.serves_plugins], ids=lambda b: b.targets[0].name
)
def test_where_nothing_was_found_each_says_what_is_missing_in_one_line(backend: Backend) -> None:
    reason = backend.missing(ProbeResult())
    assert reason
    assert "\n" not in reason


@pytest.mark.parametrize("io", list(Io))
@pytest.mark.parametrize("backend", HERE, ids=lambda b: b.targets[0].name)
def test_those_that_run_here_are_right_repeat_themselves_and_give_every_sample(
    tmp_path: Path, backend: Backend, io: Io
) -> None:
    folder = models.linear(tmp_path / "m", sets=3)
    sets = stored_sets(folder, tmp_path / "o")
    feeds = [tensor_io.load_inputs(s) for s in sets]
    asked = cell(
        model_file(folder), backend.provider, io=io, options=dict(backend.default_options),
        protocol=Protocol(runs=7, warmup=1),
    )  # fmt: skip
    with backend.open(asked, tmp_path) as session:
        for one, feed in zip(sets, feeds, strict=True):
            first, again = session.infer(feed), session.infer(feed)
            assert list(first) == ["y"]
            np.testing.assert_array_equal(first["y"], again["y"])
            np.testing.assert_allclose(
                first["y"], tensor_io.load_expected(one)["y"], rtol=1e-5, atol=1e-6
            )
        placed = session.placement()
        timed = session.time(feeds, asked).timed
    assert placed is not None
    assert sum(placed.nodes.values()) > 0
    assert set(placed.host_time_us) <= set(placed.nodes)
    assert len(timed.samples_ns) == 7
    assert min(timed.samples_ns) > 0
    assert (timed.io, timed.sets, timed.warmup) == (io.value, 3, 3)
    assert timed.synchronised


@pytest.mark.parametrize("backend", HERE, ids=lambda b: b.targets[0].name)
def test_a_measure_launch_records_no_assignment_and_writes_no_profile(
    tmp_path: Path, backend: Backend
) -> None:
    folder = models.relu(tmp_path / "m")
    launch = tmp_path / "launch"
    launch.mkdir()
    asked = replace(cell(model_file(folder), backend.provider), profile=False)
    with backend.open(asked, launch) as session:
        session.infer(tensor_io.load_inputs(stored_sets(folder, tmp_path / "o")[0]))
        assert session.placement() is None
    assert list(launch.iterdir()) == []
