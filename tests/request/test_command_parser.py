"""What every program does with flags: help in two lengths, one spelling, one value once, the nearest of a typo."""

import subprocess
import sys

import pytest

from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.programs import VERBS
from tests.asking import ROOT

MODULES = sorted(
    ".".join(p.relative_to(ROOT).with_suffix("").parts)
    for pattern in ("ep_perf/*", "perf/**/*", "comparison/*", "setup_models/**/*", "benchmarks/*")
    for p in ROOT.glob(f"{pattern}.py")
    if 'if __name__ == "__main__":' in p.read_text(encoding="utf-8")
)


@pytest.fixture
def parser() -> CommandParser:
    out = CommandParser("prog", "Does it.", often=("-m",), examples=("prog a -m b",))
    out.add_argument("what", nargs="*", metavar="WHAT")
    out.add_argument("-m", "--make-it", metavar="HOW", help="how it is made")
    out.add_argument("--many", nargs="+", help="several")
    out.add_argument("--switch", action="store_true", help="on")
    return out


def test_words_and_flags_come_in_any_order(parser: CommandParser) -> None:
    given = parser.parse_args(["a", "--make-it", "x-y", "b", "--switch", "c"])
    assert (given.what, given.make_it, given.switch) == (["a", "b", "c"], "x-y", True)
    assert parser.parse_args(["--make_it=x"]).make_it == "x"


def test_a_flag_of_one_value_is_given_once_and_one_of_several_adds_up(
    parser: CommandParser,
) -> None:
    with pytest.raises(BadRequestError, match="-m is given twice, and takes one value"):
        parser.parse_args(["--make_it", "x", "-m", "x"])
    assert parser.parse_args(["-m", "x"]).make_it == "x"  # the parser forgets
    assert parser.parse_args(["--many", "a", "b", "--switch", "--many", "c"]).many == [
        "a",
        "b",
        "c",
    ]
    assert parser.parse_args(["--switch", "--switch"]).switch


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--mak_it", "x"], "unrecognized arguments: --mak_it; nearest to --mak_it is --make_it"),
        (["--swich=1"], "nearest to --swich is --switch"),
        (["--make"], "nearest to --make is --make_it"),  # never guessed from its beginning
        (["--zzz"], "unrecognized arguments: --zzz (see --help)"),
        (["-m"], "expected one argument (see --help)"),
    ],
)
def test_what_is_not_understood_is_one_line(
    parser: CommandParser, words: list[str], says: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        parser.parse_args(words)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_short_help_shows_what_most_need_and_long_help_everything(
    parser: CommandParser, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {}
    for flag in ("-h", "--help"):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args([flag])
        assert ended.value.code == 0
        told[flag] = capsys.readouterr().out
        assert told[flag].startswith("usage: prog [WHAT ...] [flags]\n\nDoes it.\n")
    assert "--make_it" in told["-h"]
    assert "--switch" not in told["-h"]
    assert "prog a -m b" in told["-h"]
    assert {"--make_it", "--switch", "--many"} <= set(told["--help"].split())


@pytest.mark.parametrize("module", MODULES)
def test_every_module_that_runs_answers_both(module: str) -> None:
    module = module.removesuffix(".__main__")
    for flag in ("-h", "--help"):
        done = subprocess.run(
            [sys.executable, "-m", module, flag], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout


def test_a_run_shows_the_ten_flags_that_most_need() -> None:
    from perf.request.options import OFTEN, make_parser

    told = make_parser().format_short_help()
    lines = told.splitlines()
    assert sum(line.startswith("  -") for line in lines) == len(OFTEN) == 10
    assert len(lines[lines.index("examples:") + 1 : -2]) == 3
    assert "seed" not in make_parser().format_help().replace("--seed", "")


def test_every_program_has_a_verb() -> None:
    runnable = {m for m in MODULES if not m.startswith(("ep_perf", "perf.worker", "benchmarks"))}
    assert runnable - {v.module for v in VERBS} <= {
        "perf.results.column_docs", "perf.cli.benchmark", "comparison.comparison_script", "comparison.compare_latency",
        "comparison.new_failures", "setup_models.half", "setup_models.shapes", "perf.wrapper.write_locks",
        "perf.fleet.shard", "perf.post.__main__", "perf.conversion.convert",
    }  # fmt: skip


def test_a_word_that_is_no_choice_is_told_the_nearest(parser: CommandParser) -> None:
    parser.add_argument("--only", choices=("latency", "failures"))
    with pytest.raises(BadRequestError) as e:
        parser.parse_args(["--only", "latensy"])
    assert "--only: invalid choice: 'latensy'; nearest is latency, of latency, failures" in str(
        e.value
    )
    with pytest.raises(BadRequestError, match="invalid choice: 'x'; use one of latency, failures"):
        parser.parse_args(["--only", "x"])
