"""--fail_on: the outcomes and verdicts that make a run or a comparison red, by the names that are printed."""

import difflib
import re
import typing
from collections.abc import Collection
from dataclasses import dataclass

from perf.schema.codec import tag_of
from perf.schema.record import Outcome, Passed

PASSED = ("Passed", "Pass")  # the predecessor's tables have the second
OUTCOMES = tuple(tag_of(kind) for kind in typing.get_args(Outcome) if kind is not Passed)
WORSE = ("Broke", "Slower", "Larger", "Added (fails)")  # verdicts that are bad news
VERDICTS = (
    *WORSE, "Faster", "Smaller", "Fixed", "Added", "Removed", "Same", "Unclear", "NotComparable",
)  # fmt: skip
SUSPECT = " (suspect)"
ANY, NONE = "any", "none"
IMPOSSIBLE = "impossible"  # a latency that cannot be true, whatever the outcome: it is withheld


@dataclass(frozen=True)
class FailOn:
    """Which outcomes and verdicts are red."""

    outcomes: frozenset[str] = frozenset()
    verdicts: frozenset[str] = frozenset()
    every_failure: bool = False  # any outcome but a pass, whatever it is called
    impossible: bool = False  # a number that cannot be true, of any outcome

    def is_red(self, outcome: str) -> bool:
        """Whether an outcome of this name is red."""
        return outcome in self.outcomes or (self.every_failure and outcome not in PASSED)

    def is_red_verdict(self, word: str) -> bool:
        """Whether a verdict is red, by the word that is printed."""
        plain = word.removesuffix(SUSPECT)
        return plain in self.verdicts or plain.partition(" ")[0] in self.verdicts


def parse_names(value: str | Collection[str]) -> tuple[str, ...]:
    """Names as they are printed, of any case, between commas; raises ValueError for one that is none."""
    words = value.split(",") if isinstance(value, str) else value
    known = {_plain(n): n for n in (*OUTCOMES, *VERDICTS, IMPOSSIBLE, ANY, NONE)}
    known |= {_plain(n + SUSPECT): n for n in ("Slower", "Larger", "Faster", "Smaller")}
    out = []
    for word in filter(None, (w.strip() for w in words)):
        if _plain(word) not in known:
            near = difflib.get_close_matches(_plain(word), known, n=1)
            nearest = f"nearest is {known[near[0]]}; " if near else ""
            names = ", ".join(dict.fromkeys(known.values()))
            raise ValueError(f"no outcome or verdict {word!r}: {nearest}use {names}")
        out.append(known[_plain(word)])
    if len(out) > 1 and NONE in out:
        raise ValueError("none stands alone")
    return tuple(out)


def make_fail_on(
    names: Collection[str], *, strict: bool = False, usual: Collection[str] = ()
) -> FailOn:
    """What is red by these names, by --strict, or, where neither is given, usually."""
    given = set(names or (() if strict else usual)) - {NONE}
    every = strict or ANY in given
    return FailOn(
        outcomes=frozenset(given & set(OUTCOMES)),
        verdicts=frozenset((given & set(VERDICTS)) | (set(WORSE) if every else set())),
        every_failure=every,
        impossible=every or IMPOSSIBLE in given,
    )


def _plain(word: str) -> str:
    return re.sub(r"[^a-z]", "", word.lower())
