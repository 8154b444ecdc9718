"""Measure launches: the balanced order of their rounds, and what one is asked."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from perf.core.cell import ModelFile
from perf.core.journal import Noted
from perf.core.options import Options
from perf.core.record import Launch, LaunchKind
from perf.planning.flow import WORKS, Answer, Ask, Kitchen, Progress


def rounds(
    options: Options, model: ModelFile, progress: Sequence[Progress]
) -> Iterable[tuple[int, Progress]]:
    """Rounds of one launch per living cell; each second round runs the first one's order reversed, so
    that no cell is early more often than it is late."""
    rng = random.Random(f"{options.seed}:{model.name}")
    order: list[Progress] = list(progress)
    for number in range(options.launches):
        if number % 2:
            order.reverse()
        else:
            rng.shuffle(order)
        for p in list(order):
            if p.alive:
                yield number, p


def ask(kitchen: Kitchen, p: Progress, number: int, again: int = 0) -> Ask:
    """One measure launch; `again` counts its repetitions."""
    name = f"measure_{number}" + (f"_again_{again}" if again else "")
    return Ask(
        LaunchKind.MEASURE, name, kitchen.run.cell(p.cell) / "cell.json", kitchen.run.launch(p.cell, name),
        p.cell.environment, WORKS + p.backend.preload, p.cell, alone=True, gpu=p.backend.needs_gpu,
        round=number,
    )  # fmt: skip


def noted(answer: Answer) -> Answer:
    """The answer with a note that it took a throttled launch's place."""
    launch = answer.launch
    still = "; it was throttled too" if throttled(launch) else ""
    text = f"{launch.name} took the place of a launch whose device was throttled{still}"
    return replace(answer, launch=replace(launch, notes=(*launch.notes, Noted("retried", text))))


def throttled(launch: Launch) -> bool:
    """Whether the device was held back during the timed stage."""
    counters = launch.gpu_counters
    return counters is not None and bool(counters.throttled_share)
