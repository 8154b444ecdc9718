"""How long a run will take, by what its cells took in earlier runs, and by its flags where none ran."""

from collections.abc import Sequence
from pathlib import Path

from perf.history.index import open_index
from perf.planning.targets import Planned
from perf.request.bad_request import BadRequestError
from perf.request.options import Options

STARTING_S = 1.0  # a launch's imports and session, where nothing is known


def read_times(results: Path, planned: Sequence[Planned]) -> dict[str, float]:
    """Seconds that each planned cell took when it last ran here, as far as earlier runs tell."""
    try:
        with open_index(results) as index:
            known = index.times()
    except BadRequestError:
        return {}
    return {p.cell.id: known[p.cell.id] for p in planned if not p.skip and p.cell.id in known}


def estimate_s(planned: Sequence[Planned], options: Options, known: dict[str, float]) -> float:
    """Seconds that the run should take."""
    launches = options.launches if options.benchmarks else 0
    each_s = (1 + launches) * STARTING_S + launches * options.min_time
    return sum(known.get(p.cell.id, each_s) for p in planned if not p.skip)
