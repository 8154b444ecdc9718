"""A device's own time beside a latency, and runs as CUDA graphs, on an engine in a GPU's place."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from perf.schema.record import Launch, LaunchKind, Mismatched, Passed, Skipped
from tests import models
from tests.asking import ROOT, Said, ask, one_line

pytestmark = pytest.mark.needs("cc", "gcc libc6-dev")
QUICK = ("-i", "zoo", "-r", "both", "-t", "4", "--launches", "2", "--warmup", "0")
CELL, GRAPH = "m::Watched", "m::Watched[cuda_graph=on]"


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tests/fakes/libcupti.c as the library that workers look for."""
    folder = tmp_path_factory.mktemp("cupti")
    source = ROOT / "tests" / "fakes" / "libcupti.c"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", folder / "libcupti.so.13", source],
        check=True,
        timeout=60,
    )
    return folder


@pytest.fixture(scope="session")
def with_driver(tmp_path_factory: pytest.TempPathFactory, stand_in: Path) -> str:
    """That folder, and one with tests/fakes/libcuda_events.c as the driver."""
    folder = tmp_path_factory.mktemp("driver")
    source = ROOT / "tests" / "fakes" / "libcuda_events.c"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", folder / "libcuda.so.1", source], check=True, timeout=60
    )
    return f"{stand_in}:{folder}"


def run(home: Path, library: Path | str, *words: str, **env: str) -> Said:
    """Run the small model of `home` on the engine in a GPU's place."""
    models.two_outputs(home / "models" / "m")
    (home / "environments.toml").write_text(
        f'drop = ["*"]\n[current]\npython = "current"\n[watched]\npython = "current"\n'
        f'backend = "{ROOT / "tests" / "fakes" / "watched.py"}"\ntargets = ["Watched"]\n'
        f'env = {{ LD_LIBRARY_PATH = "{library}" }}\n',
        encoding="utf-8",
    )
    target = () if "-e" in words else ("-e", "watched")
    return ask(home, *QUICK, *target, *words, env=env)


def watched_launches(said: Said, cell: str = CELL) -> list[Launch]:
    return [x for x in said.records[cell].launches if x.kind is LaunchKind.DEVICE]


def row(said: Said, cell: str = CELL) -> dict[str, Any]:
    return said.cells[cell]


def test_a_latency_has_the_devices_own_time_beside_it(tmp_path: Path, stand_in: Path) -> None:
    said = run(tmp_path, stand_in, WATCHED_KERNELS_NS="300")
    found = row(said)
    assert said.status == 0, said.err
    assert (found["device_ms"], found["device_busy_ms"]) == (0.0006, 0.0007)
    assert (found["device_half_range_ms"], found["device_launches"]) == (0.0, 2)
    assert (found["device_kernels"], found["device_time_source"]) == (2, "cupti")
    assert found["device_launch_p50s_ms"] == [0.0006, 0.0006]
    assert found["host_bound_pct"] == round(100 * (1 - 0.0007 / found["p50_ms"]), 1)
    launches = watched_launches(said)
    assert [x.timed for x in launches] == [None, None], "a watched run has no latency"
    assert [len(x.device_timed.kernels_ns) for x in launches if x.device_timed] == [20, 20]
    assert found["launches"] == 2, "and is no measure launch"


def test_a_host_bound_cell_says_so_and_what_may_help(tmp_path: Path, stand_in: Path) -> None:
    said = run(tmp_path, stand_in, WATCHED_KERNELS_NS="300")
    assert any(mark.startswith("host-bound ") for mark in row(said)["marks"])
    assert "what may help: --cuda_graph on, a larger batch, device-bound io (-b)" in said.out


def test_a_cell_whose_device_is_at_work_is_not_host_bound(tmp_path: Path, stand_in: Path) -> None:
    busy = run(tmp_path, stand_in, WATCHED_KERNELS_NS="900000000")
    assert row(busy)["host_bound_pct"] == 0
    assert not any(mark.startswith("host-bound ") for mark in row(busy)["marks"])


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"FAKE_CUPTI_REFUSES": "35"}, "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES (35)"),
        ({"FAKE_CUPTI_REFUSES": "39"}, "another profiler is at work in this process"),
        ({"FAKE_CUPTI_VERSION": "26"}, "is CUPTI 26, whose records have not been looked at"),
        ({"FAKE_CUPTI_DROPS": "3"}, "CUPTI lost "),
        ({"WATCHED_KERNELS_NS": "0"}, "CUPTI saw a run without a kernel"),
    ],
)
def test_where_it_cannot_be_known_it_is_empty_and_the_reason_is_noted(
    tmp_path: Path, stand_in: Path, env: dict[str, str], why: str
) -> None:
    said = run(tmp_path, stand_in, **{"WATCHED_KERNELS_NS": "300", **env})
    found = row(said)
    assert said.records[CELL].outcome == Passed()
    assert (found["device_ms"], found["host_bound_pct"], found["device_time_source"]) == (
        None,
        None,
        "",
    )
    assert [n for n in found["notes"] if n.startswith("device time: ") and why in n]
    assert len(watched_launches(said)) == 1, "it is not asked again"


def test_where_no_trace_can_be_had_events_around_a_run_tell_its_span(
    tmp_path: Path, with_driver: str
) -> None:
    said = run(tmp_path, with_driver, FAKE_CUPTI_REFUSES="35")
    found = row(said)
    assert (found["device_ms"], found["device_time_source"]) == (0.5, "events")
    assert len(watched_launches(said)) == 2
    unknown = ("device_busy_ms", "device_kernels", "host_bound_pct")
    assert [found[name] for name in unknown] == [None, None, None], "a span holds waits"
    (note,) = [n for n in found["notes"] if n.startswith("device time: ")]
    assert note.endswith("CUPTI_ERROR_INSUFFICIENT_PRIVILEGES (35); timed by events around runs")


def test_where_the_driver_refuses_too_both_reasons_are_told(
    tmp_path: Path, with_driver: str
) -> None:
    said = run(tmp_path, with_driver, FAKE_CUPTI_REFUSES="35", FAKE_CUDA_REFUSES="100")
    found = row(said)
    assert (found["device_ms"], found["device_time_source"]) == (None, "")
    (note,) = [n for n in found["notes"] if n.startswith("device time: ")]
    assert note.endswith("INSUFFICIENT_PRIVILEGES (35); CUDA refuses cuInit: no device (100)")


def test_it_can_be_left_out(tmp_path: Path, stand_in: Path) -> None:
    said = run(tmp_path, stand_in, "--no_device_time", WATCHED_KERNELS_NS="300")
    assert (row(said)["device_ms"], watched_launches(said)) == (None, [])


def test_a_graph_is_a_variant_and_its_replays_are_held_against_runs_without_it(
    tmp_path: Path, stand_in: Path
) -> None:
    said = run(tmp_path, stand_in, "--cuda_graph", "both", "-b", "both", WATCHED_KERNELS_NS="300")
    graphs = {name: found["cuda_graph"] for name, found in said.cells.items()}
    assert graphs == {
        CELL: False, GRAPH: True, "m::Watched[io=device]": False,
        "m::Watched[io=device,cuda_graph=on]": True,
    }  # fmt: skip
    assert {r.outcome for r in said.records.values()} == {Passed()}
    assert row(said, GRAPH)["notes"] == [
        "cuda graph: replays of 3 inputs were held against runs without the graph"
    ]
    assert all(found["p50_ms"] and found["device_ms"] for found in said.cells.values())


def test_a_graph_whose_inputs_are_not_copied_in_is_a_mismatch(
    tmp_path: Path, stand_in: Path
) -> None:
    said = run(tmp_path, stand_in, "--cuda_graph", "on", WATCHED_STALE="1")
    assert isinstance(said.records[GRAPH].outcome, Mismatched)
    assert row(said, GRAPH)["p50_ms"] is None


def test_what_cannot_be_captured_is_declined_in_the_engines_words(
    tmp_path: Path, stand_in: Path
) -> None:
    refusal = "CUDA failure 900: operation not permitted when stream is capturing"
    said = run(tmp_path, stand_in, "--cuda_graph", "both", WATCHED_UNCAPTURED=refusal)
    assert said.records[CELL].outcome == Passed()
    assert said.records[GRAPH].outcome == Skipped(
        f"it cannot be captured as a CUDA graph: {refusal}"
    )


def test_graphs_of_a_target_that_has_none_are_refused(tmp_path: Path, stand_in: Path) -> None:
    said = run(tmp_path, stand_in, "-e", "cpu", "--cuda_graph", "on")
    assert "no target of this run captures CUDA graphs (CPUExecutionProvider)" in one_line(said)
