"""The small language of -k: words that a cell's id contains, joined by and, or, not and parentheses."""

import re
from collections.abc import Callable

from perf.request.options import BadRequestError

Matches = Callable[[str], bool]
_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")


def compile_filter(text: str) -> Matches:
    """Compile an expression to a predicate on ids; raises BadRequestError."""
    tokens = _TOKEN.findall(text)
    if not tokens:
        return lambda _id: True
    parsed, rest = _any_of(tokens, text)
    if rest:
        raise BadRequestError(f"-k {text!r}: nothing joins {rest[0]!r} to what stands before it")
    return parsed


def _any_of(tokens: list[str], text: str) -> tuple[Matches, list[str]]:
    left, rest = _all_of(tokens, text)
    while rest and rest[0] == "or":
        right, rest = _all_of(rest[1:], text)
        left = _or(left, right)
    return left, rest


def _all_of(tokens: list[str], text: str) -> tuple[Matches, list[str]]:
    left, rest = _one(tokens, text)
    while rest and rest[0] == "and":
        right, rest = _one(rest[1:], text)
        left = _and(left, right)
    return left, rest


def _one(tokens: list[str], text: str) -> tuple[Matches, list[str]]:
    if not tokens or tokens[0] in ("and", "or", ")"):
        raise BadRequestError(f"-k {text!r}: a word is missing")
    if tokens[0] == "not":
        inner, rest = _one(tokens[1:], text)
        return (lambda cell_id: not inner(cell_id)), rest
    if tokens[0] == "(":
        inner, rest = _any_of(tokens[1:], text)
        if not rest or rest[0] != ")":
            raise BadRequestError(f"-k {text!r}: a ')' is missing")
        return inner, rest[1:]
    word = tokens[0].lower()
    return (lambda cell_id: word in cell_id.lower()), tokens[1:]


def _or(a: Matches, b: Matches) -> Matches:
    return lambda cell_id: a(cell_id) or b(cell_id)


def _and(a: Matches, b: Matches) -> Matches:
    return lambda cell_id: a(cell_id) and b(cell_id)
