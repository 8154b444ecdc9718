"""What the documents point at is there, what they tell to type can be typed, and their example backend runs."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from perf.schema.record import Passed, Skipped
from tests import models
from tests.asking import QUICK, ask

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
OURS = [CONTRIBUTING, *DECISIONS]  # those that speak of the code itself
PLACES = r"perf|tests|setup_models|comparison|docker|docs|benchmarks|azure-pipelines|\.ci|\.github"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def links(path: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    yield from re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text))


def anchors(path: Path) -> set[str]:
    """Headings as the forges turn them into anchors."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in found}


def block(path: Path, language: str) -> str:
    """The first fenced block of a language."""
    found = re.search(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.M | re.S)
    assert found, f"{named(path)} has no {language} block"
    return found[1]


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_resolve(path: Path) -> None:
    broken = []
    for link in links(path):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        there = (path.parent / target) if target else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_make_targets_and_modules_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, flags=re.M))
    called = re.findall(r"(?:`|^|&& |\$ )make ([a-z-]+)", text, flags=re.M)
    modules = re.findall(r"python3? -m ([\w.]+\w)", text)
    assert set(called) <= targets
    assert [m for m in modules if importlib.util.find_spec(m) is None] == []


@pytest.mark.parametrize("path", OURS, ids=named)
def test_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    spans = re.findall(rf"(?:^|[\s`(])((?:{PLACES})/[\w./-]*)`", text, flags=re.M)
    assert [s for s in spans if not (ROOT / s).exists()] == []


@pytest.mark.parametrize("path", OURS, ids=named)
def test_what_is_said_to_be_in_a_file_is_in_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    said = re.findall(r"`(\w+)` in\s+`([\w/]+\.py)`", text)
    wrong = [
        (word, file)
        for word, file in said
        if not re.search(rf"\b{word}\b", (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert wrong == []


def test_the_index_lists_every_document() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    all_of_them = {p for p in (ROOT / "docs").rglob("*.md") if p != index}
    assert sorted(map(named, all_of_them - listed)) == [], "add a line to docs/README.md"


def test_the_example_backend_runs_as_printed(tmp_path: Path) -> None:
    (tmp_path / "onnx_evaluator.py").write_text(block(CONTRIBUTING, "python"), encoding="utf-8")
    (tmp_path / "environments.toml").write_text(block(CONTRIBUTING, "toml"), encoding="utf-8")
    models.linear(tmp_path / "models" / "linear")
    both = ("-r", "both", "-b", "both")
    said = ask(tmp_path, *QUICK, "-e", "OnnxEvaluator", "cpu", *both)
    assert said.status == 0, said.err
    by_target = {(r.cell.target.name, r.cell.io.value): r for r in said.records.values()}
    ours = by_target["OnnxEvaluator", "host"]
    assert isinstance(ours.outcome, Passed)
    assert [len(x.compared) for x in ours.launches] == [
        2,
        2,
        2,
    ]  # two sets; the first and the last timed run
    assert [len(x.timed.samples_ns) for x in ours.launches if x.timed] == [4, 4]
    assert isinstance(by_target["OnnxEvaluator", "device"].outcome, Skipped)
    assert isinstance(by_target["CPUExecutionProvider", "host"].outcome, Passed)


def test_the_example_backend_is_found_wrong_where_it_is(tmp_path: Path) -> None:
    """The same file with one value changed: what the example shows is really held against the reference."""
    text = block(CONTRIBUTING, "python")
    spoilt = text.replace(
        "self._model.run(None, dict(feed))",
        "[x * 1.01 for x in self._model.run(None, dict(feed))]",
    )
    assert spoilt != text
    (tmp_path / "onnx_evaluator.py").write_text(spoilt, encoding="utf-8")
    (tmp_path / "environments.toml").write_text(block(CONTRIBUTING, "toml"), encoding="utf-8")
    models.linear(tmp_path / "models" / "linear")
    said = ask(tmp_path, *QUICK, "-e", "OnnxEvaluator", "-r", "both")
    (row,) = said.cells.values()
    assert (row["outcome"], row["p50_ms"]) == ("Mismatched", None)
