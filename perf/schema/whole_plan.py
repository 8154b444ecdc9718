"""What run.json says of the plan that a run is a part of, so that what other parts owe can be known."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WholePlan:
    """A plan over all of its shards: every model on every column, less what -k leaves out."""

    digest: str  # of all that is asked, paths left out: runs of one plan share it
    models: tuple[str, ...]
    columns: tuple[str, ...]  # target[variant]
    select: str = ""  # -k
    shard: str = ""  # the part that this run has: 3/8; "": all of it
