"""Optimisation profiles: what is read, what is refused, and the three engines' spellings of one thing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.schema import shape_profiles as profiles
from perf.schema.shape_profiles import ShapeProfile

dims = st.integers(0, 4096)


@st.composite
def shape_profiles(draw: st.DrawFn, name: str = "x") -> ShapeProfile:
    triples = draw(st.lists(st.tuples(dims, dims, dims).map(sorted), min_size=1, max_size=5))
    low, mid, high = zip(*triples, strict=True)
    return ShapeProfile(name, tuple(low), tuple(mid), tuple(high))


def test_reads_min_opt_max() -> None:
    got = profiles.parse_profile("data=1x3x224x224:4x3x224x224:8x3x224x224")
    assert got == ShapeProfile("data", (1, 3, 224, 224), (4, 3, 224, 224), (8, 3, 224, 224))


def test_one_shape_is_min_opt_and_max_and_names_may_hold_colons_and_equals() -> None:
    assert profiles.parse_profile("a=b:0=2x5") == ShapeProfile("a=b:0", (2, 5), (2, 5), (2, 5))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data", "name=MIN:OPT:MAX"),
        ("=1:2:3", "name=MIN:OPT:MAX"),
        ("x=1:2", "name=MIN:OPT:MAX"),
        ("x=1x-1:2x2:3x3", "not a shape"),
        ("x=1x:2x2:3x3", "not a shape"),
        ("x=2:1:3", "0 <= 2 <= 1"),
        ("x=1:2x2:3", "differ in rank"),
        ("x=²:2:3", "not a shape"),
    ],
)
def test_refuses_in_one_line_that_quotes_what_was_given(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as e:
        profiles.parse_profile(text)
    assert repr(text) in str(e.value)
    assert "\n" not in str(e.value)


def test_an_input_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'x' is given 2 times"):
        profiles.parse_profiles(["x=1", "x=2"])


@given(shape_profiles("a"), shape_profiles("b"))
def test_options_round_trip(a: ShapeProfile, b: ShapeProfile) -> None:
    assert profiles.from_options(profiles.to_options((a, b))) == (a, b)


@given(shape_profiles("a"))
def test_serves_exactly_what_lies_between(p: ShapeProfile) -> None:
    assert p.serves(p.min)
    assert p.serves(p.opt)
    assert p.serves(p.max)
    assert not p.serves((*p.max[:-1], p.max[-1] + 1))
    assert not p.serves((*p.max, 1))


def test_covers_what_is_fed_and_tunes_for_the_most_frequent() -> None:
    fed = [{"x": (1, 8)}, {"x": (4, 6)}, {"x": (4, 6)}]
    assert profiles.covering_profiles(fed) == (ShapeProfile("x", (1, 6), (4, 6), (4, 8)),)
    assert profiles.covering_profiles([]) == ()


def test_an_input_may_be_named_by_its_place() -> None:
    fed = [{"x": (2, 6), "y": (3,)}]
    second = ShapeProfile("@1", (1,), (3,), (9,))
    (first, found) = profiles.merge_profiles([second], fed)
    assert (first.name, found) == ("x", ShapeProfile("y", (1,), (3,), (9,)))
    with pytest.raises(ValueError, match="no input '@2'"):
        profiles.merge_profiles([ShapeProfile("@2", (1,), (1,), (1,))], fed)


def test_asked_profiles_win_and_must_serve_what_is_fed() -> None:
    wide = ShapeProfile("x", (1, 1), (4, 6), (8, 8))
    fed = [{"x": (2, 6), "y": ()}]
    assert profiles.merge_profiles([wide], fed) == (wide, ShapeProfile("y", (), (), ()))
    with pytest.raises(ValueError, match="outside 1x1…8x8"):
        profiles.merge_profiles([wide], [{"x": (9, 6)}])
    with pytest.raises(ValueError, match="no input 'z'"):
        profiles.merge_profiles([ShapeProfile("z", (1,), (1,), (1,))], fed)


def test_scalars_are_left_out_of_options_and_flags() -> None:
    scalar = ShapeProfile("sr", (), (), ())
    assert profiles.to_options([scalar]) == {}
    assert profiles.trtexec_flags([scalar]) == ()


def test_each_engine_refuses_the_names_it_would_cut() -> None:
    colon = ShapeProfile("Identity:0", (1,), (1,), (1,))
    with pytest.raises(ValueError, match="ORT cannot take"):
        profiles.to_options([colon])
    assert profiles.trtexec_flags([colon])[0] == "--minShapes=Identity:0:1"
    with pytest.raises(ValueError, match="trtexec cannot take"):
        profiles.trtexec_flags([ShapeProfile("a,b", (1,), (1,), (1,))])


def test_options_that_belong_together_are_asked_for_together() -> None:
    with pytest.raises(ValueError, match="go together"):
        profiles.from_options({"trt_profile_min_shapes": "x:1"})
    with pytest.raises(ValueError, match="different inputs"):
        profiles.from_options(
            {
                "trt_profile_min_shapes": "x:1",
                "trt_profile_opt_shapes": "x:1",
                "trt_profile_max_shapes": "y:1",
            }
        )
