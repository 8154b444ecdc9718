"""How the text of a flag becomes a value, for any text."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.request import flag_types
from perf.request.flags import FLAGS

KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(codec="ascii", exclude_characters="=\n"), max_size=12).map(
    str.strip
)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_pairs_read_back_what_was_written(wanted: dict[str, str]) -> None:
    text = ",".join(f"{k}={v}" for k, v in wanted.items())
    assert flag_types.pairs("{" + text + "}") == wanted
    assert flag_types.pairs(text) == wanted


@given(st.text(max_size=30))
def test_pairs_take_any_text_or_refuse_it_as_bad_input(text: str) -> None:
    read: dict[str, str] = {}
    with contextlib.suppress(ValueError):  # the one error that becomes a line for the user
        read = flag_types.pairs(text)
    assert all(read)


@given(st.text(min_size=1, max_size=8), st.lists(st.integers(0, 9999), max_size=5))
def test_shapes_read_back(name: str, dims: list[int]) -> None:
    assert flag_types.shape(f"{name}={'x'.join(map(str, dims))}") == (name, tuple(dims))


@pytest.mark.parametrize(
    ("text", "cores"), [("0", (0,)), ("0,2-3", (0, 2, 3)), ("1-1", (1,)), ("", ())]
)
def test_lists_of_cores(text: str, cores: tuple[int, ...]) -> None:
    assert flag_types.integers(text) == cores


@pytest.mark.parametrize(
    ("value", "meant"),
    [(True, "on"), ("False", "off"), ("1", "on"), ("BOTH", "both"), ("off", "off")],
)
def test_io_binding_understands_the_predecessors_values(value: object, meant: str) -> None:
    assert flag_types.io_binding(value) == meant


def test_every_flag_says_what_it_does_in_one_line() -> None:
    for flag in FLAGS:
        assert flag.help
        assert "\n" not in flag.help
    names = [f.name for f in FLAGS]
    shorts = [f.short for f in FLAGS if f.short]
    assert len(set(names)) == len(names)
    assert len(set(shorts)) == len(shorts)
