"""How each outcome is worded: status, the predecessor's error type, exact name, stage and detail."""

from typing import assert_never

from perf.schema.codec import tag_of
from perf.schema.engine_message import lead_with_reason
from perf.schema.journal import Stage
from perf.schema.record import (
    ArtefactFailed,
    Crashed,
    EnvironmentFailed,
    FellBack,
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

PASS, FAIL, SKIPPED, NOT_RUN = "Pass", "Fail", "Skipped", "NotRun"
RUNTIME_ERROR = "runtime error"
ACCURACY_ISSUE = "result accuracy issue"
SCRIPT_ERROR = "script error"
BEFORE_THE_ENGINE = (Stage.START, Stage.PREPARE, Stage.CONVERT)


def status(outcome: Outcome) -> str:
    """One word of the predecessor's status table, and two more for what was not tried."""
    match outcome:
        case Passed():
            return PASS
        case Skipped():
            return SKIPPED
        case NotRun():
            return NOT_RUN
        case _:
            return FAIL


def error_type(outcome: Outcome) -> str:
    """The predecessor's error type: the engine's fault, wrong numbers, or ours; else what was not tried."""
    match outcome:
        case Passed():
            return ""
        case Mismatched():
            return ACCURACY_ISSUE
        case Raised(stage=s) | Crashed(stage=s) | OutOfMemory(stage=s) | TimedOut(stage=s):
            return SCRIPT_ERROR if s in BEFORE_THE_ENGINE else RUNTIME_ERROR
        case FellBack() | PrecisionNotAttained():
            return RUNTIME_ERROR
        case ArtefactFailed() | EnvironmentFailed():
            return SCRIPT_ERROR
        case Skipped():
            return "skipped"
        case NotRun():
            return "not run"
        case _:
            assert_never(outcome)


def name(outcome: Outcome) -> str:
    """The outcome's name alone: Crashed."""
    return tag_of(type(outcome))


def exact(outcome: Outcome) -> str:
    """The outcome with what tells it from others of its name: Crashed(run, SIGSEGV)."""
    match outcome:
        case Passed() | FellBack() | ArtefactFailed() | EnvironmentFailed():
            return name(outcome)
        case Skipped() | NotRun():
            return name(outcome)
        case Mismatched(output=output):
            return f"Mismatched({output})"
        case Raised(stage=s, kind=kind):
            return f"Raised({s.value}, {kind})"
        case Crashed(stage=s, signal=signal):
            return f"Crashed({s.value}, {signal})"
        case OutOfMemory(where=where, stage=s):
            return f"OutOfMemory({s.value}, {where.partition(':')[0]})"
        case TimedOut(stage=s, limit_s=limit):
            return f"TimedOut({s.value}, {limit:g} s)"
        case PrecisionNotAttained(asked=asked, share=share):
            return f"PrecisionNotAttained({asked}, {share:.1%})"
        case _:
            assert_never(outcome)


def stage(outcome: Outcome) -> str:
    """Where it happened; "" for an outcome that has no stage."""
    match outcome:
        case Raised(stage=s) | Crashed(stage=s) | OutOfMemory(stage=s) | TimedOut(stage=s):
            return s.value
        case Mismatched():
            return Stage.VALIDATE.value
        case FellBack() | PrecisionNotAttained():
            return Stage.PLACE.value
        case _:
            return ""


def reason(outcome: Outcome) -> str:
    """Why, for a person: as `detail`, an engine's own words turned so that the reason stands first."""
    match outcome:
        case Raised(kind=kind, message=message):
            return lead_with_reason(message) or kind
        case OutOfMemory(where=where):
            return lead_with_reason(where)
        case _:
            return detail(outcome)


def detail(outcome: Outcome) -> str:
    """Why, in the words of whoever knew; "" where the name says it all."""
    match outcome:
        case Passed():
            return ""
        case Mismatched(output=output, detail=text, cause=cause):
            return f"{output}: {text}" + (f"; {cause}" if cause else "")
        case Raised(kind=kind, message=message):
            return f"{kind}: {message}"
        case Crashed(signal=signal):
            return f"the process was ended by {signal}"
        case OutOfMemory(where=where):
            return where
        case TimedOut(limit_s=limit):
            return f"not done after {limit:g} s"
        case PrecisionNotAttained(asked=asked, share=share):
            return f"{share:.1%} of layers ran in {asked}"
        case ArtefactFailed(what=text):
            return text
        case FellBack(reason=text) | EnvironmentFailed(reason=text):
            return text
        case Skipped(reason=text) | NotRun(reason=text):
            return text
        case _:
            assert_never(outcome)
