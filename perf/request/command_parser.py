"""The one parser behind every program: what help shows, how flags are spelled and how they are refused."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import perf
from perf.request.bad_request import BadRequestError
from perf.request.exit_status import format_exit_statuses
from perf.request.locations import read_commit


class CommandParser(argparse.ArgumentParser):
    """Hyphens and underscores in long flags are one; what it refuses is one line, a BadRequestError.

    -h shows what most people need, --help everything. A flag that takes one value is given once.
    """

    def __init__(
        self, prog: str, about: str, *, often: Sequence[str] = (), examples: Sequence[str] = (),
        epilog: str = "",
    ) -> None:  # fmt: skip
        super().__init__(
            prog=prog, description=about, epilog=epilog or None, allow_abbrev=False, add_help=False
        )
        self._often, self._examples = frozenset(often), examples
        self._given: set[str] = set()
        self.allows_repeats = (
            False  # for words that were accepted when a flag might be given twice
        )
        self.register("action", None, _StoreOnce)
        self.register("action", "store", _StoreOnce)
        told: dict[str, Any] = {"nargs": 0, "default": argparse.SUPPRESS}
        self.add_argument("-h", action=_ShortHelp, help="the flags that most people need", **told)
        self.add_argument("--help", action="help", help="all flags")
        self.add_argument("--version", action=_Version, help="and the commit", **told)

    def add_argument(self, *names: Any, **keywords: Any) -> argparse.Action:
        """As argparse's, with underscores for hyphens; uses of a flag that takes several values add up."""
        return super().add_argument(*underscored(names), **_adding_up(names, keywords))

    def add_argument_group(self, *args: Any, **keywords: Any) -> "_Group":
        """As argparse's, whose flags are spelled and add up as the parser's own."""
        group = _Group(self, *args, **keywords)
        self._action_groups.append(group)
        return group

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """What a command line says; raises BadRequestError, which names the flag nearest to a typo."""
        self.begin()
        given, unknown = self.parse_known_intermixed_args(
            underscored(sys.argv[1:] if args is None else args), namespace
        )
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._nearest(unknown)}")
        return given

    def begin(self) -> None:
        """Before each command line: no flag has been given, and the usage names what is no flag."""
        self._given.clear()
        words = [
            self._get_formatter()._format_args(a, a.dest.upper())
            for a in self._get_positional_actions()
        ]
        self.usage = " ".join(["%(prog)s", *words, "[flags]"])

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise BadRequestError(f"{message} (see --help)")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse's, whose refusal names the choice nearest to a typo first."""
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            near = difflib.get_close_matches(str(value), known, n=1)
            nearest = f"nearest is {near[0]}, of" if near else "use one of"
            raise argparse.ArgumentError(
                action, f"invalid choice: {str(value)!r}; {nearest} {', '.join(known)}"
            )

    def format_help(self) -> str:
        """All flags, and what the exit status means."""
        return f"{super().format_help()}\n{format_exit_statuses()}"

    def format_short_help(self) -> str:
        """The sentence, the flags that most people need, the examples."""
        shown = self._get_formatter()
        shown.add_text(self.description)
        shown.start_section("flags")
        own = [a for a in self._actions if a.help is not argparse.SUPPRESS]
        shown.add_arguments(
            [a for a in own if not self._often or self._often & {*a.option_strings}]
        )
        shown.end_section()
        examples = "".join(f"  {x}\n" for x in self._examples)
        more = f"\nexamples:\n{examples}" if examples else ""
        return (
            f"{self.format_usage()}\n{shown.format_help()}{more}\nAll flags: {self.prog} --help\n"
        )

    def once(self, flag: str, option: str) -> None:
        """Refuse the second use of a flag that takes one value."""
        if flag in self._given and not self.allows_repeats:
            self.error(f"{option} is given twice, and takes one value: leave out one")
        self._given.add(flag)

    def _nearest(self, unknown: Sequence[str]) -> str:
        for word in (w.partition("=")[0] for w in unknown if w.startswith("-")):
            known = self._option_string_actions
            other_case = [option for option in known if option.lower() == word.lower()]
            if near := other_case or difflib.get_close_matches(word, known, n=1):
                return f"; nearest to {word} is {near[0]}"
        return ""


def underscored(words: Sequence[Any]) -> list[Any]:
    """Hyphens in the names of long flags as underscores; values, and what follows `--`, are left alone."""
    out = list(words)
    for at, word in enumerate(out):
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            out[at] = "--" + name[2:].replace("-", "_") + equals + value
    return out


def _adding_up(names: Sequence[Any], keywords: dict[str, Any]) -> dict[str, Any]:
    several = keywords.get("nargs") == "+" and str(names[0]).startswith("-")
    return {"action": "extend", "default": [], **keywords} if several else keywords


class _Group(argparse._ArgumentGroup):
    def add_argument(self, *names: Any, **keywords: Any) -> argparse.Action:
        return super().add_argument(*underscored(names), **_adding_up(names, keywords))


class _StoreOnce(argparse._StoreAction):
    def __call__(
        self,
        parser: Any,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if option_string:
            parser.once(self.dest, option_string)
        super().__call__(parser, namespace, values, option_string)


class _ShortHelp(argparse.Action):
    def __call__(self, parser: Any, *_: Any) -> None:
        sys.stdout.write(parser.format_short_help())
        parser.exit()


class _Version(argparse.Action):
    def __call__(self, parser: Any, *_: Any) -> None:
        print(describe_version())
        parser.exit()


def describe_version() -> str:
    """What --version says: the release, and the commit where it is known."""
    return " ".join(filter(None, ("ep-perf", perf.__version__, read_commit())))
