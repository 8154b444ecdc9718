"""The three commands: what each asks, its flags, and the exit status that a gate reads."""

import argparse
import contextlib
import fnmatch
import shutil
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from comparison import expected, export, load, noise, overview, report
from comparison.cell_summary import Metric, RunSummary, UnreadableError
from comparison.confirm import RerunPlan, confirm_suspects
from comparison.judge import Criteria, judge_cells
from comparison.legacy_csv import canonical_target
from comparison.match import ACROSS, match_cells
from comparison.noise import MEASURED
from comparison.run_records import split_sides
from comparison.verdict import Line, verdict_word
from perf.report import layout
from perf.report.terminal import wrap_lines
from perf.request.any_terminal import any_terminal
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.exit_status import BUG, CANNOT_SERVE, OK, SOMETHING_WRONG
from perf.request.export_request import ExportRequest, parse_export, refuse_rivals
from perf.request.fail_on import PASSED, WORSE, FailOn, make_fail_on, parse_names
from perf.request.flag_types import argument
from perf.request.programs import by_ep_perf, command_of
from perf.results import tables
from perf.results.run_names import is_run
from perf.stats.sequential_test import StoppingRule


class Question(Enum):
    """What a command asks; the value is its one-line help."""

    ALL = "What changed between two runs: speed, memory, outputs, placement, failures."
    LATENCY = "Which latencies got worse between two runs."
    FAILURES = "Which cells fail in the later of two runs that did not fail in the earlier."


SCRIPTS = {
    Question.ALL: "comparison_script.py", Question.LATENCY: "compare_latency.py",
    Question.FAILURES: "new_failures.py",
}  # fmt: skip
METRICS = {
    Question.ALL: frozenset(Metric),
    Question.LATENCY: frozenset({Metric.MEAN, Metric.P50}),
    Question.FAILURES: frozenset({Metric.STATUS}),
}
ONLY = {"latency": Question.LATENCY, "failures": Question.FAILURES}


@dataclass(frozen=True)
class Comparison:
    """What came of holding one run against another."""

    lines: tuple[Line, ...]
    head: Sequence[str]  # what came of it, and what differs
    remarks: Sequence[str]
    previous: str
    current: RunSummary
    expected: Mapping[str, expected.ExpectedFailure]

    def is_red(self, fail_on: FailOn) -> bool:
        """Whether a verdict, or an outcome of the current run, is one of those that fail it."""
        if any(fail_on.is_red_verdict(verdict_word(x)) for x in self.lines if not x.expected):
            return True
        if fail_on.impossible and any(c.impossible for c in self.current.cells):
            return True
        known = self.expected
        return any(
            fail_on.is_red(c.outcome) and not (c.id in known and known[c.id].outcome == c.outcome)
            for c in self.current.cells
            if c.outcome and c.outcome not in PASSED
        )


def main(question: Question, argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status, as perf.request.exit_status has them."""
    with any_terminal():
        return _answer(question, sys.argv[1:] if argv is None else argv)


def _answer(question: Question, argv: Sequence[str]) -> int:
    try:
        args = make_parser(question).parse_args(argv)
        if args.only:
            question = ONLY[args.only]
        fail_on = make_fail_on(args.fail_on, strict=args.strict, usual=WORSE)
        refuse_rivals(args.export)
        found = compare_runs(question, args)
        _tell(question, found, args)
    except (UnreadableError, BadRequestError) as e:
        return _refuse(layout.printable(str(e)))
    except OSError as e:
        return _refuse(f"{e.filename or 'this machine'}: {e.strerror}")
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except Exception as e:
        traceback.print_exc()
        print(f"error: internal: {type(e).__name__}: {e}; please report it", file=sys.stderr)
        return BUG
    if found.is_red(fail_on):
        return SOMETHING_WRONG
    if why := report.describe_nothing_comparable(found.lines):
        return _refuse(layout.printable(why))
    return OK


def compare_at_end(
    previous: Path, current: Path, known: Path | None, fail_on: FailOn, across: Sequence[str] = ()
) -> bool:
    """Hold a run that has just ended against an earlier one, and tell it on stderr; whether that is red.

    Raises UnreadableError where they cannot be compared.
    """
    words = ["-p", str(previous), "-c", str(current)]
    words += ["--expected", str(known)] if known else []
    words += ["--across", *across] if across else []
    args = make_parser(Question.ALL).parse_args(words)
    found = compare_runs(Question.ALL, args)
    with contextlib.redirect_stdout(sys.stderr):
        _tell(Question.ALL, found, args)
    if not found.is_red(fail_on) and (why := report.describe_nothing_comparable(found.lines)):
        raise UnreadableError(why)
    return found.is_red(fail_on)


def _refuse(line: str) -> int:
    print(f"error: {line}", file=sys.stderr)
    return CANNOT_SERVE


def compare_runs(question: Question, args: argparse.Namespace) -> Comparison:
    """A line per verdict on the two runs, and remarks; raises UnreadableError where it cannot compare."""
    _name_runs(args)
    previous, current, across = _read_runs(args)
    previous, current = _keep_targets(previous, args.ep), _keep_targets(current, args.ep)
    criteria = Criteria(
        metrics=METRICS[question],
        threshold=args.threshold / 100,
        fdr=args.fdr / 100,
        rule=StoppingRule(threshold=args.threshold / 100),
        paired=bool(args.ab),
        profile=noise.read_profile(),
    )
    matched = match_cells(previous, current, across)
    lines = judge_cells(matched, previous, current, criteria)
    if not lines:
        metrics = ", ".join(sorted(m.value for m in criteria.metrics))
        raise UnreadableError(
            f"{previous.label} and {current.label} have nothing in common about {metrics}"
        )
    if args.confirm:
        plan = RerunPlan(_find_run_to_repeat(args), args.results, criteria, args.max_minutes)
        lines = confirm_suspects(lines, matched, plan)
    remarks = _list_remarks(previous, current, criteria, lines)
    judged = overview.judge_whole_cells(lines)
    head = [overview.describe_sides(previous.label, current.label, judged)]
    head += overview.list_differences(lines)
    known = expected.read_expected(args.expected) if args.expected else {}
    lines, unexpected = expected.apply_expected(lines, known, current)
    return Comparison(lines, head, remarks + unexpected, previous.label, current, known)


def _name_runs(args: argparse.Namespace) -> None:
    """PREV and CURRENT, as -p and -c or as words; raises UnreadableError for one that is missing."""
    given = [x for x in (args.previous, args.current) if x]
    if len(args.run) == 2 and not given and not args.ab:
        args.previous, args.current = args.run
    elif args.run or bool(args.ab) == bool(given) or len(given) == 1:
        raise UnreadableError(
            "give -p PREV and -c CURRENT, or the two alone, or --ab RUN (see --help)"
        )


def _read_runs(args: argparse.Namespace) -> tuple[RunSummary, RunSummary, tuple[str, ...]]:
    if not args.ab:
        previous = load.read_source(args.previous, args.results)
        return previous, load.read_source(args.current, args.results), tuple(args.across)
    path = load.find_source(args.ab, args.results)
    labels = load.read_ab_labels(path) if is_run(path) else None
    if labels is None:
        program = command_of("perf.cli.benchmark_wrapper")
        raise UnreadableError(f"{path}: not an A/B run; make one with {program} --ab A B")
    return *split_sides(load.read_source(str(path), args.results), *labels), ACROSS


def _find_run_to_repeat(args: argparse.Namespace) -> Path:
    """The run folder whose cells --confirm runs again."""
    path = None if args.ab else load.find_source(args.current, args.results)
    if path is None or not is_run(path):
        raise UnreadableError(
            "--confirm asks a run's cells again; give a run folder as -c CURRENT"
        )
    return path


def _keep_targets(run: RunSummary, eps: Sequence[str]) -> RunSummary:
    if not eps:
        return run
    patterns = [canonical_target(e) for e in eps]
    cells = tuple(c for c in run.cells if any(fnmatch.fnmatchcase(c.target, p) for p in patterns))
    if not cells:
        known = ", ".join(sorted({c.target for c in run.cells})) or "none"
        raise UnreadableError(f"{run.label}: no cell of {', '.join(eps)}; it has {known}")
    return replace(run, cells=cells)


def _list_remarks(
    previous: RunSummary, current: RunSummary, criteria: Criteria, lines: Sequence[Line]
) -> list[str]:
    out: list[str] = []
    if criteria.paired:
        out.append(noise.describe_sequential_error(criteria.profile))
    elif criteria.metrics & MEASURED.keys():
        out.append(noise.describe_stored_error(criteria.profile, criteria.fdr))
    if shift := report.describe_common_shift(lines):
        out.append(shift)
    for run in (previous, current):
        out += [f"{run.label}: {text}." for text in run.cannot]
        out += [f"{run.label}: left out: {text}." for text in run.damaged]
    return out


def _tell(question: Question, found: Comparison, args: argparse.Namespace) -> None:
    lines, head, remarks = found.lines, found.head, found.remarks
    if question is not Question.ALL:
        lines = tuple(x for x in lines if report.is_worse(x) or x.expected)
    if args.output:
        try:
            with args.output.open(
                "w", encoding="utf-8", errors="backslashreplace", newline=""
            ) as file:
                tables.write_csv(file, report.HEADER, report.make_rows(lines))
        except OSError as e:
            raise UnreadableError(f"{args.output}: {e.strerror}; choose another -o") from e
    sides = f"{found.previous} → {found.current.label}"
    for request in args.export:
        export.write_comparison(request, lines, [*head, *remarks], sides)
    if any(request.path is None for request in args.export):
        return
    width = shutil.get_terminal_size((100, 24)).columns
    print(_fit(head), end="\n\n")
    judged = overview.judge_whole_cells(lines)
    if table := overview.format_cells(judged, width, everything=args.all):
        print("\n".join(table), end="\n\n")
    print(_fit(remarks))
    if args.output:
        print(f"{len(lines)} rows in {args.output}")


def _fit(lines: Sequence[str]) -> str:
    """Lines for people, wrapped at words on a terminal."""
    return "\n".join(x for line in lines for x in wrap_lines([layout.printable(line)], sys.stdout))


def make_parser(question: Question = Question.ALL) -> CommandParser:
    """The flags of a comparison."""
    prog = command_of("comparison.__main__")
    if not by_ep_perf():  # the predecessor's scripts, each a question
        prog = f"python comparison/{SCRIPTS[question]}"
    out = CommandParser(
        prog, question.value,
        often=("-p", "-c", "-o", "--only", "--ab", "--confirm", "--threshold", "--expected", "--fail_on",
               "--export"),
        examples=(
            f"{prog} latest~1 latest          the last two runs in ./result",
            f"{prog} latest~1 latest --only failures",
            f"{prog} --ab latest              both sides of a run that was made with --ab",
        ),
    )  # fmt: skip
    source = "run folder, run id, latest, latest~1, or a CSV of ours or the predecessor's"
    out.add_argument(
        "run", nargs="*", metavar="RUN", help="the earlier and the later one, as -p and -c"
    )
    compared = out.add_argument_group("the two sides")
    judged = out.add_argument_group("what is judged")
    printed = out.add_argument_group("what is told")
    compared.add_argument("-p", "--previous", metavar="PREV", help=source)
    compared.add_argument("-c", "--current", metavar="CURRENT", help="the same")
    printed.add_argument(
        "-o", "--output", metavar="CSV", type=Path, help="where verdicts are written"
    )
    compared.add_argument(
        "--ab", metavar="RUN", help="both sides of one A/B run, instead of -p and -c"
    )
    judged.add_argument(
        "--only", choices=ONLY, help="new failures alone, or slower latencies alone"
    )
    compared.add_argument(
        "--ep", nargs="+", default=[], metavar="EP", help="only these targets; globs"
    )
    judged.add_argument(
        "--threshold", "--tolerance", type=_parse_percent, metavar="PCT",
        default=100 * MEASURED[Metric.P50].least, help="a latency change up to this is none (default 2.5)",
    )  # fmt: skip
    judged.add_argument(
        "--fdr", type=_parse_percent, default=1.0, metavar="PCT",
        help="of the changes told from stored runs, the share that may be false (default 1)",
    )  # fmt: skip
    judged.add_argument(
        "--across", nargs="+", default=[], choices=ACROSS, metavar="FIELD",
        help=f"this difference is the question: {', '.join(ACROSS)}",
    )  # fmt: skip
    judged.add_argument("--confirm", action="store_true",
                        help="ask suspects again, interleaved, old environment against new")  # fmt: skip
    judged.add_argument("--max_minutes", type=float, default=30.0, metavar="M",
                        help="for each run that --confirm makes (default 30)")  # fmt: skip
    judged.add_argument("--expected", type=Path, metavar="TOML", help="known failures")
    judged.add_argument("--fail_on", type=argument(parse_names), default=(), metavar="LIST",
                        help="what exits 1: outcomes and verdicts as printed, impossible, any or "
                             f"none (default {','.join(WORSE)})")  # fmt: skip
    judged.add_argument("--strict", action="store_true", help="as --fail_on any")
    printed.add_argument(
        "--export", type=argument(lambda text: parse_export(text, export.FORMATS)), action="append",
        default=[], metavar="FORMAT[=PATH]",
        help=f"{', '.join(export.FORMATS)}; without PATH to stdout",
    )  # fmt: skip
    for name in ("markdown", "json"):
        printed.add_argument(f"--{name}", action="append_const", dest="export", const=ExportRequest(name),
                             help=f"as --export {name}")  # fmt: skip
    printed.add_argument("--all", action="store_true", help="show cells that stayed the same, too")
    compared.add_argument("--results", type=Path, default=Path("result"), metavar="DIR",
                     help="where run ids are looked for (default result)")  # fmt: skip
    return out


def _parse_percent(text: str) -> float:
    value = float(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"{text}: a percentage between 0 and 100")
    return value
