"""--export FORMAT[=PATH]: what is written of a run or a comparison for other programs, and where to."""

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.request.bad_request import BadRequestError

# Of a run; perf/exports has each but the page.
RUN_FORMATS = (
    "html", "junit", "ctrf", "sarif", "github", "github-summary", "markdown", "bencher", "csv", "json",
    "openmetrics",
)  # fmt: skip


@dataclass(frozen=True)
class ExportRequest:
    """One use of --export."""

    format: str
    path: Path | None = None  # None: stdout


def parse_export(text: str, formats: Collection[str]) -> ExportRequest:
    """FORMAT or FORMAT=PATH; raises ValueError for a format that is none of these, or an empty path."""
    name, equals, path = text.partition("=")
    if name not in formats:
        near = difflib.get_close_matches(name, list(formats), n=1)
        nearest = f"nearest is {near[0]}; " if near else ""
        raise ValueError(f"no format {name!r}: {nearest}use {', '.join(formats)}")
    if equals and not path:
        raise ValueError(f"{text} names no file: give {name}=PATH, or {name} alone for stdout")
    return ExportRequest(name, Path(path) if path else None)


def run_exports(value: Iterable[str]) -> tuple[str, ...]:
    """What several uses of a run's --export gave, each as it was typed; raises ValueError."""
    texts = tuple(value)
    for text in texts:
        parse_export(text, RUN_FORMATS)
    return texts


def refuse_rivals(requests: Sequence[ExportRequest], *, as_json: bool = False) -> None:
    """Stdout and a file take one document; raises BadRequestError for a second."""
    rivals = [f"--export {r.format}" for r in requests if r.path is None]
    rivals += ["--json"] if as_json else []
    if len(rivals) > 1:
        raise BadRequestError(f"{' and '.join(rivals)} both want stdout: give one of them =PATH")
    taken: dict[Path, str] = {}
    for r in requests:
        if r.path and (other := taken.setdefault(r.path.absolute(), r.format)) != r.format:
            raise BadRequestError(f"--export {other} and --export {r.format} both want {r.path}")
