"""What the page opens with: the verdict in one sentence, and every model against every target."""

from collections import Counter
from collections.abc import Sequence

from perf.page.markup import Html, breakable, isolated, tag
from perf.page.subject import Subject, by_model
from perf.page.wording import counted, listed
from perf.report.sections import format_factors, format_gain, format_ms
from perf.schema import outcomes

SIGNS = {outcomes.PASS: "✓", outcomes.FAIL: "✗", outcomes.SKIPPED: "–", outcomes.NOT_RUN: "○"}
CLASSES = {
    outcomes.PASS: "ok",
    outcomes.FAIL: "bad",
    outcomes.SKIPPED: "no",
    outcomes.NOT_RUN: "no",
}


def verdict(subjects: Sequence[Subject]) -> str:
    """One sentence: how many passed, what did not and how, and the largest gain that can be claimed."""
    if not subjects:
        return "Nothing was planned, so nothing was measured."
    counts = Counter(s.status for s in subjects)
    passed, failed = counts[outcomes.PASS], counts[outcomes.FAIL]
    cells = counted(len(subjects), "cell")
    head = f"All {cells} passed" if passed == len(subjects) else f"{passed:,} of {cells} passed"
    if failed == len(subjects):
        head = f"None of {cells} passed" if len(subjects) > 1 else "The only cell failed"
    parts = [head]
    if failed:
        parts.append(_failures([s for s in subjects if s.status == outcomes.FAIL]))
    left = [f"{counts[k]:,} {word}" for k, word in NOT_TRIED if counts[k]]
    if left:
        parts.append(f"{listed(left)}")
    if better := sum(bool(s.unexpected_pass) for s in subjects):
        parts.append(f"{better:,} passed that {'was' if better == 1 else 'were'} expected to fail")
    return "; ".join(parts) + _best(subjects) + "."


NOT_TRIED = ((outcomes.SKIPPED, "skipped"), (outcomes.NOT_RUN, "not run"))


def _failures(failed: Sequence[Subject]) -> str:
    kinds = Counter(outcomes.name(s.record.outcome) for s in failed).most_common()
    known = sum(bool(s.expected) for s in failed)
    told = f"{len(failed):,} failed ({', '.join(f'{n:,} {kind}' for kind, n in kinds)})"
    return told + (f", {known:,} of them as expected" if known else "")


def _best(subjects: Sequence[Subject]) -> str:
    claimed = [(s.gain, s) for s in subjects if s.gain and s.gain.claimed]
    gain, best = max(claimed, key=lambda c: c[0].speedup, default=(None, None))
    if gain is None or best is None or gain.interval is None:
        return "; no gain over the CPU EP can be claimed" if any(s.gain for s in subjects) else ""
    if gain.speedup <= 1:
        return "; nothing was faster than the CPU EP"
    return (
        f"; the most over the CPU EP is {best.model} on {best.column}, "
        f"{format_gain(gain)} {format_factors(gain)}"
    )


def matrix(subjects: Sequence[Subject]) -> Html:
    """A row per model, a column per target; each cell leads to its details."""
    columns = tuple(dict.fromkeys(s.column for s in subjects))
    head = tag(
        "tr",
        tag("th", "Model", scope="col"),
        *(tag("th", breakable(c), scope="col") for c in columns),
    )
    body = []
    for number, (model, mine) in enumerate(by_model(subjects).items()):
        at = {s.column: s for s in mine}
        name = tag("a", isolated(model), href=f"#model-{number}")
        cells = (_cell(at[c], c) if c in at else _unplanned(c) for c in columns)
        body.append(tag("tr", tag("th", name, scope="row"), *cells))
    table = tag("table", tag("thead", head), tag("tbody", *body), id="matrix", class_="cards sort")
    return tag(
        "section",
        tag("h2", "Models and targets"),
        tag("p", _legend(subjects), class_="mute"),
        scrolled(table, "Models and targets"),
    )


def scrolled(table: Html, name: str) -> Html:
    """A table in a frame of its own that scrolls where the table is wider than the page."""
    return tag("div", table, class_="scroll", tabindex=0, role="group", aria_label=name)


def outcome(s: Subject, words: str = "") -> Html:
    """A cell's outcome by sign, word and colour, each of which would do alone."""
    kind = "known" if s.expected else CLASSES[s.status]
    return tag("span", SIGNS[s.status], " ", words or short_outcome(s), class_=f"o {kind}")


def short_outcome(s: Subject) -> str:
    """Pass, or the exact outcome of what did not."""
    return "Pass" if s.status == outcomes.PASS else outcomes.exact(s.record.outcome)


def time_and_spread(s: Subject) -> str:
    """p50 ± half the range of the launches' medians, in ms; "" where no latency is published."""
    if s.latency is None:
        return ""
    middle, half = s.latency.summary.p50, s.latency.spread.half_range
    return format_ms(middle) + ("" if half is None else f" ± {format_ms(half, middle)}")


def gain_text(s: Subject) -> str:
    """The gain over the CPU EP, or that its interval holds 0; "" where there is none to tell."""
    if s.gain is None or s.gain.interval is None:
        return ""
    return format_gain(s.gain) if s.gain.claimed else "no gain claimed"


def _cell(s: Subject, column: str) -> Html:
    time = time_and_spread(s)
    words = f"{time}\u00a0ms" if time else short_outcome(s)
    if time and s.status != outcomes.PASS:
        words += f", {short_outcome(s)}"
    link = tag("a", outcome(s, words), href=f"#{s.anchor}")
    gained = gain_text(s)
    marks = tag("small", ", ".join(s.row.marks), class_="mark") if s.row.marks else None
    return tag(
        "td",
        link,
        tag("small", gained) if gained else None,
        marks,
        data_t=column,
        data_o=s.status,
        data_v=f"{s.latency.summary.p50:.6g}" if s.latency else None,
    )


def _unplanned(column: str) -> Html:
    return tag("td", tag("span", "not planned", class_="mute"), data_t=column, class_="none")


def _legend(subjects: Sequence[Subject]) -> str:
    used = [k for k in SIGNS if any(s.status == k for s in subjects)]
    words = {"NotRun": "not run"}
    signs = ", ".join(f"{SIGNS[k]} {words.get(k, k.lower())}" for k in used)
    if not any(s.latency for s in subjects):
        return f"{signs}."
    about = "p50 ± half the range of the launches' medians, in ms; below it how it compares with the CPU EP"
    return f"{signs}; {about}."
