"""What GitHub shows of a run: annotations as workflow commands, and the summary of a step."""

from collections.abc import Callable, Iterator, Sequence

from perf.exports.case import Case, Result, cases_of
from perf.exports.markdown import to_markdown
from perf.report.finished_run import FinishedRun

SHOWN = 10  # of each level that GitHub shows for a step
SUMMARY_BYTES = 1_000_000  # it refuses a summary over 1 MiB


def to_annotations(run: FinishedRun) -> str:
    """A command a line: an error per failure, a warning per unexpected pass, a notice for the count."""
    cases = cases_of(run)
    wrong = [c for c in cases if c.result in (Result.FAILED, Result.ERROR)]
    better = [c for c in cases if c.unexpected_pass]
    lines = [
        *_of("error", wrong, lambda c: c.message),
        *_of("warning", better, lambda c: f"unexpected pass: {c.unexpected_pass}"),
        _command("notice", f"ep-perf {run.run_id}", _counted(cases)),
    ]
    return "\n".join(lines) + "\n"


def to_step_summary(run: FinishedRun) -> str:
    """Markdown for $GITHUB_STEP_SUMMARY, cut at a line where it is larger than GitHub takes."""
    text = to_markdown(run)
    if len(text.encode("utf-8", "replace")) <= SUMMARY_BYTES:
        return text
    kept: list[str] = []
    size = 0
    for line in text.splitlines():
        size += len(line.encode("utf-8", "replace")) + 1
        if size > SUMMARY_BYTES - 200:
            break
        kept.append(line)
    return "\n".join([*kept, "", "Cut here: the whole is in the run's folder.", ""])


def _of(level: str, cases: Sequence[Case], words: Callable[[Case], str]) -> Iterator[str]:
    for case in cases[:SHOWN]:
        yield _command(level, case.id, words(case))
    if len(cases) > SHOWN:
        more = f"{len(cases) - SHOWN} more; GitHub shows {SHOWN} of a kind"
        yield _command("notice", f"{level}s", more)


def _counted(cases: Sequence[Case]) -> str:
    told = {r: sum(c.result is r for c in cases) for r in Result}
    cells = f"{len(cases)} cell{'' if len(cases) == 1 else 's'}"
    return f"{cells}: " + ", ".join(f"{n} {r.value}" for r, n in told.items() if n)


def _command(level: str, title: str, message: str) -> str:
    """`::level title=…::message`, escaped as the runner's own toolkit does."""
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
