"""What runs of one plan have in common, whichever shard and host each of them is."""

import hashlib
import json
from collections.abc import Iterator, Sequence

from perf.planning.plan import CANARY, HOST_CANARY, list_columns
from perf.planning.targets import Offer, Planned
from perf.request import cell_filter
from perf.request.flags import FLAGS
from perf.request.options import Options
from perf.schema import codec
from perf.schema.whole_plan import WholePlan

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
    if options.ab:
        sides = {p.cell.id.partition("::")[2] for p in planned}
        columns = tuple(c for c in columns if c in sides)
    asked = {
        f.name: codec.encode(getattr(options, f.name))
        for f in FLAGS
        if f.plan and f.name not in OF_A_HOST
    }
    text = json.dumps([names, columns, asked], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return WholePlan(digest, tuple(names), columns, options.select, options.shard)


def planned_ids(whole: WholePlan) -> Iterator[tuple[str, str, str]]:
    """Every cell of a whole plan: its id, model and column, models outermost."""
    wanted = cell_filter.compile_filter(whole.select)
    for model in whole.models:
        for column in whole.columns:
            if wanted(cell_id := f"{model}::{column}"):
                yield cell_id, model, column


def is_canary(model: str) -> bool:
    """Whether a model is there to watch the machine, and no part of what was asked."""
    return model in (CANARY, HOST_CANARY)
