"""Several devices: models spread over them, replicas on each, and lanes that measure on all at once."""

import itertools
import re
from pathlib import Path

import pytest

from perf.schema.record import Launch, Passed, Record, measure_launches
from perf.wrapper.supervisor import TICK_S
from tests import models
from tests.asking import ROOT, Said, ask, one_line

BOARDS = {
    "PYTHONPATH": str(ROOT / "tests" / "fakes" / "nvml"), "CUDA_VISIBLE_DEVICES": "0,1",
    "FAKE_NVML_BOARDS": "2",
}  # fmt: skip
ENVIRONMENT = f"""drop = ["*"]
[current]
python = "current"
[boarded]
python = "current"
backend = "{ROOT / "tests" / "fakes" / "boarded.py"}"
targets = ["Boarded"]
"""


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    """Two models, and an engine in a GPU's place on a machine of two boards."""
    models.two_outputs(tmp_path / "models" / "a")
    models.relu(tmp_path / "models" / "b")
    (tmp_path / "environments.toml").write_text(ENVIRONMENT, encoding="utf-8")
    return tmp_path


def run(home: Path, *words: str, **env: str) -> Said:
    quick = ("-i", "zoo", "-t", "4", "--launches", "3", "--warmup", "0")
    target = () if "-e" in words or "--ab" in words else ("-e", "boarded")
    return ask(home, *quick, *target, *words, env={**BOARDS, **env})


def by_board(said: Said) -> dict[str, list[Launch]]:
    """Measure launches of each board, in the order they began."""
    found: dict[str, list[Launch]] = {}
    for record in said.records.values():
        assert record.outcome == Passed(), record
        found.setdefault(record.cell.gpu, []).extend(measure_launches(record))
    return {gpu: sorted(mine, key=lambda x: x.began_s) for gpu, mine in found.items()}


def overlap(one: Launch, other: Launch) -> bool:
    first, second = sorted((one, other), key=lambda x: x.began_s)
    return second.began_s < first.began_s + first.ending.wall_s


def cores(record: Record) -> set[int]:
    return set(record.cell.protocol.affinity)


def test_lanes_measure_on_every_board_at_once_and_on_each_one_launch_at_a_time(
    boards: Path,
) -> None:
    said = run(boards, "--devices", "0,1", "--lanes", "always", "-e", "boarded", "cpu")
    assert said.status == 0, said.err
    lanes = by_board(said)
    alone = lanes.pop("")  # the CPU's cells have no board, and nothing beside them
    assert {gpu: len(mine) for gpu, mine in lanes.items()} == {"GPU-0000": 3, "GPU-1000": 3}
    for mine in (*lanes.values(), alone):
        assert not any(overlap(x, y) for x, y in itertools.pairwise(mine))
    firsts = [mine[0] for mine in lanes.values()]
    assert overlap(*firsts)
    assert all(x.accompanied for x in firsts)
    assert not any(x.accompanied for x in alone)
    others = [x for mine in lanes.values() for x in mine]
    assert not any(overlap(x, y) for x in alone for y in others)
    told = {c["cell"]: c["accompanied_launches"] for c in said.cells.values()}
    assert told["a::CPUExecutionProvider"] == 0
    assert told["a::Boarded"] >= 1


def test_lanes_have_cores_of_their_own_and_engines_keep_to_them(boards: Path) -> None:
    said = run(boards, "--devices", "0,1", "--lanes", "always")
    first, second = said.records["a::Boarded"], said.records["b::Boarded"]
    assert {first.cell.gpu, second.cell.gpu} == {"GPU-0000", "GPU-1000"}
    assert cores(first)
    assert cores(second)
    assert not cores(first) & cores(second)
    assert [len(cores(first))] == [len(cores(second))]
    for record in (first, second):
        assert {x.timed.cpus for x in record.launches if x.timed} == {len(cores(record))}


def test_lanes_may_be_measured_in_turn(boards: Path) -> None:
    said = run(boards, "--devices", "0,1", "--lanes", "never")
    everything = sorted(
        (x for mine in by_board(said).values() for x in mine), key=lambda x: x.began_s
    )
    assert len(everything) == 6
    assert not any(overlap(x, y) for x, y in itertools.pairwise(everything))
    assert not any(x.accompanied for x in everything)
    assert all(cores(r) for r in said.records.values())


def test_where_devices_slow_each_other_they_are_measured_in_turn(boards: Path) -> None:
    shared = boards / "one_at_a_time"
    shared.touch()
    said = run(
        boards, "--devices", "0,1", "--lanes", "-r", "benchmark", BOARDED_SHARES=str(shared)
    )
    assert said.status == 0, said.err
    (line,) = [x for x in said.out.splitlines() if x.startswith("lanes: ")]
    assert re.search(r"device=[01] while another (starts|runs) .*\d % in \d+ pairs", line), line
    assert "so devices are measured in turn" in line
    mine = [said.records[c] for c in ("a::Boarded", "b::Boarded")]
    assert not any(x.accompanied for r in mine for x in measure_launches(r))
    trial = {r.cell.variant: r for r in said.records.values() if r.cell.model.name == "lane_trial"}
    assert set(trial) == {"device=0", "device=1"}
    by_name = {x.name: x for x in measure_launches(trial["device=0"])}
    assert by_name["long"].accompanied
    assert not by_name["measure_0"].accompanied


def test_a_cell_may_have_a_replica_on_each_device(boards: Path) -> None:
    said = run(boards, "--devices", "0,1", "--replicas", "--models", "a", "-e", "boarded", "cpu")
    assert said.status == 0, said.err
    assert {r.cell.id: r.cell.gpu for r in said.records.values()} == {
        "a::Boarded[device=0]": "GPU-0000", "a::Boarded[device=1]": "GPU-1000",
        "a::CPUExecutionProvider": "",
    }  # fmt: skip


def test_replicas_are_compared_as_two_sides(boards: Path) -> None:
    sides = ("boarded[device=0]", "boarded[device=1]")
    words = ("--replicas", "--devices", "0,1", "--models", "a", "--ab", *sides, "--launches", "7")
    said = run(boards, *words)
    assert said.status == 0, said.err
    first, second = (said.records[f"a::Boarded[device={i}]"] for i in (0, 1))
    assert (first.cell.gpu, second.cell.gpu) == ("GPU-0000", "GPU-1000")
    assert len(measure_launches(first)) == len(measure_launches(second)) >= 5
    assert "Boarded[device=1]" in said.out


def test_counters_of_a_device_are_read_seldom_while_all_but_the_first_launch_is_timed(
    boards: Path,
) -> None:
    shared = boards / "file"  # so that a run takes 9 ms
    shared.touch()
    words = ("-r", "benchmark", "-t", "150", "--models", "a")
    said = run(boards, *words, BOARDED_SHARES=str(shared))
    assert said.status == 0, said.err
    first, *rest = (x.gpu_counters for x in measure_launches(said.records["a::Boarded"]))
    assert first
    assert len(rest) == 2
    for counters in rest:
        assert counters
        assert 1 <= counters.samples <= counters.window_s / TICK_S + 1
        assert first.samples > counters.samples


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--lanes"], "--lanes needs two devices or more, and there are 1 to use: --devices 0,1"),
        (["--replicas"], "--replicas needs two devices or more, and there are 1 to use"),
        (
            ["--devices", "0,1", "--lanes", "--cpu_affinity", "0"],
            "--lanes: 2 lanes need as many whole cores, and this process may use 1",
        ),
        (
            ["--devices", "0,1", "--replicas", "--lanes", "always", "--ab", "boarded[device=0]", "boarded[device=1]"],
            "--ab launches both sides in turn, and --lanes beside each other",
        ),
        (
            ["--devices", "0,1", "--replicas", "--shard", "1/2"],
            "--replicas is of one machine's devices, and --shard of many machines",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_line(boards: Path, words: list[str], why: str) -> None:
    said = run(boards, *words)
    assert said.status == 2
    assert why in one_line(said)
