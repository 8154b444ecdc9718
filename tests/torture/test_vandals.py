"""Workers that attack what their wrapper will read: each costs its own cell, and nothing else of the run."""

from pathlib import Path

import pytest

from perf.results import run_folder
from perf.schema.fold import DAMAGED
from perf.schema.record import Mismatched, Outcome, Passed, Raised, Record, TimedOut
from perf.schema.untrusted_tree import remove_tree
from tests.asking import ask
from tests.torture.figures import Figures
from tests.torture.vandal import (
    ACCOUNTS,
    ATTACKS,
    FILES,
    FOLDERS,
    HARMLESS,
    IN_PLACE,
    PROCESSES,
    RUN_FOLDERS,
)
from tests.torture.wrapper_run import Attempt, attack

MOST_MIB = 96
SAMPLE = (
    "journal_pipe", "journal_sparse", "output_pipe", "launch_pipe", "launch_full_folder", "cell_loop", "run_garbage",
    "launch_removed", "launch_a_link", "cell_a_file", "tmp_deep", "endless_lists", "many_events", "deep",
    "beyond_int64", "negative_time", "more_wrong_than_there_are", "half_a_character", "escaping_error",
    "traced", "siblings_stopped", "wrapper_stopped",
)  # fmt: skip
LASTING = [a for a in ATTACKS if a not in RUN_FOLDERS and not a.startswith("siblings")]


def outcomes_of(attempt: Attempt, attacks: list[str]) -> dict[str, Record]:
    """The records by attack, after all that a run under attack still owes its user."""
    said = attempt.said
    assert said.status == 0, said.err[-3000:]
    assert "Traceback" not in said.err
    assert "\x1b" not in said.out
    assert attempt.wrapper_mib < MOST_MIB
    records = {r.cell.id: r for r in run_folder.read_records(said.run)}
    assert records.pop("relu::CPUExecutionProvider").outcome == Passed()
    by_attack = {r.cell.options["attack"]: r for r in records.values()}
    assert set(by_attack) == set(attacks)
    assert len(said.table("status")) == 1
    assert len(said.cells) == len(attacks) + 1
    places = (
        "*.tmp",
        "*/*.tmp",
        "*/cells/*/*/*/*.tmp",
        "*/cells/*/*/*/*/*.tmp",
    )  # not below an attack
    assert not [f for place in places for f in said.results.glob(place)]
    return by_attack


def is_right(attack: str, outcome: Outcome) -> bool:
    """Whether an outcome tells what happened: nothing that lies or is broken passes."""
    match outcome:
        case Passed():
            return attack in HARMLESS
        case Raised(_, kind, _):
            return attack not in HARMLESS or kind in (
                "RuntimeError",
                "PermissionError",
                "OSError",
                DAMAGED,
            )
        case Mismatched():
            return attack == "worst_of_all"
        case TimedOut():
            return attack in PROCESSES or attack in ("launch_deep", "tmp_many")
        case _:
            return False


def attacked(home: Path, attacks: list[str], figures: Figures, *words: str) -> None:
    attempt = attack(home, attacks, *words)
    records = outcomes_of(attempt, attacks)
    wrong = {a: r.outcome for a, r in records.items() if not is_right(a, r.outcome)}
    figures.add("attacks", len(attacks), len(attacks) - len(wrong))
    figures.most("wrapper MiB", attempt.wrapper_mib)
    assert not wrong
    again = ask(home, "--resume", "latest")
    assert again.status == 0, again.err
    assert {r.cell.id: r.outcome for r in again.records.values()} == {
        r.cell.id: r.outcome for r in attempt.said.records.values()
    }
    remove_tree(home / "result")  # deeper than shutil's own way can go


def test_a_worker_behind_its_fence_costs_its_own_cell(home: Path, figures: Figures) -> None:
    attacked(home, list(SAMPLE), figures)


def test_a_worker_without_a_fence_costs_its_own_cell(home: Path, figures: Figures) -> None:
    attacked(home, [a for a in SAMPLE if not a.startswith("siblings")], figures, "--no_fence")


@pytest.mark.parametrize("name", ["run_removed", "inputs_removed"])
def test_what_an_unfenced_worker_takes_from_others_is_made_again(
    home: Path, figures: Figures, name: str
) -> None:
    attacked(home, [name], figures, "--no_fence")


@pytest.mark.torture
@pytest.mark.parametrize("name", sorted(RUN_FOLDERS))
def test_a_run_whose_folder_is_destroyed_goes_on(home: Path, figures: Figures, name: str) -> None:
    attacked(home, [name], figures, "--no_fence")


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "words", [("--isolation", "host"), ("--isolation", "spawn"), ("--no_fence",)]
)
def test_every_attack_costs_its_own_cell(
    home: Path, figures: Figures, words: tuple[str, ...]
) -> None:
    attacked(home, LASTING, figures, *words)


def test_the_attacks_are_of_every_kind() -> None:
    kinds = (FOLDERS, RUN_FOLDERS, ACCOUNTS, PROCESSES)
    assert len(ATTACKS) == sum(map(len, kinds)) + len(FILES) * len(IN_PLACE)
