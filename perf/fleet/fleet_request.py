"""What a fleet is asked for, whichever engine serves it: a run's own words, how many shards, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from perf.fleet.program import FleetParser
from perf.fleet.shard_folder import ShardFolder
from perf.planning.choose_models import match_names
from perf.planning.shards import assign_models
from perf.request import options as command_line
from perf.request.host_paths import read_at
from perf.request.model_list import find_sources, list_all
from perf.request.options import BadRequestError, Options, check_run_id, to_argv
from perf.request.programs import command_of
from perf.results.model_costs import read_model_costs, write_model_costs

# Where hosts are lost, 4 a node leave a fifth wave of shards behind; 8 made a run 1.09 times as long as it
# could be. More would gain little, for each shard starts anew and measures the canary twice.
SHARDS_PER_NODE = 8
OURS = ("run_id", "perf_result_path", "shard", "shard_costs", "resume", "dry_run", "strict")


@dataclass(frozen=True)
class FleetRequest:
    """A plan to be shared out."""

    options: Options
    words: tuple[str, ...]  # of the run, as every shard is given them
    results: Path
    run_id: str
    models: Mapping[int, tuple[str, ...]]  # of each shard that has any
    count: int  # of shards, those without models too
    costs: Mapping[str, float]  # seconds by model; where none is known, all count alike

    @property
    def shards(self) -> tuple[int, ...]:
        """Those that have models."""
        return tuple(self.models)

    def folder(self, shard: int) -> ShardFolder:
        """Where a shard's run is."""
        return ShardFolder(self.results, self.run_id, shard)

    @property
    def root(self) -> Path:
        """result/<run id>: the fleet's own files, the shards, and the merged run."""
        return self.results / self.run_id

    @property
    def costs_path(self) -> Path:
        """Where every shard reads the costs from."""
        return self.root / "costs.json"

    def shard_words(self, mapped: Mapping[str, str]) -> list[str]:
        """The run's words as a shard on another host is given them."""
        return [*self.words, "--shard_costs", read_at(str(self.costs_path), mapped)]

    def write_costs(self) -> None:
        """Keep the costs where every shard finds the same; raises OSError."""
        write_model_costs(self.costs, self.costs_path)


def read_request(words: Sequence[str], shards: int | None, nodes: int) -> FleetRequest:
    """Read a run's words, and share its models out; raises BadRequestError, ModelListError."""
    options = command_line.parse(words)
    require_run_of_a_plan(options)
    sources = find_sources(options.model_source, options.workspace)
    names = match_names([m.name for m in list_all(sources)], options.models)
    count = max(1, min(shards or SHARDS_PER_NODE * nodes, len(names)))
    if shards is not None and shards < 1:
        raise BadRequestError(f"--shards {shards}: use at least 1")
    results = Path(options.perf_result_path).absolute()
    costs = read_model_costs(options.shard_costs, results) if options.shard_costs else {}
    parts = assign_models(names, count, costs)
    return FleetRequest(
        options=replace(options, perf_result_path=str(results)),
        words=tuple(to_argv(words, OURS)),
        results=results,
        run_id=options.run_id,
        models={i: part for i, part in enumerate(parts, 1) if part},
        count=count,
        costs=costs,
    )


def require_run_of_a_plan(options: Options) -> None:
    """Refuse what cannot be shared out; raises BadRequestError."""
    if not options.run_id:
        raise BadRequestError(
            "--run_id is missing: all hosts work on one run, and asking again goes on with it"
        )
    check_run_id(options.run_id)
    for name in ("shard", "resume", "rerun", "list"):
        if getattr(options, name):
            raise BadRequestError(f"--{name}: a fleet shares a whole plan out; leave it out")


def make_fleet_parser(module: str, about: str, *examples: str) -> FleetParser:
    """A parser of an engine's flags, with those that every engine has."""
    prog = command_of(module)
    out = FleetParser(
        prog, f"{about} All other flags are those of a run.",
        examples=tuple(f"{prog} {x}" for x in examples),
    )  # fmt: skip
    out.add_argument("--shards", type=int, metavar="N",
                     help=f"parts of the plan (default {SHARDS_PER_NODE} for each node)")  # fmt: skip
    out.add_argument("--poll_s", type=float, default=10.0, metavar="S",
                     help="seconds between questions to the engine (default 10)")  # fmt: skip
    out.add_argument("--wait_hours", type=float, default=168.0, metavar="H",
                     help="merge what there is after this long (default 168)")  # fmt: skip
    out.add_argument("--retries", type=int, default=3, metavar="N",
                     help="how often a shard that was lost is handed in again (default 3)")  # fmt: skip
    return out
