"""Journal and ending folded into exactly one outcome, for any journal, torn anywhere, with any ending."""

import signal as signals
from collections.abc import Sequence
from dataclasses import dataclass, replace

from perf.schema.journal import (
    Artefact,
    Began,
    CellUnsupported,
    Compared,
    Created,
    DeviceTimed,
    Event,
    ExceptionRaised,
    Finished,
    FirstRun,
    HostMemory,
    Note,
    Placed,
    Placement,
    PrecisionEvidence,
    Prepared,
    Probed,
    Stage,
    Timed,
    Unreferenced,
    Versions,
)
from perf.schema.record import (
    Crashed,
    Ending,
    FellBack,
    KilledFor,
    Launch,
    LaunchKind,
    Mismatched,
    NotRun,
    Outcome,
    OutOfMemory,
    Passed,
    PrecisionNotAttained,
    Raised,
    Skipped,
    TimedOut,
)

DAMAGED = "FolderDamaged"
MOST_NOTES = 100  # of one launch
ATTAINED_SHARE = 0.05  # below this share of layers in the precision asked for, it was not attained


@dataclass(frozen=True)
class Expectation:
    """What the wrapper holds a worker's account against."""

    provider: str = ""  # "" : the backend has no placement to tell
    percent_mismatch: float = 0.0
    min_ep_share: float = 0.0
    precision: str = ""  # attested only where set
    most_samples: int = 0  # of one measure launch; 0: any number
    prefix: str = ""  # the program it ran under, whose end was seen in place of the worker's own


def fold(events: Sequence[Event], ending: Ending, expected: Expectation) -> Outcome:
    """Pronounce the one outcome of a launch; total and pure."""
    stage = last_stage(events)
    if ending.killed_for is not None:
        return _killed(stage, ending, ending.killed_for)
    if ending.signal is not None:
        if ending.signal == signals.SIGKILL and ending.oom_kill_delta > 0:
            return OutOfMemory("host: the kernel's out-of-memory killer", stage)
        return Crashed(stage, _signal_name(ending.signal))
    for event in events:
        if isinstance(event, ExceptionRaised):
            if event.out_of_memory:
                return OutOfMemory(f"{event.out_of_memory}: {event.message}", event.stage)
            return Raised(event.stage, event.kind, event.message)
    finished = any(isinstance(e, Finished) for e in events)
    if expected.prefix and not finished:
        what = f"{expected.prefix} ended with status {ending.status}, and the worker's account before its end"
        return Raised(stage, "NoAccount", f"{what}: output.log has what {expected.prefix} saw")
    if ending.status != 0 and not expected.prefix:  # a debugger's status is not its worker's
        return Raised(stage, "Exited", f"exit status {ending.status} without an exception told")
    if declined := next((e for e in events if isinstance(e, CellUnsupported)), None):
        return Skipped(declined.reason)
    if not finished:
        return Raised(stage, "NoAccount", "exit status 0, and the account does not reach its end")
    if doubt := find_impossible(events, expected):
        return Raised(stage, "NoAccount", f"its account cannot be: {doubt}")
    return judge_outputs(events, expected)


def find_impossible(events: Sequence[Event], expected: Expectation) -> str:
    """What no worker can have seen, if its account holds such a thing; counts and samples are all checked."""
    for event in events:
        match event:
            case Timed(samples_ns=samples) if not samples:
                return "timed runs without one"
            case Timed(samples_ns=samples) if min(samples) <= 0:
                return f"a run that took {min(samples)} ns"
            case Timed(samples_ns=samples) if 0 < expected.most_samples < len(samples):
                return f"{len(samples)} timed runs where {expected.most_samples} were asked for"
            case DeviceTimed(kernels_ns=kernels, busy_ns=busy) if doubt := _doubt_device(
                kernels, busy
            ):
                return doubt
            case Compared(mismatched=wrong, total=total) if not 0 <= wrong <= total:
                return f"{wrong} of {total} elements that differ"
            case Placed(placement) if any(n < 0 for n in placement.nodes.values()):
                return "fewer nodes than none"
            case PrecisionEvidence(layer_share=share) if not 0 <= share <= 1:
                return f"a share of {share:g} of the layers"
            case _:
                pass
    return ""


def _doubt_device(kernels: Sequence[int], busy: Sequence[int]) -> str:
    if not kernels or len(kernels) != len(busy):
        return f"{len(kernels)} runs with kernels' time, {len(busy)} with a device's"
    if min(kernels) <= 0 or any(k > b for k, b in zip(kernels, busy, strict=True)):
        return "kernels that took no time, or longer than their device was at work"
    return ""


def judge_outputs(events: Sequence[Event], expected: Expectation) -> Outcome:
    """Hold the facts of a worker that survived against what was asked of it."""
    for event in events:
        match event:
            case Placed(placement) if expected.provider:
                if reason := describe_fallback(
                    placement, expected.provider, expected.min_ep_share
                ):
                    return FellBack(reason)
            case PrecisionEvidence(precision, share) if (
                expected.precision and share < ATTAINED_SHARE
            ):
                return PrecisionNotAttained(precision, share)
            case _:
                pass
    wrong = [e for e in events if isinstance(e, Compared) and is_wrong(e, expected)]
    if wrong:
        return Mismatched(f"{wrong[0].set}/{wrong[0].output}", describe_difference(wrong[0]))
    return Passed()


def is_wrong(c: Compared, expected: Expectation) -> bool:
    """An output is wrong where it cannot be compared, or more elements differ than allowed."""
    return bool(c.problem) or c.mismatched * 100 > expected.percent_mismatch * c.total


def describe_difference(c: Compared) -> str:
    """One line on how an output differs."""
    later = f" (in the {c.timed_run} timed run; it was right when checked)" if c.timed_run else ""
    if c.problem:
        return c.problem + later
    index = ",".join(str(i) for i in c.worst_index)
    return (
        f"{c.mismatched} of {c.total} elements differ, max abs {_g(c.max_abs)}, "
        f"max rel {_g(c.max_rel)}, relative norm {_g(c.relative_norm)}, worst at [{index}]{later}"
    )


def describe_fallback(placement: Placement, provider: str, min_share: float) -> str:
    """Why this placement is a fallback; "" where it is not. A graph folded to nothing is none."""
    total = sum(placement.nodes.values())
    if not total:
        return ""
    mine = placement.nodes.get(provider, 0)
    where = ", ".join(f"{n} on {p}" for p, n in placement.nodes.items() if p != provider)
    if mine == 0:
        return f"none of {total} nodes ran on {provider} ({where})"
    if mine / total < min_share:
        return f"{mine} of {total} nodes on {provider}, less than --min_ep_share {min_share:g} ({where})"
    return ""


def last_stage(events: Sequence[Event]) -> Stage:
    """The stage a worker was in when its account ended."""
    return next((e.stage for e in reversed(events) if isinstance(e, Began)), Stage.START)


def fold_launch(
    name: str, kind: LaunchKind, events: Sequence[Event], ending: Ending, expected: Expectation
) -> Launch:
    """Gather a launch's facts beside its outcome, whatever the outcome is."""
    out = Launch(name, kind, fold(events, ending, expected), ending)
    for event in events:
        match event:
            case Created():
                out = replace(out, created=event)
            case FirstRun():
                out = replace(out, first_run=event)
            case Timed() | DeviceTimed() if not find_impossible((event,), expected):
                out = _with_times(out, event)
            case HostMemory():
                out = replace(out, host_memory=event)
            case Compared():
                out = replace(out, compared=(*out.compared, event))
            case Unreferenced():
                out = replace(out, unreferenced=out.unreferenced + 1)
            case Placed(placement):
                out = replace(out, placement=placement)
            case PrecisionEvidence():
                out = replace(out, attested=event)
            case Versions(versions):
                out = replace(out, versions={**out.versions, **versions})
            case Note() if len(out.notes) < MOST_NOTES:
                out = replace(out, notes=(*out.notes, event))
            case _:
                pass
    return out


def _with_times(out: Launch, event: Timed | DeviceTimed) -> Launch:
    match event:
        case Timed():
            return replace(out, timed=event)
        case DeviceTimed():
            return replace(out, device_timed=event)


def without_account(launch: Launch, stage: Stage, why: str) -> Launch:
    """A launch whose account cannot be believed; how it died stays, for that was seen from outside."""
    if isinstance(launch.outcome, Crashed | OutOfMemory | TimedOut | NotRun):
        return launch
    return replace(launch, outcome=Raised(stage, DAMAGED, why), timed=None)


def find_probed(events: Sequence[Event]) -> Probed | None:
    """What a probe saw last, if it told."""
    return next((e for e in reversed(events) if isinstance(e, Probed)), None)


def find_prepared(events: Sequence[Event]) -> Prepared | None:
    """What a prepare job made, if it told."""
    return next((e for e in events if isinstance(e, Prepared)), None)


def find_artifact(events: Sequence[Event]) -> Artefact | None:
    """What an artefact job made, if it told."""
    return next((e for e in events if isinstance(e, Artefact)), None)


def _killed(stage: Stage, ending: Ending, why: KilledFor) -> Outcome:
    match why:
        case KilledFor.DEADLINE:
            return TimedOut(stage, ending.limit or 0.0)
        case KilledFor.MEMORY_LIMIT:
            return OutOfMemory(f"host: --memory_limit {ending.limit or 0:g} MiB", stage)
        case KilledFor.INTERRUPT:
            return NotRun("interrupted")


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _g(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
