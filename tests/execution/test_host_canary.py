"""The fixed small model on each host: first, last and now and then, whatever becomes of the host."""

import json
import sys
from pathlib import Path

from perf.execution.host_canary import LAUNCHES
from perf.results.host_records import host_name, read_host_records
from perf.schema.record import Launch, Record, measure_launches
from tests.asking import QUICK, Said, ask, complaints, one_line

CANARY = "host_canary::CPUExecutionProvider"
WORDS = (*QUICK, "-e", "cpu", "--run_id", "r")


def order_of(record: Record) -> list[int]:
    return [x.order for x in measure_launches(record)]


def hosts_of(launches: tuple[Launch, ...]) -> list[str]:
    return [host_name(x.host) for x in launches]


def test_a_shard_measures_it_before_and_after_its_models(home: Path) -> None:
    said = ask(home, *WORDS, "--shard", "1/1", env={"EP_PERF_HOST": "n1"})
    assert said.status == 0, said.err
    records = said.records
    canary = records.pop(CANARY)
    assert len(records) == 2
    others = [o for r in records.values() for o in order_of(r)]
    first, last = order_of(canary)[:LAUNCHES], order_of(canary)[LAUNCHES:]
    assert len(last) == LAUNCHES
    assert max(first) < min(others) < max(others) < min(last)
    assert {host_name(x.host) for r in records.values() for x in r.launches} == {"n1"}
    assert {x.host for x in canary.launches} == set(read_host_records(said.run.root))
    assert said.cells[CANARY]["host"] == "n1"


def test_a_run_of_one_host_has_none_unless_it_asks(home: Path) -> None:
    assert CANARY not in ask(home, *WORDS).cells
    asked = ask(home, *QUICK, "-e", "cpu", "--host_canary", "0.0001", "--run_id", "asked")
    assert len(measure_launches(asked.records[CANARY])) == LAUNCHES * 3  # between models, too
    assert ask(home, *QUICK, "-e", "cpu", "--shard", "1/1", "--host_canary", "0", "--run_id", "no").cells.keys() == {
        "relu::CPUExecutionProvider", "linear::CPUExecutionProvider"
    }  # fmt: skip


def test_of_two_targets_on_one_device_the_first_measures_it(home: Path) -> None:
    second = ("--env", f"second={sys.executable}", "-e", "cpu", "cpu@second")
    said = ask(home, *QUICK, *second, "--run_id", "r", "--shard", "1/1")
    assert said.status == 0, said.err
    assert [c for c in said.cells if c.startswith("host_canary")] == [CANARY]
    assert "relu::CPUExecutionProvider@second" in said.cells


def test_what_it_told_outlives_a_host_and_goes_on_on_the_next(home: Path) -> None:
    first = ask(home, *WORDS, "--shard", "1/1", env={"EP_PERF_HOST": "n1"})
    lost = next(first.run.root.glob("cells/linear/*/*/record.json"))
    lost.unlink()  # as if n1 had died while it measured linear: its launches are there
    then = ask(home, "--resume", "r", env={"EP_PERF_HOST": "n2"})
    assert then.status == 0, then.err
    assert hosts_of(measure_launches(then.records[CANARY])) == ["n1"] * 6 + ["n2"] * 6
    assert len(read_host_records(then.run.root)) == 2


def test_a_cell_that_another_host_began_is_measured_by_one_host_alone(home: Path) -> None:
    first = ask(home, *WORDS, env={"EP_PERF_HOST": "n1"})
    kept = first.records["relu::CPUExecutionProvider"]
    lost = next(first.run.root.glob("cells/linear/*/*/record.json"))
    lost.unlink()
    then = ask(home, "--resume", "r", env={"EP_PERF_HOST": "n2"})
    assert then.status == 0, then.err
    assert then.records["relu::CPUExecutionProvider"] == kept
    assert set(hosts_of(then.records["linear::CPUExecutionProvider"].launches)) == {"n2"}
    assert {c: r["host"] for c, r in then.cells.items()} == {
        "relu::CPUExecutionProvider": "n1", "linear::CPUExecutionProvider": "n2"
    }  # fmt: skip


def test_a_shard_without_models_is_no_mistake(home: Path) -> None:
    said = empty(home)
    assert (said.status, complaints(said.err)) == (0, "")
    assert said.out == "shard 2/9 has no cell of this plan; nothing to run\n"
    assert not said.results.exists()


def empty(home: Path) -> Said:
    return ask(home, *WORDS, "--shard", "2/9")


def test_a_shard_says_which_plan_it_is_of(home: Path) -> None:
    plans = []
    for i in (2, 3):
        words = (*QUICK, "-e", "cpu", "--shard", f"{i}/3", "--host_canary", "0")
        said = ask(home, *words, out=f"shard_{i}")
        assert len(said.cells) == 1
        plans.append(json.loads((said.run.root / "run.json").read_text())["plan"])
    assert plans[0]["models"] == ["linear", "relu"]
    assert [c["target"]["label"] for c in plans[0]["columns"]] == ["CPUExecutionProvider"]
    assert [p.pop("shard") for p in plans] == ["2/3", "3/3"]
    assert plans[0] == plans[1]


def test_the_models_of_a_shard_may_not_change_in_a_resumed_run(home: Path) -> None:
    ask(home, *WORDS, "--shard", "1/1", "--host_canary", "0")
    said = ask(home, "--resume", "r", "--shard", "1/2")
    assert said.status == 2
    assert "--shard '1/2' differs from '1/1'" in one_line(said)
