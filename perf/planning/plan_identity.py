"""What runs of one plan have in common, whichever shard and host each of them is."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from perf.planning.plan import CANARY, HOST_CANARY, LANE_TRIAL, list_columns
from perf.planning.targets import Offer, Planned
from perf.request import cell_filter
from perf.request.flags import FLAGS
from perf.request.host_paths import PATHS, as_given
from perf.request.options import Options
from perf.schema import codec
from perf.schema.whole_plan import Column, WholePlan

# Where things lie on a host, which part of the plan it has, and how it is watched, change no question.
OF_A_HOST = frozenset(
    ("model_source", "workspace", "trtexec", "keep_cache", "env", "shard", "shard_costs", "host_canary",
     "timeout", "memory_limit", "max_minutes")
)  # fmt: skip


def describe_whole_plan(
    names: Sequence[str], offers: Sequence[Offer], planned: Sequence[Planned], options: Options
) -> WholePlan | None:
    """The plan that a run is a part of; None for --rerun, which asks cells of a run that was."""
    if options.rerun:
        return None
    columns = list_columns(offers, options)
    if options.replicas:  # of one machine's devices, which no other part of a plan knows
        columns = tuple(dict.fromkeys(Column(p.cell.target, p.cell.variant) for p in planned))
    if options.ab:
        sides = {(p.cell.target, p.cell.variant) for p in planned}
        columns = tuple(c for c in columns if (c.target, c.variant) in sides)
    asked = {
        f.name: codec.encode(_as_given(options, f.name))
        for f in FLAGS
        if f.plan and f.name not in OF_A_HOST
    }
    text = json.dumps([names, [c.name for c in columns], asked], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return WholePlan(digest, tuple(names), columns, options.select, options.shard)


def _as_given(options: Options, name: str) -> object:
    value = getattr(options, name)
    return as_given(value, options) if name in PATHS else value


def planned_columns(whole: WholePlan, model: str) -> Mapping[str, Column]:
    """The cells of one model of a whole plan, by id."""
    wanted = cell_filter.compile_filter(whole.select)
    ids = {f"{model}::{column.name}": column for column in whole.columns}
    return {cell_id: column for cell_id, column in ids.items() if wanted(cell_id)}


def is_canary(model: str) -> bool:
    """Whether a model is there to watch the machine, and no part of what was asked."""
    return model in (CANARY, HOST_CANARY, LANE_TRIAL)
