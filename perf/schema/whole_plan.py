"""What run.json says of the plan that a run is a part of, so that what other parts owe can be known."""

from dataclasses import dataclass

from perf.schema.cell import Target


@dataclass(frozen=True)
class Column:
    """What every model of a plan is asked for: a target and an option set."""

    target: Target
    variant: str = ""

    @property
    def name(self) -> str:
        """target[variant], as cells' ids end."""
        return self.target.label + (f"[{self.variant}]" if self.variant else "")


@dataclass(frozen=True)
class WholePlan:
    """A plan over all of its shards: every model in every column, less what -k leaves out."""

    digest: str  # of all that is asked, paths left out: runs of one plan share it
    models: tuple[str, ...]
    columns: tuple[Column, ...]
    select: str = ""  # -k
    shard: str = ""  # the part that this run has: 3/8; "": all of it
