"""The pure parts of figures: scales, envelopes, histograms, knees, kernels, colours."""

import itertools
import math
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.measure.ort_profile import Kernel
from perf.page import samples, sweep, time_spent
from perf.page.figure import points
from perf.page.markup import tag, visible
from perf.page.scale import Scale, scale_of
from perf.page.subject import provider_colours, subjects_of
from perf.page.sweep import find_sweeps, knee
from perf.page.wording import listed, microseconds, short
from tests.asking import ROOT
from tests.page import made_runs
from tests.page.made_runs import CPU, CUDA, run_of

TIMES = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=400)


@given(TIMES, st.integers(1, 60))
def test_an_envelope_keeps_every_extreme_of_every_stretch(
    values: list[float], columns: int
) -> None:
    found = samples.envelope(values, columns)
    assert len(found) == min(columns, len(values))
    assert min(low for low, _ in found) == min(values)
    assert max(high for _, high in found) == max(values)
    n = len(values)
    for i, (low, high) in enumerate(found):
        stretch = values[i * n // len(found) : (i + 1) * n // len(found)]
        assert (low, high) == (min(stretch), max(stretch))


def test_a_spike_among_thousands_of_runs_is_drawn_to_the_top() -> None:
    record = made_runs.passed(made_runs.cell("m"), 5.0, random.Random(2))
    calm = [5_000_000 + i % 7 * 1000 for i in range(5000)]
    spiked = [*calm[:3333], 40_000_000, *calm[3334:]]
    record = made_runs.with_samples(record, 2, spiked)
    (subject,) = subjects_of([run_of([record])])
    drawn = samples.in_order([subject], 60)
    assert drawn
    (area,) = re.findall(r'class=e d="([^"]*)"', drawn)
    tops = []
    for part in re.findall(r"M[^Z]*Z", area):
        _, y, rest = re.fullmatch(r"M(\d+) (\d+)l(.*)Z", part).groups()  # type: ignore[union-attr]
        steps = [int(v) for v in re.findall(r"-?\d+", rest)][1::2]
        tops.append(min(itertools.accumulate([int(y), *steps])))
    assert sorted(tops)[0] <= 2 < sorted(tops)[1]  # the margin of the scale is above it
    assert " to 40.0 ms" in drawn


@given(st.floats(1e-6, 1e6), st.floats(1.0, 1e6))
def test_ticks_lie_within_their_scale_and_rise(low: float, fold: float) -> None:
    for log in (True, False):
        scale = scale_of([low, low * fold], log=log)
        assert scale
        ticks = scale.ticks()
        assert list(ticks) == sorted(set(ticks))
        assert len(ticks) <= 12
        for t in ticks:
            assert scale.low <= t <= scale.high * (1 + 1e-9)
            assert 0 <= scale.at(t) <= 1000


def test_a_scale_holds_nothing_that_is_not_a_number() -> None:
    assert scale_of([math.nan, math.inf, -1.0, 0.0]) is None
    found = scale_of([math.nan, 2.0])
    assert found
    assert found.low < 2.0 < found.high
    assert Scale(3.0, 3.0).at(3.0) == 500


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 100)), min_size=1, max_size=30))
def test_a_path_of_relative_steps_ends_where_its_places_do(places: list[tuple[int, int]]) -> None:
    begin, _, rest = points(places).removeprefix("M").partition("l")
    x, y = map(int, begin.split())
    steps = [int(v) for v in re.findall(r"-?\d+", rest)]
    for dx, dy in zip(steps[::2], steps[1::2], strict=True):
        x, y = x + dx, y + dy
    assert (x, y) == places[-1]


def test_batches_of_one_question_make_a_sweep_with_a_knee_and_an_end() -> None:
    subjects = subjects_of([run_of(made_runs.batch_sweep())])
    (found,) = find_sweeps(subjects)
    assert [p.batch for p in found.points] == [1, 2, 4, 8, 16, 32, 64]
    assert len(found.measured) == 6
    best = knee(found.measured)
    assert best
    assert best.batch == 8
    told = sweep.sweeps(subjects)
    assert told
    assert "The knee is at batch 8. Memory ended at batch 64." in told


def test_cells_that_differ_in_more_than_the_batch_are_no_sweep() -> None:
    rng = random.Random(1)
    cells = [made_runs.cell("m", CPU), made_runs.cell("m", CUDA, batch=2)]
    assert find_sweeps(subjects_of([run_of([made_runs.passed(c, 5.0, rng) for c in cells])])) == ()
    assert knee(()) is None


def test_the_slowest_nodes_are_of_all_targets_and_bodies_that_run_again_add_up() -> None:
    (subject,) = subjects_of(
        [run_of([made_runs.passed(made_runs.cell("m"), 5.0, random.Random(1))])]
    )
    first = time_spent.Profiled(
        subject, tuple(Kernel(f"n{i}", "Conv", CPU, i, 10.0 + i) for i in range(30))
    )
    loops = tuple(Kernel("body", "Add", CPU, i, 9.0) for i in range(8))
    second = time_spent.Profiled(subject, (*loops, Kernel("n3", "Conv", CPU, 9.0, 99.0)))
    names = time_spent.slowest_names([first, second])
    assert names[:3] == ("n3", "body", "n29")
    assert len(names) == 10


def test_a_provider_keeps_its_colour_beside_others() -> None:
    alone = provider_colours([made_runs.failed(made_runs.cell("m", CUDA), made_runs.FAILURES[2])])
    among = provider_colours(made_runs.many_cells(1))
    assert alone[CUDA] == among[CUDA]
    assert among[CPU] == 0
    assert len(set(among.values())) == len(among)


# --- colours, by WCAG 2.2 (contrast) and Machado, Oliveira, Fernandes 2009 (colour blindness)

SIGHTS = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}  # fmt: skip
RGB = tuple[float, float, float]


def linear(colour: str) -> RGB:
    full = colour if len(colour) == 7 else "#" + "".join(2 * c for c in colour[1:])
    r, g, b = (int(full[i : i + 2], 16) / 255 for i in (1, 3, 5))

    def one(c: float) -> float:
        return c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4

    return one(r), one(g), one(b)


def contrast(a: str, b: str) -> float:
    low, high = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(a), linear(b)))
    return (high + 0.05) / (low + 0.05)


def oklab(c: RGB) -> RGB:
    r, g, b = c
    l = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)  # noqa: E741
    m = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    s = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
        1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
        0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s,
    )


def seen(colour: str, sight: str) -> RGB:
    c = linear(colour)
    r, g, b = (
        min(1.0, max(0.0, sum(w * v for w, v in zip(row, c, strict=True))))
        for row in SIGHTS[sight]
    )
    return oklab((r, g, b))


def themes() -> dict[str, dict[str, str]]:
    style = (ROOT / "perf/page/page.css").read_text(encoding="utf-8")
    found = {}
    for name, selector in (("light", ":root{"), ("dark", ":root[data-theme=dark]{")):
        block = style.split(selector)[1].split("}")[0]
        found[name] = dict(re.findall(r"--(\w+):(#\w+)", block))
    preferred = style.split(":root:not([data-theme=light]){")[1].split("}")[0]
    assert dict(re.findall(r"--(\w+):(#\w+)", preferred)) == found["dark"]
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("sight", SIGHTS)
def test_providers_are_told_apart_by_everyone(theme: str, sight: str) -> None:
    colours = [themes()[theme][f"c{i}"] for i in range(8)]
    for a, b in itertools.combinations(colours, 2):
        assert math.dist(seen(a, sight), seen(b, sight)) > 0.11, (a, b)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_marks_have_the_contrast_that_aa_asks_for(theme: str) -> None:
    found = themes()[theme]
    for ground in ("bg", "panel"):
        for ink in ("text", "mute", "link"):
            assert contrast(found[ink], found[ground]) >= 4.5, (ink, ground)
        for i in range(8):
            assert contrast(found[f"c{i}"], found[ground]) >= 3.0, (i, ground)
    for kind in ("ok", "bad", "no", "known"):
        assert contrast(found[kind], found[f"{kind}b"]) >= 4.5, kind
    assert contrast(found["known"], found["bg"]) >= 4.5


# --- text and numbers


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31m", "<U+001B>[31m"),
        ("a\u202eb", "a<U+202E>b"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("half \udce9", "half \ufffd"),
        ("\ufffe", "\ufffd"),
        ("two\u2028lines", "two lines"),
        ("no\u00a0break", "no\u00a0break"),
        ("👩\u200d🔧", "👩\u200d🔧"),
    ],
)
def test_nothing_in_a_text_is_hidden(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_what_is_no_markup_is_escaped_wherever_it_stands() -> None:
    assert tag("b", "<i>", tag("i", "&")) == "<b>&lt;i&gt;<i>&amp;</i></b>"
    assert (
        tag("a", "x", title='" onclick="', href="#a b")
        == '<a title="&quot; onclick=&quot;" href="#a b">x</a>'
    )
    assert tag("path", class_="w") == "<path class=w />"
    assert tag("br") == "<br>"
    assert tag("input", hidden=True, disabled=False, value=None) == "<input hidden>"


def test_numbers_read_well() -> None:
    assert [short(v) for v in (0.0, 1234.5, 12.345, 0.012345, 3e-7, math.inf)] == [
        "0", "1234", "12.3", "0.0123", "3.00e-07", "inf",
    ]  # fmt: skip
    assert microseconds(1500).replace("\u00a0", " ") == "1.50 ms"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed([]) == ""
