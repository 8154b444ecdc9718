"""A vendor's first day: a plug-in library that crashes, hangs or raises as it is loaded, in a real engine."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from perf.schema.journal import Stage
from perf.schema.record import Crashed, Passed, Raised, TimedOut
from tests.asking import QUICK, Said, ask

pytestmark = pytest.mark.needs("cc", "gcc libc6-dev")

HEAD = """
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void load(void) {
  fprintf(stderr, "the vendor says hello\\n");
"""
CRASHES = HEAD + "*(volatile int *)0 = 1; }"
HANGS = HEAD + "sleep(3600); }"
IS_NO_PLUGIN = HEAD + "}"
HANGS_AT_REGISTRATION = (
    HEAD
    + "} void ReleaseEpFactory(void) {} void *CreateEpFactories(void) { sleep(3600); return 0; }"
)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str, str], str]:
    """Compiles a library; gives the words that run it as a target of this name."""

    def make(name: str, source: str) -> str:
        (tmp_path / f"{name}.c").write_text(source, encoding="ascii")
        library = tmp_path / f"{name}.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", library, tmp_path / f"{name}.c"], check=True
        )
        return f"{name}={library}:SomeExecutionProvider"

    return make


def run(home: Path, *plugins: str) -> Said:
    """The CPU EP's cell and the plug-ins', of one model."""
    names = [p.partition("=")[0] for p in plugins]
    return ask(
        home, *QUICK, "--models", "relu", "-e", *names, "cpu", "--plugin", *plugins,
        "--timeout", "register=2",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        (CRASHES, Crashed(Stage.REGISTER, "SIGSEGV")),
        (HANGS, TimedOut(Stage.REGISTER, 2.0)),
        (HANGS_AT_REGISTRATION, TimedOut(Stage.REGISTER, 2.0)),
    ],
)
def test_a_plugin_that_fails_as_it_is_loaded_has_a_typed_outcome_and_a_log(
    home: Path, plugin: Callable[[str, str], str], source: str, outcome: object
) -> None:
    said = run(home, plugin("vendor", source))
    assert said.status == 0, said.err
    record = said.records["relu::vendor"]
    assert record.outcome == outcome
    assert said.records["relu::CPUExecutionProvider"].outcome == Passed()
    log = said.run.launch(record.cell, record.launches[0].name) / "output.log"
    assert "the vendor says hello" in log.read_text(encoding="utf-8")
    assert any("the vendor says hello" in line for line in record.log_tail)


def test_a_library_that_is_no_plugin_is_raised_with_the_engines_words(
    home: Path, plugin: Callable[[str, str], str]
) -> None:
    outcome = run(home, plugin("vendor", IS_NO_PLUGIN)).records["relu::vendor"].outcome
    assert isinstance(outcome, Raised)
    assert outcome.stage is Stage.REGISTER
    assert "CreateEpFactories" in outcome.message


def test_the_list_of_targets_puts_the_reason_of_a_plugin_first_and_whole(
    home: Path, plugin: Callable[[str, str], str]
) -> None:
    said = ask(home, "--list", "--plugin", plugin("vendor", IS_NO_PLUGIN))
    (line,) = (x for x in said.out.splitlines() if x.startswith("vendor "))
    library = f"{home.parent}/vendor.so"
    assert line.partition("cannot run: ")[2] == (
        f"environment vendor: Failed to get symbol CreateEpFactories with error: {library}: undefined "
        "symbol: CreateEpFactories (its probe: Raised(register, Fail))"
    )


def test_the_list_tells_what_it_knows_while_one_hangs_and_says_whom_it_waits_for(
    home: Path, plugin: Callable[[str, str], str]
) -> None:
    plugins = [plugin("slow", HANGS), plugin("broken", CRASHES)]
    said = ask(home, "--list", "--plugin", *plugins, "--timeout", "register=3")
    assert said.status == 0
    lines = said.out.splitlines()
    cpu = next(i for i, x in enumerate(lines) if x.startswith("CPUExecutionProvider "))
    slow = next(i for i, x in enumerate(lines) if x.startswith("slow "))
    assert cpu < slow
    assert "runs here" in lines[cpu]
    assert "cannot run: environment slow: its probe: TimedOut(register, 3 s)" in lines[slow]
    assert any("Crashed(register, SIGSEGV): the vendor says hello" in x for x in lines)
    assert "waiting for environment slow: " in said.err
    assert "waiting for environment current" not in said.err
