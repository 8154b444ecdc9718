"""What a model takes besides time: memory over the stages, power, energy, its first and second session."""

from collections.abc import Sequence

from perf.page.figure import FigureRow, axis_labels, drawing, figure, shape
from perf.page.markup import Html, joined, tag
from perf.page.scale import Scale, scale_of
from perf.page.sheet import Column, Sheet
from perf.page.subject import Subject
from perf.page.wording import mib, percent, short, trimmed
from perf.schema.journal import Stage

HEIGHT = 16
STEP = 36  # height of a curve over stages


def sessions(subjects: Sequence[Subject]) -> Html | None:
    """First and second session creation of every target on one axis."""
    told = [s for s in subjects if s.row.creation_cold_s or s.row.creation_second_s]
    values = [v for s in told for v in (s.row.creation_cold_s, s.row.creation_second_s) if v]
    scale = scale_of(values, margin=0.05)
    if scale is None:
        return None
    return figure(
        "First and second session",
        [FigureRow(s.column, _sessions(s, scale), _session_words(s)) for s in told],
        axis_labels(scale, trimmed, "s"),
    )


def _sessions(s: Subject, scale: Scale) -> Html:
    cold, again = s.row.creation_cold_s, s.row.creation_second_s
    y, marks = HEIGHT // 2, []
    if cold and again:
        marks.append(shape(f"M{scale.at(cold)} {y}H{scale.at(again)}", "w"))
    if cold:
        marks += [
            shape(f"M{scale.at(cold)} {y}h0", "dot"),
            shape(f"M{scale.at(cold)} {y}h0", "hole"),
        ]
    if again:
        marks.append(shape(f"M{scale.at(again)} {y}h0", "dot"))
    title = f"First {short(cold) or 'unknown'} s, second {short(again) or 'unknown'} s"
    return drawing(HEIGHT, *marks, title=title, colour=s.colour)


def _session_words(s: Subject) -> Html:
    row = s.row
    words = f"{short(row.creation_cold_s) or '?'} s, then {short(row.creation_second_s) or '?'} s"
    runs = ""
    if row.first_run_ms is not None:
        runs = f"first run {short(row.first_run_ms)} ms"
        if row.first_run_second_ms is not None:
            runs += f", then {short(row.first_run_second_ms)} ms"
    cached = "engine from the cache" if row.engine_cached else ""
    return joined((words, *(tag("small", w) for w in (runs, cached) if w)))


def memory_over_stages(subjects: Sequence[Subject]) -> Html | None:
    """GPU memory over the stages as a curve; None where no cell has it."""
    curves = [s for s in subjects if s.row.gpu_by_stage_mib]
    most = max((v for s in curves for v in s.row.gpu_by_stage_mib.values()), default=0.0)
    if most <= 0:
        return None
    seen = [st.value for st in Stage if any(st.value in s.row.gpu_by_stage_mib for s in curves)]
    return figure(
        "GPU memory over the stages",
        [FigureRow(s.column, _stages(s, seen, most), _stage_words(s, seen)) for s in curves],
        about=f"{', '.join(seen)}; the full height is {mib(most)} MiB.",
    )


def _energy(s: Subject) -> str:
    found = s.row.energy_counter_j_per_run or s.row.energy_integrated_j_per_run
    return short(found if found else s.row.cpu_energy_j_per_run)


def _stages(s: Subject, seen: Sequence[str], most: float) -> Html:
    width = 1000 // len(seen)
    path = [f"M0 {STEP}"]
    for i, stage in enumerate(seen):
        y = STEP - round(s.row.gpu_by_stage_mib.get(stage, 0.0) / most * (STEP - 2))
        path.append(f"V{y}H{(i + 1) * width}")
    title = "GPU memory, stage by stage"
    return drawing(STEP, shape("".join(path) + f"V{STEP}Z", "e"), title=title, colour=s.colour)


def _stage_words(s: Subject, seen: Sequence[str]) -> str:
    by_stage = s.row.gpu_by_stage_mib
    return ", ".join(f"{st} {mib(by_stage[st])}" for st in seen if st in by_stage) + " MiB"


RESOURCES = Sheet(
    "resources",
    "Memory and power",
    (
        Column("host peak (MiB)", lambda s: mib(s.row.host_peak_mib)),
        Column("tree peak (MiB)", lambda s: mib(s.row.host_tree_peak_mib)),
        Column("GPU peak (MiB)", lambda s: mib(s.row.gpu_peak_mib)),
        Column("seen in", lambda s: s.row.gpu_scope),
        Column("power (W)", lambda s: short(s.row.average_w)),
        Column("above idle (W)", lambda s: short(s.row.average_above_idle_w)),
        Column("J per run", _energy),
        Column("runs/s per W", lambda s: short(s.row.runs_per_s_per_w)),
        Column("SM (MHz)", lambda s: short(s.row.sm_mhz)),
        Column("°C", lambda s: short(s.row.temperature_c)),
        Column("throttled", lambda s: percent(s.row.throttled_share)),
    ),
)
