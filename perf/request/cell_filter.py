"""The small language of -k: words that a cell's id contains, joined by and, or, not and parentheses."""

import re
from collections.abc import Callable

from perf.request.options import BadRequestError

Matches = Callable[[str], bool]
MOST_NESTED = 100  # parentheses and nots within each other
_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")


def compile_filter(text: str) -> Matches:
    """Compile an expression to a predicate on ids; raises BadRequestError."""
    left = _TOKEN.findall(text)[::-1]  # the next token is the last
    if not left:
        return lambda _id: True
    parsed = _any_of(left, text, 0)
    if left:
        raise BadRequestError(
            f"-k {_shown(text)}: nothing joins {left[-1]!r} to what stands before it"
        )
    return parsed


def _any_of(left: list[str], text: str, depth: int) -> Matches:
    terms = [_all_of(left, text, depth)]
    while left and left[-1] == "or":
        left.pop()
        terms.append(_all_of(left, text, depth))
    return lambda cell_id: any(term(cell_id) for term in terms)


def _all_of(left: list[str], text: str, depth: int) -> Matches:
    terms = [_one(left, text, depth)]
    while left and left[-1] == "and":
        left.pop()
        terms.append(_one(left, text, depth))
    return lambda cell_id: all(term(cell_id) for term in terms)


def _one(left: list[str], text: str, depth: int) -> Matches:
    if depth > MOST_NESTED:
        raise BadRequestError(f"-k {_shown(text)}: nested more than {MOST_NESTED} deep")
    if not left or left[-1] in ("and", "or", ")"):
        raise BadRequestError(f"-k {_shown(text)}: a word is missing")
    word = left.pop().lower()
    if word == "not":
        inner = _one(left, text, depth + 1)
        return lambda cell_id: not inner(cell_id)
    if word == "(":
        inner = _any_of(left, text, depth + 1)
        if not left or left.pop() != ")":
            raise BadRequestError(f"-k {_shown(text)}: a ')' is missing")
        return inner
    return lambda cell_id: word in cell_id.lower()


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
