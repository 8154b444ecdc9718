"""Each cell that failed: where, why, by what evidence, its last words, and the command that repeats it."""

import os
from collections.abc import Sequence
from pathlib import Path

from perf.page.markup import Html, Node, isolated, tag
from perf.page.matrix import outcome
from perf.page.subject import Subject
from perf.page.wording import counted, mib
from perf.results.log_tail import COLOUR
from perf.schema import fold, outcomes
from perf.schema.fold import Expectation
from perf.schema.record import Ending, Launch, NotRun, Passed, Skipped
from perf.schema.untrusted_file import open_regular

READ = 16384  # bytes from the end of a log
LONGEST = 240  # characters of a line


def failures(subjects: Sequence[Subject], log_lines: int) -> Html | None:
    """Every failure, and below them what was not tried, by reason; None where all passed."""
    failed = [s for s in subjects if s.status == outcomes.FAIL]
    if not failed and all(s.status == outcomes.PASS for s in subjects):
        return None
    return tag(
        "section",
        tag("h2", "Failures" if failed else "Not tried", id="failures"),
        *(_failure(s, log_lines, opened=len(failed) <= 6) for s in failed),
        _not_tried(subjects, below=bool(failed)),
    )


def _failure(s: Subject, log_lines: int, *, opened: bool) -> Html:
    command = "\n".join(filter(None, (s.run.rerun(s.record), s.run.debug(s.record))))
    name = tag("h3", isolated(f"{s.model}::{s.column}"))
    log = log_of(s, log_lines)
    facts: list[tuple[str, Node]] = [
        ("Stage", outcomes.stage(s.record.outcome)),
        ("Reason", outcomes.reason(s.record.outcome)),
        ("Kind", outcomes.error_type(s.record.outcome)),
        ("Evidence", _evidence(s)),
        ("Native stack", " < ".join(s.row.native_stack)),
        ("Expected", s.expected),
        ("Log", s.row.log),
    ]
    return tag(
        "details",
        tag("summary", name, " ", outcome(s)),
        tag("dl", *(_fact(k, v) for k, v in facts if v)),
        tag("pre", "\n".join(log), tabindex=0, aria_label="Last lines of the log")
        if log
        else None,
        tag("p", tag("a", "Figures of this cell", href=f"#{s.anchor}")),
        tag(
            "pre",
            tag("code", command),
            class_="cmd",
            tabindex=0,
            aria_label="Command that repeats it",
        )
        if command
        else None,
        class_="fail",
        data_o=s.status,
        id=f"failure-{s.anchor.removeprefix('cell-')}",
        open=opened,
    )


def log_of(s: Subject, lines: int) -> list[str]:
    """The end of the log of the launch that decided, stacks of native and Python frames included.

    Where that cannot be read, what the record kept of it.
    """
    found: list[str] = []
    if s.run.folder and s.row.log and lines > len(s.record.log_tail):
        found = _end_of(s.run.folder.results / s.row.log, lines)
    return found or [line[:LONGEST] for line in s.record.log_tail[-lines:]]


def _end_of(path: Path, lines: int) -> list[str]:
    try:
        with os.fdopen(open_regular(path), "rb") as f:
            f.seek(max(0, f.seek(0, 2) - READ))
            text = f.read(READ).decode("utf-8", "replace")
    except OSError:
        return []
    told = [line.rstrip() for line in COLOUR.sub("", text).splitlines() if line.strip()]
    return [line[:LONGEST] for line in told[-lines:]]


def _fact(name: str, value: Node) -> Html:
    return tag("div", tag("dt", name), tag("dd", value))


def _evidence(s: Subject) -> str:
    """What the wrapper saw: how the process ended, and the outputs that differ."""
    launch = deciding_launch(s)
    if launch is None:
        return "no process was started for it"
    parts = [f"launch {launch.name}: {_ended(launch.ending)}"]
    allowed = Expectation(percent_mismatch=s.cell.tolerance.percent_mismatch)
    wrong = [c for c in launch.compared if fold.is_wrong(c, allowed)]
    parts += [f"{c.set}/{c.output}: {fold.describe_difference(c)}" for c in wrong[:4]]
    if len(wrong) > 4:
        parts.append(f"and {counted(len(wrong) - 4, 'more output')}")
    return "; ".join(parts)


def deciding_launch(s: Subject) -> Launch | None:
    """The launch whose outcome is the cell's, else the first that did not pass."""
    failed = [x for x in s.record.launches if not isinstance(x.outcome, Passed)]
    same = [x for x in failed if x.outcome == s.record.outcome]
    return next(iter(same or failed), None)


def _ended(e: Ending) -> str:
    how = f"signal {e.signal}" if e.signal is not None else f"exit status {e.status}"
    parts = [how if e.status is not None or e.signal is not None else "its end was not seen"]
    if e.killed_for:
        limit = "" if e.limit is None else f" {e.limit:g}"
        parts.append(
            f"killed by the wrapper for its {e.killed_for.value.replace('_', ' ')}{limit}"
        )
    if e.oom_kill_delta:
        parts.append(f"the kernel counted {counted(e.oom_kill_delta, 'out-of-memory kill')}")
    if e.peak_rss_mib is not None:
        parts.append(f"resident memory reached {mib(e.peak_rss_mib)} MiB")
    if e.wall_s:
        parts.append(f"after {e.wall_s:.1f} s")
    return ", ".join(parts)


def _not_tried(subjects: Sequence[Subject], *, below: bool) -> Html | None:
    """By reason; `below` failures it has a heading of its own."""
    reasons: dict[str, list[Subject]] = {}
    for s in subjects:
        if isinstance(s.record.outcome, (Skipped, NotRun)):
            why = f"{outcomes.name(s.record.outcome)}: {outcomes.reason(s.record.outcome)}"
            reasons.setdefault(why, []).append(s)
    if not reasons:
        return None
    items = [
        tag("li", tag("b", why), f" ({counted(len(mine), 'cell')}): ", isolated(_named(mine)))
        for why, mine in reasons.items()
    ]
    heading = tag("h3", "Not tried") if below else None
    return tag("div", heading, tag("ul", *items))


def _named(mine: Sequence[Subject], most: int = 12) -> str:
    named = ", ".join(s.cell.id for s in mine[:most])
    return named + (f" and {len(mine) - most} more" if len(mine) > most else "")
