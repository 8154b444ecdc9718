"""The three commands: what each asks, its flags, and the exit status that a gate reads."""

import argparse
import fnmatch
import json
import shutil
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path

from comparison import expected, load, noise, overview, report
from comparison.cell_summary import Metric, RunSummary, UnreadableError
from comparison.confirm import RerunPlan, confirm_suspects
from comparison.judge import Criteria, judge_cells
from comparison.legacy_csv import canonical_target
from comparison.match import ACROSS, match_cells
from comparison.noise import MEASURED
from comparison.run_records import split_sides
from comparison.verdict import Line
from perf.report import layout
from perf.request.any_terminal import any_terminal
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.programs import command_of
from perf.results import tables
from perf.stats.sequential_test import StoppingRule

NOTHING_WORSE, WORSE, CANNOT_COMPARE, INTERNAL_ERROR = 0, 1, 2, 3


class Question(Enum):
    """What a command asks; the value is its one-line help."""

    ALL = "What changed between two runs: speed, memory, outputs, placement, failures."
    LATENCY = "Any regressions in average latencies."
    FAILURES = "Any new failures."


METRICS = {
    Question.ALL: frozenset(Metric),
    Question.LATENCY: frozenset({Metric.MEAN, Metric.P50}),
    Question.FAILURES: frozenset({Metric.STATUS}),
}
ONLY = {"latency": Question.LATENCY, "failures": Question.FAILURES}


def main(question: Question, argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 something worse, 2 cannot compare, 3 a bug."""
    with any_terminal():
        return _answer(question, sys.argv[1:] if argv is None else argv)


def _answer(question: Question, argv: Sequence[str]) -> int:
    try:
        args = make_parser(question).parse_args(argv)
        if args.only:
            question = ONLY[args.only]
        lines, head, remarks = compare_runs(question, args)
        _print_report(question, lines, head, remarks, args)
    except (UnreadableError, BadRequestError) as e:
        print(f"cannot compare: {layout.printable(str(e))}", file=sys.stderr)
        return CANNOT_COMPARE
    except Exception:
        traceback.print_exc()
        print("internal error in the comparison; please report the lines above", file=sys.stderr)
        return INTERNAL_ERROR
    if any(report.is_worse(x) for x in lines):
        return WORSE
    if why := report.describe_nothing_comparable(lines):
        print(f"cannot compare: {layout.printable(why)}", file=sys.stderr)
        return CANNOT_COMPARE
    return NOTHING_WORSE


def compare_runs(
    question: Question, args: argparse.Namespace
) -> tuple[tuple[Line, ...], list[str], list[str]]:
    """A line per verdict on the two runs, what came of it and what differs, and remarks.

    Raises UnreadableError where it cannot compare.
    """
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
    found = overview.judge_whole_cells(lines)
    head = [overview.describe_sides(previous.label, current.label, found)]
    head += overview.list_differences(lines)
    if args.expected:
        known = expected.read_expected(args.expected)
        lines, unexpected = expected.apply_expected(lines, known, current)
        remarks += unexpected
    return lines, head, remarks


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
    labels = load.read_ab_labels(path) if load.is_run(path) else None
    if labels is None:
        program = command_of("perf.cli.benchmark_wrapper")
        raise UnreadableError(f"{path}: not an A/B run; make one with {program} --ab A B")
    return *split_sides(load.read_source(str(path), args.results), *labels), ACROSS


def _find_run_to_repeat(args: argparse.Namespace) -> Path:
    """The run folder whose cells --confirm runs again."""
    path = None if args.ab else load.find_source(args.current, args.results)
    if path is None or not load.is_run(path):
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


def _print_report(
    question: Question,
    lines: Sequence[Line],
    head: Sequence[str],
    remarks: Sequence[str],
    args: argparse.Namespace,
) -> None:
    if question is not Question.ALL:
        lines = tuple(x for x in lines if report.is_worse(x) or x.expected)
    if args.output:
        text = tables.to_csv(report.HEADER, report.make_rows(lines))
        try:
            args.output.write_text(text, encoding="utf-8", newline="")
        except OSError as e:
            raise UnreadableError(f"{args.output}: {e.strerror}; choose another -o") from e
    if args.json:
        rows = [zip(report.HEADER, row, strict=True) for row in report.make_rows(lines)]
        plain = [{k: tables.spell_not_finite(v) for k, v in row} for row in rows]
        print(
            json.dumps(
                {"lines": plain, "remarks": [*head, *remarks]}, indent=1, ensure_ascii=False
            )
        )
        return
    if args.markdown:
        print(
            overview.format_markdown(overview.judge_whole_cells(lines), [*head, *remarks]), end=""
        )
        return
    width = shutil.get_terminal_size((100, 24)).columns
    print("\n".join(map(layout.printable, head)), end="\n\n")
    found = overview.judge_whole_cells(lines)
    if table := overview.format_cells(found, width, everything=args.all):
        print("\n".join(table), end="\n\n")
    print("\n".join(layout.printable(r) for r in remarks))
    if args.output:
        print(f"{len(lines)} rows in {args.output}")


def make_parser(question: Question = Question.ALL) -> CommandParser:
    """The flags of a comparison."""
    prog = command_of("comparison.__main__")
    out = CommandParser(
        prog, question.value,
        often=("-p", "-c", "-o", "--only", "--ab", "--confirm", "--threshold", "--expected", "--markdown",
               "--json"),
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
    printed.add_argument("--markdown", action="store_true", help="print for a pull request")
    printed.add_argument("--json", action="store_true", help="print as JSON")
    printed.add_argument("--all", action="store_true", help="show cells that stayed the same, too")
    compared.add_argument("--results", type=Path, default=Path("result"), metavar="DIR",
                     help="where run ids are looked for (default result)")  # fmt: skip
    return out


def _parse_percent(text: str) -> float:
    value = float(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"{text}: a percentage between 0 and 100")
    return value
