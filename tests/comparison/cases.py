"""Pairs of runs made by hand, one for each thing a comparison can say, with the exit status it must give."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as but

from perf.schema.journal import Stage
from perf.schema.record import Crashed, Mismatched, NotRun, Raised
from tests.comparison.runs import Made
from tests.results.hand_made import CPU

BASE = Made()
FAILS = Made(outcome=Raised(Stage.CREATE, "Fail", "no kernel"), launch_ms=())


@dataclass(frozen=True)
class Case:
    """Two runs and the exit status of `comparison_script.py` on them."""

    previous: tuple[Made, ...]
    current: tuple[Made, ...]
    status: int
    flags: tuple[str, ...] = ()


def scaled(ratio: float, made: Made = BASE) -> Made:
    """The same cell with every launch longer."""
    return but(made, launch_ms=tuple(x * ratio for x in made.launch_ms))


CASES: Mapping[str, Case] = {
    "same": Case((BASE,), (BASE,), 0),
    "slower": Case((BASE,), (scaled(1.6),), 1),
    "faster": Case((BASE,), (scaled(1 / 1.6),), 0),
    "unclear": Case((BASE,), (scaled(1.05),), 0),
    "broke": Case((BASE,), (FAILS,), 1),
    "fixed": Case((FAILS,), (BASE,), 0),
    "added": Case((BASE,), (BASE, but(BASE, model="new")), 0),
    "added_failing": Case((BASE,), (BASE, but(FAILS, model="new")), 1),
    "removed": Case((BASE, but(BASE, model="gone")), (BASE,), 0),
    "not_run_now": Case((BASE,), (Made(outcome=NotRun("interrupted"), launch_ms=()),), 0),
    "still_failing": Case(
        (FAILS,), (Made(outcome=Crashed(Stage.RUN, "SIGSEGV"), launch_ms=()),), 0
    ),
    "other_version": Case((BASE,), (but(scaled(1.6), version="1.32.0"),), 2),
    "across_version": Case(
        (BASE,), (but(scaled(1.6), version="1.32.0"),), 1, ("--across", "ep_version")
    ),
    "outputs_wrong": Case(
        (BASE,), (Made(outcome=Mismatched("y", "9 of 1000"), mismatched=9, launch_ms=()),), 1
    ),
    "outputs_worse": Case((BASE,), (but(BASE, norm=5e-5),), 1),
    "outputs_better": Case((BASE,), (but(BASE, norm=2e-6),), 0),
    "nodes_moved_off": Case((BASE,), (but(BASE, nodes=(50, 15)),), 1),
    "nodes_moved_on": Case((BASE,), (but(BASE, nodes=(65, 0)),), 0),
    "partitions_jumped": Case((BASE,), (but(BASE, partitions=9),), 1),
    "memory_larger": Case((BASE,), (but(BASE, host_mib=150.0),), 1),
    "session_slower": Case((BASE,), (but(BASE, session_s=1.2),), 1),
    "slow_quarter": Case((BASE,), (but(BASE, slow_quarter=8.0),), 1),
    "noisy_machine": Case((BASE,), (but(scaled(1.6), run_delay=0.2),), 0),
    "one_target_only": Case(
        (BASE, but(BASE, target=CPU)), (BASE, but(FAILS, target=CPU)), 0, ("--ep", "CUDA*")
    ),
}
