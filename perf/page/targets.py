"""The figures of a model's targets, with the digits of cells.csv: a row per cell, where links arrive."""

from perf.page.markup import Node, tag
from perf.page.matrix import gain_text, outcome
from perf.page.sheet import Column, Sheet
from perf.page.subject import Subject
from perf.page.wording import exact, percent
from perf.report.sections import format_factors
from perf.schema import outcomes


def _outcome(s: Subject) -> Node:
    if s.status != outcomes.FAIL:
        return outcome(s)
    return tag("a", outcome(s), href=f"#failure-{s.anchor.removeprefix('cell-')}")


def _counts(s: Subject) -> str:
    if s.latency is None:
        return ""
    launches, samples = s.latency.spread.launches, s.latency.summary.n
    each, left = divmod(samples, launches)
    return f"{launches} × {each}" if not left else f"{launches}, {samples} in all"


def _gain(s: Subject) -> str:
    if s.gain is None or s.gain.interval is None:
        return ""
    return f"{gain_text(s)} {format_factors(s.gain)}"


def _placed(s: Subject) -> str:
    row = s.row
    if row.total_ops is None:
        return row.placement_source
    if row.ops_on_ep is None:
        return ""
    share = "" if row.ratio_of_ops_on_ep is None else f" ({percent(row.ratio_of_ops_on_ep)})"
    return f"{row.ops_on_ep} of {row.total_ops} nodes{share}"


def _conditions(s: Subject) -> str:
    row = s.row
    parts = [f"io {row.io}", row.math_mode]
    if row.attested_layer_share is not None:
        parts.append(f"{percent(row.attested_layer_share)} of layers in {row.precision}")
    if row.check and row.check != "checked":
        parts.append(row.check)
    return ", ".join(parts)


def _remarks(s: Subject) -> str:
    parts = [*s.row.marks, *s.row.notes]
    if s.unexpected_pass:
        parts.append(f"unexpected pass: {s.unexpected_pass}")
    return "; ".join(parts)


TARGETS = Sheet(
    "targets",
    "Target (times in ms)",
    (
        Column("outcome", _outcome),
        Column("p50", lambda s: exact(s.row.p50_ms)),
        Column("mean", lambda s: exact(s.row.mean_ms)),
        Column("std dev", lambda s: exact(s.row.stdev_ms)),
        Column("fastest", lambda s: exact(s.row.min_ms)),
        Column("p90", lambda s: exact(s.row.p90_ms)),
        Column("p95", lambda s: exact(s.row.p95_ms)),
        Column("p99", lambda s: exact(s.row.p99_ms)),
        Column("slowest", lambda s: exact(s.row.max_ms)),
        Column("± of launches", lambda s: exact(s.row.launch_half_range_ms)),
        Column("launches × runs", _counts),
        Column("than the CPU EP", _gain, words=True),
        Column("on the EP", _placed, words=True),
        Column("conditions", _conditions, words=True),
        Column("remarks", _remarks, words=True),
    ),
    anchored=True,
)
