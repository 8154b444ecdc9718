"""The runs that are to be merged: found by their id, and held to one plan."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from perf.request.options import BadRequestError, to_argv
from perf.results import run_folder
from perf.schema import codec
from perf.schema.codec import DecodeError
from perf.schema.merged_run import MergedRun
from perf.schema.whole_plan import WholePlan

OF_A_SHARD = (
    "shard",
    "shard_costs",
    "map_path",
    "perf_result_path",
    "run_id",
    "resume",
    "host_canary",
)


@dataclass(frozen=True)
class Source:
    """One run that takes part, as its run.json describes it."""

    root: Path
    whole: WholePlan
    description: Mapping[str, Any]  # of the run, without what is its shard's own
    merged: MergedRun = field(default_factory=MergedRun)  # of a run that is a merge itself

    @property
    def shards(self) -> tuple[str, ...]:
        """The shards that are in it."""
        return (self.whole.shard,) if self.whole.shard else self.merged.shards


def find_sources(folders: Sequence[Path], run_id: str) -> tuple[list[Source], list[Path]]:
    """The runs of one id in folders of results, or that are those runs; and the folders without it.

    Raises BadRequestError for a run that is no part of a plan, NewerSchemaError.
    """
    found: list[Source] = []
    without: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise BadRequestError(
                f"{folder}: no such folder; give folders of results that hold a run"
            )
        root = folder if (folder / "run.json").is_file() else folder / run_id
        told = run_folder.read_json(root / "run.json")
        if told is None:
            without.append(folder)
        else:
            source = _read_source(root, told, run_id)
            found.append(_share_models(source, found[0]) if found else source)
    return found, without


def require_one_plan(sources: Sequence[Source]) -> None:
    """Refuse runs of different plans; raises BadRequestError with what differs first."""
    for other in sources[1:]:
        if other.whole.digest != sources[0].whole.digest:
            what = _first_difference(sources[0], other)
            raise BadRequestError(
                f"{other.root}: of another plan than {sources[0].root} ({what}); merge runs of one plan alone"
            )


def describe(sources: Sequence[Source]) -> Mapping[str, Any]:
    """One description for all, whichever order they come in."""
    return min((s.description for s in sources), key=lambda d: json.dumps(d, sort_keys=True))


def _read_source(root: Path, description: Any, run_id: str) -> Source:
    where = root / "run.json"
    if not isinstance(description, dict) or description.get("run_id") != run_id:
        raise BadRequestError(f"{where}: not of a run {run_id}; --run_id names the run to merge")
    if "plan" not in description:
        raise BadRequestError(
            f"{where}: it says nothing of its plan (a --rerun, or of an earlier version); run it again"
        )
    try:
        whole = codec.decode(WholePlan, description["plan"])
        merged = codec.decode(MergedRun, description.get("merged", {}))
    except DecodeError as e:
        raise BadRequestError(f"{where}: {e}") from e
    return Source(root, whole, _common_description(description), merged)


def _share_models(source: Source, first: Source) -> Source:
    """With the first one's list of models where it is the same: a thousand such lists would fill memory."""
    if source.whole.models != first.whole.models:
        return source
    return replace(source, whole=replace(source.whole, models=first.whole.models))


def _common_description(description: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is true of the whole plan: flags and command without those of one shard and host."""
    options = {k: v for k, v in description.get("options", {}).items() if k not in OF_A_SHARD}
    program, *words = description.get("command", [""])
    kept = {k: description[k] for k in ("label", "ab", "harness_commit") if k in description}
    return {**kept, "options": options, "command": [program, *to_argv(words, OF_A_SHARD)]}


def _first_difference(a: Source, b: Source) -> str:
    if a.whole.models != b.whole.models:
        one_sided = sorted(set(a.whole.models) ^ set(b.whole.models))
        return f"model {one_sided[0]} is in one alone" if one_sided else "models in another order"
    if a.whole.columns != b.whole.columns:
        one_sided = sorted({c.name for c in a.whole.columns} ^ {c.name for c in b.whole.columns})
        return (
            f"target {one_sided[0]} is in one alone: name targets by -e"
            if one_sided
            else "targets"
        )
    first, second = a.description["options"], b.description["options"]
    for name in first:
        if first[name] != second.get(name):
            return f"--{name}: {first[name]!r} and {second.get(name)!r}"
    return "their flags differ"
