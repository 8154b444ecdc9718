"""The benchmarks' own launches are real ones, and the bare process does the same work without us."""

from pathlib import Path

import pytest

from benchmarks import harness, isolation
from perf.schema import cell as cells
from perf.schema.record import LaunchKind
from perf.wrapper.supervisor import Supervisor
from tests import models


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    models.relu(folder / "relu")
    return harness.cell_of(
        folder / "result", "-r", "both", "-i", "zoo", "-e", "cpu", "-m", str(folder / "relu"),
        "-t", "3", "--launches", "1", "--intra_op_threads", "1",
    )  # fmt: skip


@pytest.mark.parametrize("how", ["host", "spawn"])
def test_a_launch_tells_what_it_is_made_for_and_what_it_took(
    job: Path, tmp_path: Path, how: str
) -> None:
    with Supervisor() as supervisor:
        launch = harness.Launches(supervisor, job, tmp_path, how).one()
    assert (launch.kind, launch.isolation) == (LaunchKind.MEASURE, how)
    assert launch.timed is not None
    assert len(launch.timed.samples_ns) == 3
    assert 0 < isolation._useful_s(launch) < launch.ending.wall_s


def test_the_bare_process_runs_the_same_cell(job: Path) -> None:
    told = harness.bare(job, 5, 1)
    assert len(told.samples_ns) == 5
    assert all(x > 0 for x in told.samples_ns)
    assert sum(told.samples_ns) / 1e9 < told.runs_s
    assert told.created_s > 0
    assert cells.read_cell(job).provider == "CPUExecutionProvider"


def test_a_run_without_its_one_cell_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"found 0(.|\n)*no such model list"):
        harness.cell_of(tmp_path / "result", "-m", str(tmp_path / "nothing.json"))
