"""Tables that others published, as CSV, read into points: a row a number, or a column a backend."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from perf.honesty.rules import Point
from perf.request.bad_request import BadRequestError
from perf.results import tables

LIMIT = 16 << 20  # bytes
_PRECISION = re.compile(r"\b(?:fp32|tf32|fp16|half|bf16|int8)(?:\+(?:fp32|fp16|bf16))*", re.I)
_TAGS = re.compile(r"<[^>]*>|[*_`]")
_RATE = re.compile(r"imgs?/s|items?/s|fps|throughputs? ?\(", re.I)


def read_points(path: Path) -> tuple[Point, ...]:
    """Every number of a table that is a throughput or a latency; raises BadRequestError for none."""
    try:
        if path.stat().st_size > LIMIT:
            raise BadRequestError(f"{path}: larger than {LIMIT >> 20} MiB: no table of results")
        rows = tables.read_rows(path)
    except (OSError, UnicodeDecodeError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else f"not CSV: {e}"
        raise BadRequestError(f"{path}: {why}") from e
    points = tuple(
        p for number, row in enumerate(rows, 2) for p in _of_row(row, f"{path.name}:{number}")
    )
    if not points:
        raise BadRequestError(
            f"{path}: no column of throughput (imgs/sec, FPS) or latency (ms) in it"
        )
    return points


def _of_row(row: Mapping[str, str], where: str) -> list[Point]:
    told = {_plain(k): _plain(v) for k, v in row.items() if k}
    device = _value(told, "device", "gpu")
    model = _model(_value(told, "task", "model"))
    batch = _number(_value(told, "batch size", "batch", "batch_size"))
    per_watt = _number(next((v for k, v in told.items() if "watt" in k), ""))
    latency = _number(_latency(told))
    rates = {
        k: n for k, v in told.items() if _RATE.search(k) and "watt" not in k and (n := _number(v))
    }
    backend, precision = (
        _value(told, "backend"),
        _value(told, "precision", "amp_dtype", "trt.enabled_precisions"),
    )
    if backend or (latency and not rates):  # a number a row
        rate = next(
            (n for k, n in rates.items() if "median" in k), next(iter(rates.values()), None)
        )
        held = _value(told, "model's precision")
        named = f"{backend} {held}".strip()
        fed = int(batch) if batch else None
        reduced = precision.lower() or "fp32"
        point = Point(where, device, model, named, reduced, fed, rate, latency, per_watt)
        return [point] if rate or latency else []
    best = max(rates, key=lambda k: rates[k], default="")
    return [
        Point(
            f"{where} {k}", device, model, _backend(k), _precision(k), int(batch) if batch else None, n,
            None, per_watt if k == best else None,
        )
        for k, n in rates.items()
    ]  # fmt: skip


def _latency(row: Mapping[str, str]) -> str:
    """The median latency, else one that is not said to be the mean, else that."""
    named = [k for k in row if "latency" in k or k.endswith("(ms)")]
    named.sort(key=lambda k: ("median" not in k, "mean" in k))
    return row[named[0]] if named else ""


def _plain(text: str | None) -> str:
    return " ".join(_TAGS.sub(" ", text or "").split()).lower()


def _value(row: Mapping[str, str], *names: str) -> str:
    return next((row[n] for n in names if row.get(n)), "")


def _model(text: str) -> str:
    """What a task's cell names in brackets, else the whole."""
    inside = re.search(r"\(([^)]*)\)", text)
    return inside[1].strip() if inside else text


def _number(text: str) -> float | None:
    found = re.match(r"\s*(\d+(?:\.\d+)?(?:e-?\d+)?)", text)
    return float(found[1]) if found else None


def _backend(heading: str) -> str:
    return _PRECISION.sub("", heading.partition("(")[0]).strip(" -") or heading


def _precision(heading: str) -> str:
    found = _PRECISION.search(heading)
    return found[0].lower() if found else "fp32"


def rows_of(points: Sequence[Point]) -> int:
    """How many rows of a table its points are of."""
    return len({p.where.partition(" ")[0] for p in points})
