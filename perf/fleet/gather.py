"""A fleet's run from its first task to the merged run, whichever engine carries the tasks out."""

import time
from pathlib import Path

from perf.fleet.dispatch import Dispatcher, Engine, ShardState, fates_by_model
from perf.fleet.fleet_request import FleetRequest
from perf.fleet.merge import describe_merge, merge_runs
from perf.fleet.program import say
from perf.request.options import BadRequestError
from perf.results import run_folder
from perf.schema import atomic_file
from perf.schema.version import stamp

OK, INCOMPLETE = 0, 1
HOUR_S = 3600.0


def prepare(request: FleetRequest) -> None:
    """Make what every shard needs, or find the same run there; raises BadRequestError, OSError."""
    asked = {"shards": request.count, "words": list(request.words)}
    path = request.root / "fleet_request.json"
    told = run_folder.read_json(path)
    if told is not None and told != asked:
        differs = next(k for k in asked if told.get(k) != asked[k])
        raise BadRequestError(
            f"run {request.run_id} was begun with other {differs} ({path}); "
            "give the same, or another --run_id"
        )
    if told is None and (request.root / "run.json").is_file():
        raise BadRequestError(
            f"run {request.run_id} exists in {request.results}; choose another --run_id"
        )
    request.folder(1).log.parent.mkdir(parents=True, exist_ok=True)
    if told is None:
        request.write_costs()
        atomic_file.write_json(path, stamp(asked))


def make_dispatcher(engine: Engine, request: FleetRequest, retries: int) -> Dispatcher:
    """Who hands shards to an engine; complete is what their folders say."""

    def is_complete(shard: int, state: ShardState) -> bool:
        folder = request.folder(shard)
        if state is ShardState.ENDED and not folder.has_begun():
            return True  # it found no cell of the plan in it
        return folder.is_complete()

    return Dispatcher(engine, request.shards, is_complete, retries, say)


def wait(dispatcher: Dispatcher, poll_s: float, wait_hours: float) -> None:
    """Until every shard is complete or given up, or for as long as a person is ready to wait."""
    deadline = time.monotonic() + wait_hours * HOUR_S
    while dispatcher.step():
        if time.monotonic() > deadline:
            say(f"{wait_hours:g} hours have passed; the tasks go on, what there is is merged")
            return
        time.sleep(poll_s)


def gather(request: FleetRequest, dispatcher: Dispatcher) -> int:
    """Merge what came back; 1 where anything is missing. Raises BadRequestError where nothing came."""
    for shard, state in dispatcher.fates.items():
        folder = request.folder(shard)
        say(f"shard {shard} {state.value}: {folder.last_error() or f'its log is {folder.log}'}")
    done = merge_runs(
        came_back(request), request.run_id, request.results,
        fates_by_model(dispatcher.fates, request.models),
    )  # fmt: skip
    *notes, last = describe_merge(done)
    for line in notes:
        say(line)
    print(last)
    strict = request.options.strict and not done.complete
    return INCOMPLETE if done.merged.missing or strict else OK


def came_back(request: FleetRequest) -> list[Path]:
    """Folders of results of the shards that have a run; raises BadRequestError where none has."""
    found = [f.results for f in map(request.folder, request.shards) if f.has_begun()]
    if not found:
        raise BadRequestError(
            f"run {request.run_id}: no shard has begun; {request.folder(request.shards[0]).log} says why"
        )
    return found
