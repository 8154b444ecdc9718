"""How far a model's outputs are from their references, and what a precision pays for speed in error."""

from collections.abc import Sequence

from perf.page.markup import Html, Node, tag
from perf.page.plane import Plane, percent_of
from perf.page.scale import scale_of
from perf.page.sheet import Column, Sheet
from perf.page.subject import Subject
from perf.page.wording import short
from perf.schema.cell import Precision, Tolerance

SHAPES = {Precision.FP32: "circle", Precision.FP16: "square", Precision.BF16: "diamond"}
USUAL_WIDTH, HEIGHT, LINE = 736.0, 272.0, 13.0  # pixels of the figure and of a line of its text
MIDDLE = 55.0  # a name right of this stands left of its mark
MARK = 6.0  # pixels, half of a symbol
LIFTS = (4, 18, -10, 32, -24, 46, -38, 60, -52)  # where a name may stand, in pixels below its mark
LEAST_ERROR = 1e-9  # where an exact output is drawn on a logarithmic axis


def error_against_latency(subjects: Sequence[Subject]) -> Html | None:
    """A scatter of relative norm over p50, a shape per precision; None for fewer than two points."""
    told = [
        (s, s.latency.summary.p50, max(s.row.relative_norm, LEAST_ERROR))
        for s in subjects
        if s.latency and s.row.relative_norm is not None
    ]
    across = scale_of((x for _, x, _ in told), margin=0.15)
    up = scale_of((y for _, _, y in told), margin=0.15)
    if len(told) < 2 or across is None or up is None:
        return None
    plane = Plane(across, up)
    used = dict.fromkeys(s.cell.target.precision for s, _, _ in told)
    shapes = ", ".join(f"{p.value} {SHAPES.get(p, 'triangle')}" for p in used)
    about = f"Relative norm over p50 (ms), both logarithmic; {shapes}."
    return tag(
        "figure",
        tag(
            "figcaption", tag("b", "Error against latency"), " ", tag("span", about, class_="mute")
        ),
        plane.drawing(
            "Error against latency",
            "Its figures are those of the tables above.",
            _marks(told, plane),
            _error,
        ),
    )


def _marks(points: Sequence[tuple[Subject, float, float]], plane: Plane) -> list[Node]:
    """A symbol for each cell, its name beside it where no other name and no other symbol is."""
    out: list[Node] = []
    places = [plane.place(x, y) for _, x, y in points]
    taken = [  # from, to, height in pixels
        (at * USUAL_WIDTH / 100 - MARK, at * USUAL_WIDTH / 100 + MARK, high * HEIGHT / 100 + 4)
        for at, high in places
    ]
    for s, x, y in sorted(points, key=lambda t: -t[2]):
        kind = SHAPES.get(s.cell.target.precision, "triangle")
        left, top = plane.place(x, y)
        at, high, wide = left * USUAL_WIDTH / 100, top * HEIGHT / 100, 6.7 * len(s.column)
        begin = at - 10 - wide if left > MIDDLE else at + 10
        lift = next((d for d in LIFTS if not _meets(begin, begin + wide, high + d, taken)), 4)
        taken.append((begin, begin + wide, high + lift))
        where = percent_of(left), percent_of(top)
        name = tag(
            "text", s.column, x=where[0], y=where[1], dy=lift, dx=-10 if left > MIDDLE else 10,
            text_anchor="end" if left > MIDDLE else None,
        )  # fmt: skip
        mark = tag("use", href=f"#m-{kind}", x=where[0], y=where[1])
        out.append(tag("g", mark, name, class_=f"p{s.colour}"))
    return out


def _meets(
    begin: float, end: float, at: float, taken: Sequence[tuple[float, float, float]]
) -> bool:
    return any(begin < b and a < end and abs(at - y) < LINE for a, b, y in taken)


def _beyond(s: Subject) -> str:
    share = s.row.mismatched_pct
    return "" if share is None else f"{share:.3g} %"


def _worst(s: Subject) -> str:
    row = s.row
    return f"{row.worst_output} [{', '.join(map(str, row.worst_index))}]" if row.max_abs else ""


def _tolerance(t: Tolerance) -> str:
    scaled = " × largest" if t.atol_scaled else ""
    allowed = f", {t.percent_mismatch:g} % may differ" if t.percent_mismatch else ""
    return f"rtol {t.rtol:g}, atol {t.atol:g}{scaled}{allowed}"


def _error(value: float) -> str:
    return "none" if value <= LEAST_ERROR else short(value)


ACCURACY = Sheet(
    "accuracy",
    "Accuracy",
    (
        Column("outputs", lambda s: s.row.compared_outputs),
        Column("relative norm", lambda s: short(s.row.relative_norm)),
        Column("max abs", lambda s: short(s.row.max_abs)),
        Column("max rel", lambda s: short(s.row.max_rel)),
        Column("cosine", lambda s: "" if s.row.cosine is None else f"{s.row.cosine:.7g}"),
        Column("beyond tolerance", _beyond),
        Column("worst", _worst),
        Column(
            "tolerance", lambda s: _tolerance(s.cell.tolerance) if s.row.compared_outputs else ""
        ),
    ),
)
