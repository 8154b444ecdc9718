"""The three commands: what each asks, its flags, and the exit status that a gate reads."""

import argparse
import fnmatch
import json
import math
import shutil
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from comparison import expected, load, noise, report
from comparison.cell_summary import Metric, Side
from comparison.confirm import confirm_suspects
from comparison.judge import LEAST, MEASURED, Criteria, judge_cells
from comparison.legacy_csv import canonical
from comparison.match import ACROSS, match_cells
from comparison.run_records import UnreadableError, split
from comparison.verdict import Line
from perf.report import layout
from perf.request.bad_request import BadRequestError
from perf.request.broken_pipe import ignore_broken_pipes
from perf.request.command_parser import CommandParser
from perf.request.programs import command_of
from perf.results import tables
from perf.results.columns import Value
from perf.stats.sequential_test import StoppingRule

NOTHING_WORSE, WORSE, CANNOT_COMPARE, INTERNAL_ERROR = 0, 1, 2, 3


class Question(Enum):
    """What a command asks; the value is its one-line help."""

    ALL = "What changed between two runs: speed, memory, outputs, placement, failures."
    LATENCY = "Any regressions in average latencies."
    FAILURES = "Any new failures."


ASKED = {
    Question.ALL: frozenset(Metric),
    Question.LATENCY: frozenset({Metric.MEAN, Metric.P50}),
    Question.FAILURES: frozenset({Metric.STATUS}),
}
ONLY = {"latency": Question.LATENCY, "failures": Question.FAILURES}


@dataclass(frozen=True)
class Compared:
    """What came of a comparison, ready to be told."""

    lines: tuple[Line, ...]
    remarks: tuple[str, ...]


def main(question: Question, argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 something worse, 2 cannot compare, 3 a bug."""
    with ignore_broken_pipes():
        return _answer(question, sys.argv[1:] if argv is None else argv)


def _answer(question: Question, argv: Sequence[str]) -> int:
    try:
        args = make_parser(question).parse_args(argv)
        if args.only:
            question = ONLY[args.only]
        compared = compare(question, args)
        _tell(question, compared, args)
        sys.stdout.flush()
    except (UnreadableError, BadRequestError) as e:
        print(f"cannot compare: {layout.printable(str(e))}", file=sys.stderr)
        return CANNOT_COMPARE
    except Exception:
        traceback.print_exc()
        print("internal error in the comparison; please report the lines above", file=sys.stderr)
        return INTERNAL_ERROR
    return WORSE if any(report.worse(x) for x in compared.lines) else NOTHING_WORSE


def compare(question: Question, args: argparse.Namespace) -> Compared:
    """Read both sides and judge them; raises UnreadableError where they cannot be compared."""
    _name_sides(args)
    previous, current, across = _sides(args)
    previous, current = _only(previous, args.ep), _only(current, args.ep)
    criteria = Criteria(
        metrics=ASKED[question],
        threshold=args.threshold / 100,
        fdr=args.fdr / 100,
        rule=StoppingRule(threshold=args.threshold / 100),
        paired=bool(args.ab),
        profile=_profile(),
    )
    matched = match_cells(previous, current, across)
    lines = judge_cells(matched, previous, current, criteria)
    if not lines:
        asked = ", ".join(sorted(m.value for m in criteria.metrics))
        raise UnreadableError(
            f"{previous.label} and {current.label} have nothing in common about {asked}"
        )
    if args.confirm:
        lines = confirm_suspects(
            lines, matched, _run_of(args), args.results, criteria, args.max_minutes
        )
    remarks = list(_remarks(previous, current, criteria, lines))
    if args.expected:
        lines, better = expected.apply_expected(
            lines, expected.read_expected(args.expected), current
        )
        remarks += [
            f"Unexpected pass: {b.cell} was expected to be {b.known.outcome}: {b.known.text}"
            for b in better
        ]
    return Compared(lines, tuple(remarks))


def _name_sides(args: argparse.Namespace) -> None:
    """PREV and CURRENT, as -p and -c or as words; raises UnreadableError for one that is missing."""
    given = [x for x in (args.previous, args.current) if x]
    if len(args.run) == 2 and not given and not args.ab:
        args.previous, args.current = args.run
    elif args.run or bool(args.ab) == bool(given) or len(given) == 1:
        raise UnreadableError(
            "give -p PREV and -c CURRENT, or the two alone, or --ab RUN (see --help)"
        )


def _sides(args: argparse.Namespace) -> tuple[Side, Side, tuple[str, ...]]:
    if not args.ab:
        previous = load.read_side(args.previous, args.results)
        current = load.read_side(args.current, args.results)
        return previous, current, tuple(args.across)
    found = load.find_source(args.ab, args.results)
    labels = load.ab_labels(found.path) if found.is_run else None
    if labels is None:
        raise UnreadableError(
            f"{found.path}: not an A/B run; make one with {command_of('perf.cli.benchmark_wrapper')} --ab A B"
        )
    previous, current = split(load.read_side(str(found.path), args.results), *labels)
    return previous, current, ACROSS


def _run_of(args: argparse.Namespace) -> Path:
    """The run folder whose cells --confirm asks again."""
    found = None if args.ab else load.find_source(args.current, args.results)
    if found is None or not found.is_run:
        raise UnreadableError(
            "--confirm asks a run's cells again; give a run folder as -c CURRENT"
        )
    return found.path


def _only(side: Side, eps: Sequence[str]) -> Side:
    if not eps:
        return side
    wanted = [canonical(e) for e in eps]
    kept = tuple(
        c for c in side.cells if any(fnmatch.fnmatchcase(c.target, pattern) for pattern in wanted)
    )
    if not kept:
        known = ", ".join(sorted({c.target for c in side.cells})) or "none"
        raise UnreadableError(f"{side.label}: no cell of {', '.join(eps)}; it has {known}")
    return replace(side, cells=kept)


def _profile() -> noise.Profile | None:
    try:
        return noise.load(noise.machine_id())
    except ValueError as e:
        raise UnreadableError(str(e)) from e


def _remarks(
    previous: Side, current: Side, criteria: Criteria, lines: Sequence[Line]
) -> Sequence[str]:
    out = [f"{previous.label} -> {current.label}: {report.counts(lines)}."]
    if criteria.paired:
        out.append(noise.sequential_error(criteria.profile, criteria.rule))
    elif criteria.metrics & set(MEASURED):
        out.append(noise.stored_error(criteria.profile, criteria.fdr))
    if together := report.moved_together(lines):
        out.append(together)
    for side in (previous, current):
        out += [f"{side.label}: {text}." for text in side.cannot]
    return out


def _tell(question: Question, compared: Compared, args: argparse.Namespace) -> None:
    lines = compared.lines
    if question is not Question.ALL:
        lines = tuple(x for x in lines if report.worse(x) or x.expected)
    if args.output:
        text = tables.to_csv(report.HEADER, report.rows(lines))
        try:
            args.output.write_text(text, encoding="utf-8", newline="")
        except OSError as e:
            raise UnreadableError(f"{args.output}: {e.strerror}; choose another -o") from e
    if args.json:
        rows = [
            dict(zip(report.HEADER, map(_finite, row), strict=True)) for row in report.rows(lines)
        ]
        print(
            json.dumps({"lines": rows, "remarks": compared.remarks}, indent=1, ensure_ascii=False)
        )
        return
    if args.markdown:
        print(report.markdown(lines, compared.remarks), end="")
        return
    width = shutil.get_terminal_size((100, 24)).columns
    if table := report.table(lines, width, everything=args.all):
        print("\n".join(table), end="\n\n")
    print("\n".join(layout.printable(r) for r in compared.remarks))
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
    sides = out.add_argument_group("the two sides")
    judged = out.add_argument_group("what is judged")
    told = out.add_argument_group("what is told")
    sides.add_argument("-p", "--previous", metavar="PREV", help=source)
    sides.add_argument("-c", "--current", metavar="CURRENT", help="the same")
    told.add_argument(
        "-o", "--output", metavar="CSV", type=Path, help="where verdicts are written"
    )
    sides.add_argument(
        "--ab", metavar="RUN", help="both sides of one A/B run, instead of -p and -c"
    )
    judged.add_argument(
        "--only", choices=ONLY, help="new failures alone, or slower latencies alone"
    )
    sides.add_argument(
        "--ep", nargs="+", default=[], metavar="EP", help="only these targets; globs"
    )
    judged.add_argument(
        "--threshold", "--tolerance", type=_percent, default=100 * LEAST[Metric.P50], metavar="PCT",
        help="a latency change up to this is none (default 2.5)",
    )  # fmt: skip
    judged.add_argument(
        "--fdr", type=_percent, default=1.0, metavar="PCT",
        help="of the changes told from stored runs, the share that may be false (default 1)",
    )  # fmt: skip
    judged.add_argument(
        "--across", nargs="+", default=[], choices=ACROSS, metavar="FIELD",
        help=f"this difference is the question: {', '.join(ACROSS)}",
    )  # fmt: skip
    judged.add_argument(
        "--confirm",
        action="store_true",
        help="ask suspects again, interleaved, old environment against new",
    )
    judged.add_argument(
        "--max_minutes",
        type=float,
        default=30.0,
        metavar="M",
        help="for each run that --confirm makes (default 30)",
    )
    judged.add_argument("--expected", type=Path, metavar="TOML", help="known failures")
    told.add_argument("--markdown", action="store_true", help="print for a pull request")
    told.add_argument("--json", action="store_true", help="print as JSON")
    told.add_argument("--all", action="store_true", help="show cells that stayed the same, too")
    sides.add_argument("--results", type=Path, default=Path("result"), metavar="DIR",
                     help="where run ids are looked for (default result)")  # fmt: skip
    return out


def _finite(value: Value) -> Value:
    """JSON has no numbers for inf and nan."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _percent(text: str) -> float:
    value = float(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"{text}: a percentage between 0 and 100")
    return value
