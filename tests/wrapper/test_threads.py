"""More threads than CPUs: told before the run, measured against as many as there are, told after it."""

import os
import re
from pathlib import Path

from tests.asking import ask

CPUS = len(os.sched_getaffinity(0))


def test_who_asks_for_more_threads_than_cpus_is_told_what_fewer_make_of_it(home: Path) -> None:
    asked = 4 * CPUS
    said = ask(
        home, "-i", "zoo", "--models", "relu", "-t", "20", "--launches", "2",
        "--intra_op_threads", str(asked),
    )  # fmt: skip
    assert said.status == 0, said.err
    assert f"--intra_op_threads {asked} is more than the " in said.err
    (record,) = said.records.values()
    assert [x.name for x in record.launches] == ["check", "measure_0", "measure_1"]
    (note,) = (n.text for x in record.launches for n in x.notes if n.key == "threads")
    assert re.fullmatch(
        rf"relu::CPUExecutionProvider: {asked} threads on [\d.]+ CPUs, median \S+ ms; with \d+ threads? \S+ ms "
        r"in a launch: (better take --intra_op_threads \d+|no better with fewer)",
        note,
    )
    assert note in said.out.splitlines()


def test_who_asks_for_as_many_threads_as_cpus_is_told_nothing(home: Path) -> None:
    said = ask(
        home, "-i", "zoo", "--models", "relu", "-t", "20", "--launches", "1",
        "--intra_op_threads", "1",
    )  # fmt: skip
    assert said.status == 0, said.err
    assert "intra_op_threads" not in said.err
    assert not any(p.name == "fewer_threads" for p in said.run.root.rglob("*"))
