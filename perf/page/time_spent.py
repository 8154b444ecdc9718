"""Where the time of one run goes: kernels in order, targets one above the other, the ten slowest."""

import math
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.measure.ort_profile import Kernel, read_kernels
from perf.page.figure import FigureRow, axis_labels, drawing, figure, shape, swatch
from perf.page.markup import Html, Node, breakable, isolated, joined, tag
from perf.page.matrix import scrolled
from perf.page.scale import WIDE, Scale
from perf.page.subject import Subject
from perf.page.wording import counted, microseconds, percent, trimmed
from perf.schema.record import check_launch

SLOWEST = 10
LONGEST = 32 << 20  # bytes of a profile that are read
BAR = 22
RIBBON = 16  # between two bars, where the slowest nodes are linked


@dataclass(frozen=True)
class Profiled:
    """A target's kernels of one profiled run."""

    subject: Subject
    kernels: tuple[Kernel, ...]

    @property
    def total_us(self) -> float:
        """Time in kernels."""
        return sum(k.own_us for k in self.kernels)


def time_spent(
    subjects: Sequence[Subject], segments: int, named: int, colours: dict[str, int]
) -> Html | None:
    """Bars of kernels and the table of the slowest; for targets without a profile, why there is none."""
    found, missing = [], []
    for s in subjects:
        if check_launch(s.record) is None:
            continue
        kernels = stored_kernels(s)
        if isinstance(kernels, str):
            missing.append((s, kernels))
        else:
            found.append(Profiled(s, kernels))
    if not found:
        if not missing:
            return None
        why = "; ".join(dict.fromkeys(text for _, text in missing))
        return tag(
            "p", tag("b", "Where the time goes"), ". ", f"Nothing to show: {why}.", class_="mute"
        )
    slowest = slowest_names(found)
    scale = Scale(0.0, max(max(p.total_us for p in found), 1e-9), log=False)
    rows: list[FigureRow] = []
    for i, p in enumerate(found):
        if i and named:
            rows.append(FigureRow(None, _ribbons(found[i - 1], p, slowest[:named], scale)))
        note = joined((microseconds(p.total_us), tag("small", counted(len(p.kernels), "kernel"))))
        rows.append(FigureRow(p.subject.column, _bar(p, named, scale, segments, colours), note))
    return joined(
        (
            figure(
                "Where the time goes",
                rows,
                axis_labels(scale, lambda v: trimmed(v / 1000), "ms"),
            ),
            _providers(found, colours),
            _table(found, slowest),
            tag("p", f"No profile of {_unprofiled(missing)}.", class_="mute") if missing else None,
        )
    )


def stored_kernels(s: Subject) -> tuple[Kernel, ...] | str:
    """The kernels in the profile that the check launch left; else why there are none, in words."""
    folder = s.launch_folder
    if folder is None:
        return "only records were given, not a run's folder"
    try:
        files = sorted(p for p in folder.glob("profile_*.json") if stat.S_ISREG(p.lstat().st_mode))
        if not files:
            return "no profile is stored"
        return _read(files[-1])
    except (OSError, ValueError):
        return "its profile cannot be read"


def _read(path: Path) -> tuple[Kernel, ...] | str:
    if path.stat().st_size > LONGEST:
        return f"its profile is larger than {LONGEST >> 20} MiB"
    return read_kernels(path) or "its profile names no kernel"


def slowest_names(found: Sequence[Profiled]) -> tuple[str, ...]:
    """The nodes that take most time on any target, the slowest first."""
    most: dict[str, float] = {}
    for p in found:
        for name, own in times_by_name(p).items():
            most[name] = max(most.get(name, 0.0), own)
    return tuple(sorted(most, key=lambda n: (-most[n], n))[:SLOWEST])


def times_by_name(p: Profiled) -> Counter[str]:
    """Time of each node over the whole run: the body of a Loop runs more than once."""
    out: Counter[str] = Counter()
    for k in p.kernels:
        out[k.name] += k.own_us  # type: ignore[assignment]  # a Counter of floats
    return out


def _spans(p: Profiled) -> list[tuple[Kernel, float, float]]:
    """Each kernel with where its time begins and ends, laid end to end."""
    out, at = [], 0.0
    for k in p.kernels:
        out.append((k, at, at + k.own_us))
        at += k.own_us
    return out


def _bar(p: Profiled, named: int, scale: Scale, segments: int, colours: dict[str, int]) -> Html:
    """The longest kernels stand alone, with a title; below them the whole bar in slots, each of the provider
    that has most of its time."""
    total = p.total_us
    longest = sorted((k.own_us for k in p.kernels), reverse=True)[:named]
    least = max(longest[-1] if longest else math.inf, scale.high / WIDE)
    alone: list[Node] = []
    slots: list[Counter[str]] = [Counter() for _ in range(segments)]
    for k, begin, end in _spans(p):
        if k.own_us >= least:
            took = f"{microseconds(k.own_us)}, {percent(k.own_us / total)}"
            words = f"{k.name} ({k.op_type}) on {k.provider}: {took}"
            path = _rect(scale.at(begin), scale.at(end))
            alone.append(
                tag("path", tag("title", words), class_=f"k p{colours.get(k.provider, 0)}", d=path)
            )
        _spread(slots, k.provider, scale.share(begin) * segments, scale.share(end) * segments)
    return drawing(
        BAR, *_slots(slots, colours), *alone,
        title=f"{counted(len(p.kernels), 'kernel')} in {microseconds(total)}",
    )  # fmt: skip


def _spread(slots: list[Counter[str]], provider: str, begin: float, end: float) -> None:
    """Add a kernel's time to the slots that it lies in."""
    for i in range(int(begin), min(len(slots), math.ceil(end))):
        slots[i][provider] += min(end, i + 1) - max(begin, i)  # type: ignore[assignment]


def _slots(slots: Sequence[Counter[str]], colours: dict[str, int]) -> list[Node]:
    """An area for each provider."""
    owners = [max(s, key=lambda name: s[name]) if s else "" for s in slots]
    paths: dict[str, str] = {}
    begin = 0
    for i in range(1, len(owners) + 1):
        if i == len(owners) or owners[i] != owners[begin]:
            if owners[begin]:
                a, b = begin * WIDE // len(owners), i * WIDE // len(owners)
                paths[owners[begin]] = paths.get(owners[begin], "") + _rect(a, b)
            begin = i
    return [shape(path, f"k2 p{colours.get(name, 0)}") for name, path in paths.items()]


def _rect(a: int, b: int) -> str:
    return f"M{a} 0v{BAR}h{max(b - a, 1)}V0Z"


def _ribbons(above: Profiled, below: Profiled, slowest: Sequence[str], scale: Scale) -> Html:
    """Bands from a node in one bar to the node of that name in the next."""
    upper = {k.name: (a, b) for k, a, b in _spans(above)}
    lower = {k.name: (a, b) for k, a, b in _spans(below)}
    path = "".join(
        f"M{scale.at(upper[n][0])} 0H{scale.at(upper[n][1])}"
        f"L{scale.at(lower[n][1])} {RIBBON}H{scale.at(lower[n][0])}Z"
        for n in slowest
        if n in upper and n in lower
    )
    return tag(
        "svg", shape(path, "rb"), viewBox=f"0 0 {WIDE} {RIBBON}", preserveAspectRatio="none",
        class_="d", height=RIBBON, aria_hidden="true",
    )  # fmt: skip


def _providers(found: Sequence[Profiled], colours: dict[str, int]) -> Html:
    names = dict.fromkeys(k.provider for p in found for k in p.kernels)
    return tag(
        "p", *(joined((swatch(colours.get(n, 0), isolated(n)), " ")) for n in names), class_="keys"
    )


def _table(found: Sequence[Profiled], slowest: Sequence[str]) -> Html:
    times = [times_by_name(p) for p in found]
    kinds = {k.name: k.op_type for p in reversed(found) for k in p.kernels}
    head = tag(
        "tr",
        tag("th", "Slowest nodes", scope="col"),
        tag("th", "operator", scope="col"),
        *(tag("th", breakable(p.subject.column), scope="col") for p in found),
    )
    body = [
        tag(
            "tr",
            tag("th", isolated(name), scope="row"),
            tag("td", kinds[name], class_="s"),
            *(tag("td", _share(t, name, p)) for p, t in zip(found, times, strict=True)),
        )
        for name in slowest
    ]
    table = tag("table", tag("thead", head), tag("tbody", *body), class_="num")
    return scrolled(table, "Slowest nodes")


def _share(times: Counter[str], name: str, p: Profiled) -> str:
    if name not in times:
        return "not there"  # fused into another node, or compiled into a subgraph
    return f"{microseconds(times[name])} ({percent(times[name] / p.total_us if p.total_us else None)})"


def _unprofiled(missing: Sequence[tuple[Subject, str]]) -> str:
    return "; ".join(f"{s.column}: {why}" for s, why in missing)
