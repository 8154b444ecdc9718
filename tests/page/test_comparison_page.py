"""The page of a comparison, in words and in the browser."""

from pathlib import Path

import pytest

from comparison.cell_summary import Metric
from comparison.page import render_comparison, sentence
from comparison.verdict import (
    Added,
    Broke,
    Change,
    Faster,
    Fixed,
    Line,
    NotComparable,
    Removed,
    Same,
    Slower,
    Unclear,
    Verdict,
)
from tests.web.browser import Browser

TARGET = "CUDAExecutionProvider_fp16[io=device,graph=1]"


def change(ratio: float) -> Change:
    return Change(
        ratio, ratio * 0.97, ratio * 1.03, 0.04, 0.001, "stored", 5.0, 5.0 * ratio, (5, 5)
    )


def line(model: str, verdict: Verdict, metric: Metric = Metric.P50, **told: str) -> Line:
    return Line(f"{model}::{TARGET}", model, TARGET, metric, verdict, **told)  # type: ignore[arg-type]


LINES = (
    line("squeezenet", Slower(change(1.31), suspect=False)),
    line("bert", Faster(change(0.6), suspect=False)),
    line("resnet", Same(change(1.004))),
    line("<b>x</b>", Broke("Crashed(run, SIGSEGV): \x1b[31m"), Metric.STATUS),
    line("y" * 80, Fixed("passes now"), Metric.STATUS),
    line("late", Unclear("more than the threshold, less than the noise", change(1.05), 12)),
    line("known", Slower(change(1.2), suspect=False), expected="issue 7"),
    line("new", Added("", fails=True), Metric.STATUS),
    line("gone", Removed("Passed"), Metric.STATUS),
    line("other", NotComparable("io: host on one side")),
)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "compare.html"
    path.write_text(
        render_comparison(LINES, ("One run held against another.",), "a -> b"), "utf-8"
    )
    return path


def test_the_sentence_counts_what_got_worse_and_better() -> None:
    assert sentence(LINES) == (
        "3 of 10 comparisons got worse (1 Slower, 1 Broke and 1 Added (fails)); "
        "2 got better (1 Faster and 1 Fixed); 1 without a change."
    )
    assert sentence(LINES[2:3]) == "None of 1 comparison got worse; 1 without a change."
    assert sentence(()) == "There was nothing to compare."


def test_every_verdict_stands_with_its_interval_and_what_could_have_been_seen() -> None:
    text = render_comparison(LINES, (), "a -> b")
    assert "1.310 [1.271, 1.349]" in text
    assert text.count("4.0\u00a0%") == 5
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "<U+001B>".replace("<", "&lt;").replace(">", "&gt;") in text
    assert "expected: issue 7" in text
    assert "12 launches a side would tell" in text


@pytest.mark.parametrize("width", [360, 820, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_as_a_run_does(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width, scheme)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.axe() == []
    told = browser.told()
    assert (told["console"], told["errors"], told["requests"]) == ([], [], [f"file://{page}"])


def test_it_is_narrowed_and_sorted(browser: Browser, page: Path) -> None:
    browser.open(page)
    count = "document.getElementById('shown').textContent"
    browser.choose("#outcome", "Slower")
    browser.wait_for(f"{count} === '2 of 10 rows'")
    ratios = (
        "Array.from(document.querySelectorAll('#changes + .scroll tr[data-o]'))"
        ".map(r => parseFloat(r.cells[4].dataset.v)).filter(v => v > 0)"
    )
    browser.click("#changes + .scroll thead th:nth-child(5) button")
    assert browser.evaluate(ratios) == [0.6, 1.05, 1.2, 1.31]
