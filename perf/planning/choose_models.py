"""Which models of a source a run has: those that --models names and its shard holds; only they are read."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.planning.shards import assign_models, parse_shard
from perf.request.host_paths import read_at
from perf.request.model_list import find_sources, list_all
from perf.request.options import BadRequestError, Options
from perf.results.model_costs import read_model_costs
from perf.schema.cell import ModelFile


@dataclass(frozen=True)
class ChosenModels:
    """The models of a run, and the names of all that its plan has, over all shards."""

    models: tuple[ModelFile, ...]
    names: tuple[str, ...]


def choose_models(options: Options) -> ChosenModels:
    """Models as asked for; raises ModelListError, and BadRequestError for a pattern that matches none."""
    mapped = options.map_path
    sources = find_sources([read_at(s, mapped) for s in options.model_source], options.workspace)
    listed = list_all(sources, lambda path: Path(read_at(str(path), mapped)))
    names = match_names([m.name for m in listed], options.models)
    mine = set(shard_names(names, options))
    return ChosenModels(tuple(m.load() for m in listed if m.name in mine), names)


def match_names(names: Sequence[str], globs: Sequence[str]) -> tuple[str, ...]:
    """The names that any of the patterns matches; all without patterns. Raises BadRequestError."""
    for glob in globs:
        if not any(fnmatch.fnmatchcase(name, glob) for name in names):
            known = ", ".join(names[:12])
            raise BadRequestError(f"--models {glob!r} matches none of: {known}")
    if not globs:
        return tuple(names)
    return tuple(n for n in names if any(fnmatch.fnmatchcase(n, g) for g in globs))


def shard_names(names: Sequence[str], options: Options) -> tuple[str, ...]:
    """The names that this run's shard holds; all without a shard."""
    if not options.shard:
        return tuple(names)
    shard = parse_shard(options.shard)
    return assign_models(names, shard.count, read_costs(options))[shard.number - 1]


def read_costs(options: Options) -> Mapping[str, float] | None:
    """Seconds by model that --shard_costs names; None where it is not given. Raises BadRequestError."""
    if not options.shard_costs:
        return None
    given = read_at(options.shard_costs, options.map_path)
    return read_model_costs(given, Path(options.perf_result_path))
