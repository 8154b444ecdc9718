"""The page in Debian's chromium: as people open it, at every width, light and dark, with and without its script."""

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from perf.page.document import render_page
from perf.schema import outcomes
from perf.schema.record import Record
from tests.page import made_runs
from tests.page.made_runs import CPU, CUDA, run_of
from tests.web.browser import Browser

WIDTHS = (360, 820, 1440)
SCHEMES = ("light", "dark")


def all_failed() -> list[Record]:
    found = made_runs.FAILURES
    return [
        made_runs.failed(
            made_runs.cell(f"model_{i}", target), found[(i + len(target)) % len(found)]
        )
        for i in range(6)
        for target in (CPU, CUDA)
    ]


def one_model() -> list[Record]:
    return [made_runs.passed(made_runs.cell("squeezenet"), 5.0, random.Random(1))]


KINDS: Mapping[str, list[Record]] = {
    "mixed": made_runs.many_cells(3) + made_runs.batch_sweep(),
    "all failed": all_failed(),
    "one model": one_model(),
    "nothing planned": [],
    "hostile": made_runs.hostile(),
    "300 models": made_runs.many_cells(300, fail_every=13, runs=20)[:2100:7],
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    out = {}
    for kind, records in KINDS.items():
        profiled = [r.cell.id for r in records if kind == "mixed"]
        stored = made_runs.stored(folder / kind, records, profiled) if profiled else None
        out[kind] = folder / f"{kind}.html".replace(" ", "_")
        out[kind].write_bytes(render_page([run_of(records, stored)]).encode("utf-8", "replace"))
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_opens_without_an_error_and_asks_the_network_for_nothing(
    browser: Browser, pages: Mapping[str, Path], kind: str
) -> None:
    browser.open(pages[kind])
    if kind != "nothing planned":
        browser.click("#unfold")
    told = browser.told()
    assert told["console"] == []
    assert told["errors"] == []
    assert told["requests"] == [f"file://{pages[kind]}"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_reaches_beyond_the_screen(
    browser: Browser, pages: Mapping[str, Path], kind: str, width: int
) -> None:
    browser.open(pages[kind], width)
    if kind not in ("nothing planned", "300 models"):
        browser.click("#unfold")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize(
    "kind", ["mixed", "all failed", "one model", "nothing planned", "hostile"]
)
def test_axe_finds_no_violation(
    browser: Browser, pages: Mapping[str, Path], kind: str, width: int, scheme: str
) -> None:
    browser.open(pages[kind], width, scheme)
    if kind != "nothing planned":
        browser.click("#unfold")
    assert browser.axe() == []


def test_the_page_is_read_without_its_script(browser: Browser, pages: Mapping[str, Path]) -> None:
    browser.open(pages["mixed"], script=False)
    assert browser.evaluate("document.querySelectorAll('#matrix tbody tr').length") == 4
    assert browser.evaluate("getComputedStyle(document.getElementById('tools')).display") == "none"
    assert browser.evaluate("document.querySelectorAll('svg.d').length") > 20


def visible_models(browser: Browser) -> list[str]:
    found: list[str] = browser.evaluate(
        "Array.from(document.querySelectorAll('#matrix tbody tr')).filter(r => !r.hidden)"
        ".map(r => r.cells[0].textContent)"
    )
    return found


def test_words_and_outcomes_narrow_what_is_shown(
    browser: Browser, pages: Mapping[str, Path]
) -> None:
    count = "document.getElementById('shown').textContent"
    browser.open(pages["300 models"])
    assert len(visible_models(browser)) == 300
    assert browser.evaluate(count) == "300 cells"
    browser.fill("#find", "model_007 cpuexecution")
    browser.wait_for(f"{count} === '1 of 300 cells'")
    assert visible_models(browser) == ["model_007"]
    hidden = "Array.from(document.querySelectorAll('details.model')).filter(d => !d.hidden).length"
    assert browser.evaluate(hidden) == 1
    browser.fill("#find", "")
    browser.wait_for(f"{count} === '300 cells'")
    browser.choose("#outcome", "failed")
    failing = [
        r.cell.model.name for r in KINDS["300 models"] if outcomes.status(r.outcome) == "Fail"
    ]
    assert failing
    browser.wait_for(f"{count} === '{len(failing)} of 300 cells'")
    assert visible_models(browser) == failing


def test_a_press_on_a_heading_sorts_and_another_turns_it_round(
    browser: Browser, pages: Mapping[str, Path]
) -> None:
    browser.open(pages["mixed"])
    place = "#matrix thead th:nth-child(2)"
    figures = "Array.from(document.querySelectorAll('#matrix tbody tr')).map(r => parseFloat(r.cells[1].dataset.v))"
    browser.click(f"{place} button")
    ascending = [v for v in browser.evaluate(figures) if v is not None and v > 0]
    assert ascending == sorted(ascending)
    browser.click(f"{place} button")
    descending = [v for v in browser.evaluate(figures) if v is not None and v > 0]
    assert descending == sorted(ascending, reverse=True)
    assert len(ascending) > 1
    aria = f"document.querySelector('{place}').getAttribute('aria-sort')"
    assert browser.evaluate(aria) == "descending"


def test_a_link_to_a_cell_unfolds_its_model(browser: Browser, pages: Mapping[str, Path]) -> None:
    browser.open(pages["300 models"])
    anchor = browser.evaluate(
        "document.querySelector('#matrix tbody tr:nth-child(200) td a').hash"
    )
    folded = f"document.querySelector('tr{anchor}').closest('details').open"
    assert browser.evaluate(folded) is False
    browser.evaluate(f"location.hash = {anchor!r}")
    browser.wait_for(folded)
    top = f"document.querySelector('tr{anchor}').getBoundingClientRect().top"
    assert 0 < browser.evaluate(top) < 900


def test_a_model_is_jumped_to_and_the_find_box_has_a_key(
    browser: Browser, pages: Mapping[str, Path]
) -> None:
    browser.open(pages["300 models"])
    browser.choose("#jump", "model_150")
    browser.wait_for("document.getElementById('model-150').open")
    assert browser.evaluate("location.hash") == "#model-150"
    browser.press("/")
    assert browser.evaluate("document.activeElement.id") == "find"


def test_light_and_dark_follow_the_system_and_the_button(
    browser: Browser, pages: Mapping[str, Path]
) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    browser.open(pages["mixed"], scheme="light")
    light = browser.evaluate(background)
    browser.click("#theme")
    dark = browser.evaluate(background)
    assert dark != light
    browser.open(pages["mixed"], scheme="dark")
    assert browser.evaluate(background) == dark


def test_folded_parts_are_printed(browser: Browser, pages: Mapping[str, Path]) -> None:
    browser.open(pages["300 models"], script=False)
    height = "document.querySelector('#model-5 table').getBoundingClientRect().height"
    browser.media("print")
    assert browser.evaluate(height) > 40
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_hostile_names_and_logs_stay_text(browser: Browser, pages: Mapping[str, Path]) -> None:
    browser.open(pages["hostile"])
    browser.click("#unfold")
    assert (
        browser.evaluate("document.querySelectorAll('main script, main img, main b b').length")
        == 0
    )
    assert browser.evaluate("document.querySelectorAll('[onmouseover], [onerror]').length") == 0
    text = browser.evaluate("document.getElementById('main').textContent")
    assert "<script>alert('model')</script>" in text
    assert "<img src=x onerror=alert('log')>" in text
    assert "right<U+202E>to left" in text
    assert "a_name_of_eighty_characters_" + "x" * 52 in text
