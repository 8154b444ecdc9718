"""The whole page: its parts in order, one style sheet, one script that it can be read without."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

from perf.page.conditions import conditions
from perf.page.failures import failures
from perf.page.forest import forest
from perf.page.markup import Html, Node, isolated, joined, raw, tag
from perf.page.matrix import matrix, verdict
from perf.page.model import look_for, model_section
from perf.page.reading import reading
from perf.page.subject import by_model, provider_colours, subjects_of
from perf.report.finished_run import FinishedRun

OPENED_MODELS = 3  # as many are unfolded from the start
# Marks of the scatter, by precision; drawn around the origin.
MARKS = (
    ("circle", "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z"),
    ("square", "M-4.5 -4.5H4.5V4.5H-4.5Z"),
    ("diamond", "M0 -6L6 0L0 6L-6 0Z"),
    ("triangle", "M0 -6L5.5 4.5H-5.5Z"),
)


def render_page(runs: Sequence[FinishedRun]) -> str:
    """The report of one run, or of several side by side."""
    subjects = subjects_of(runs)
    look = look_for(subjects, provider_colours([r for run in runs for r in run.records]))
    models, firsts = by_model(subjects), [s for s in subjects if s.is_first]
    opened = len(models) <= OPENED_MODELS
    sections = (
        matrix(firsts) if firsts else None,
        forest(subjects),
        failures(firsts, look.detail.log_lines),
        tag(
            "section",
            tag("h2", "Models", id="models"),
            reading(),
            *(
                model_section(i, name, mine, look, opened=opened)
                for i, (name, mine) in enumerate(models.items())
            ),
        )
        if models
        else None,
        conditions(runs, subjects),
    )
    ids = ", ".join(run.run_id for run in runs) or "no run"
    return document(
        f"ep-perf {ids}", f"{'Run' if len(runs) < 2 else 'Runs'} {ids}", verdict(firsts), sections,
        style=look.style, choices=OUTCOMES if subjects else (),
    )  # fmt: skip


def document(
    title: str,
    head: str,
    sentence: str,
    sections: Sequence[Html | None],
    *,
    style: str = "",
    choices: Sequence[tuple[str, str]] = (),
) -> str:
    """A self-contained HTML file; its policy lets it load nothing and run its own script alone."""
    script = _own("page.js")
    shown = [s for s in sections if s is not None]
    page = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", title),
            tag("style", raw(_own("page.css") + style)),
        ),
        tag(
            "body",
            _marks(),
            tag("a", "Skip to the results", href="#main", class_="skip"),
            tag(
                "header",
                tag("h1", isolated(head)),
                tag("p", sentence, class_="verdict", dir="auto"),
                tag("nav", *_links(shown), aria_label="Sections"),
            ),
            _tools(choices) if choices else None,
            tag("main", *shown, id="main", tabindex=-1),
            tag("footer", tag("p", "Written by ep-perf. This file asks the network for nothing.")),
            tag("script", raw(script)),
        ),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"


def _own(name: str) -> str:
    return resources.files("perf.page").joinpath(name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _marks() -> Html:
    symbols = (tag("path", id=f"m-{name}", d=path) for name, path in MARKS)
    return tag("svg", tag("defs", *symbols), width=0, height=0, class_="defs", aria_hidden="true")


OUTCOMES = (
    ("Pass", "passed"),
    ("Fail", "failed"),
    ("Skipped", "skipped"),
    ("NotRun", "not run"),
)
LINKS = (
    ("changes", "Changes"),
    ("same", "No change seen"),
    ("gains", "Gains"),
    ("failures", "Failures"),
    ("models", "Models"),
    ("system", "System"),
    ("footnotes", "Footnotes"),
)


def _links(shown: Sequence[Html]) -> list[Node]:
    there = joined(shown)
    return [tag("a", name, href=f"#{place}") for place, name in LINKS if f" id={place}>" in there]


def _tools(choices: Sequence[tuple[str, str]]) -> Html:
    """What the script serves; hidden, and shown by it. `choices` are outcomes with their words."""
    return tag(
        "form",
        tag(
            "label",
            "Find ",
            tag("input", type="search", id="find", placeholder="model, target or outcome"),
        ),
        tag(
            "label",
            "Outcome ",
            tag(
                "select",
                *(tag("option", t, value=v) for v, t in (("", "any"), *choices)),
                id="outcome",
            ),
        ),
        tag("label", "Go to ", tag("select", tag("option", "a model", value=""), id="jump")),
        tag("button", "Unfold all", type="button", id="unfold", aria_pressed="false"),
        tag("button", "Dark", type="button", id="theme"),
        tag("output", "", id="shown", aria_live="polite"),
        role="search",
        id="tools",
        hidden=True,
    )
