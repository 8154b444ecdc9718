"""JUnit XML: a suite per model, a case per target; what was not tried or was expected is skipped."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence

from perf.exports.case import Case, Result, cases_of, suites_of
from perf.exports.figures import figures_of
from perf.report.finished_run import FinishedRun

# What XML 1.0 cannot hold in any spelling (section 2.2).
NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(run: FinishedRun) -> str:
    """The run as one testsuites element."""
    suites = suites_of(cases_of(run))
    root = ET.Element("testsuites", name=_text(f"ep-perf {run.run_id}"))
    _count(root, [c for cases in suites.values() for c in cases])
    for model, cases in suites.items():
        suite = ET.SubElement(root, "testsuite", name=_text(model))
        if run.host:
            suite.set("hostname", _text(run.host.hostname))
        if stamp := max((c.record.finished_at for c in cases), default=""):
            suite.set("timestamp", _text(stamp.removesuffix("Z")))
        _count(suite, cases)
        for case in cases:
            _add(suite, case)
    ET.indent(root)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
    )


def _count(element: ET.Element, cases: Sequence[Case]) -> None:
    found = Counter(c.result for c in cases)
    element.set("tests", str(len(cases)))
    element.set("failures", str(found[Result.FAILED]))
    element.set("errors", str(found[Result.ERROR]))
    element.set("skipped", str(found[Result.SKIPPED]))
    element.set("time", f"{sum(c.record.wall_s for c in cases):.3f}")


def _add(suite: ET.Element, case: Case) -> None:
    element = ET.SubElement(
        suite, "testcase", name=_text(case.name), classname=_text(case.model),
        time=f"{case.record.wall_s:.3f}",
    )  # fmt: skip
    properties = {name: f"{value:.9g}" for name, value in figures_of(case).items()}
    if case.unexpected_pass:
        properties["unexpected_pass"] = case.unexpected_pass
    if properties:
        held = ET.SubElement(element, "properties")
        for name, told in properties.items():
            ET.SubElement(held, "property", name=name, value=_text(told))
    match case.result:
        case Result.PASSED:
            pass
        case Result.SKIPPED:
            ET.SubElement(element, "skipped", message=_text(case.message))
        case Result.FAILED:
            _fail(element, "failure", case)
        case Result.ERROR:
            _fail(element, "error", case)
    if case.unexpected_pass:
        out = ET.SubElement(element, "system-out")
        out.text = _text(f"unexpected pass: {case.unexpected_pass}")


def _fail(element: ET.Element, name: str, case: Case) -> None:
    told = ET.SubElement(element, name, message=_text(case.message), type=case.kind)
    told.text = _text(case.details)


def _text(text: str) -> str:
    return NO_XML.sub("\ufffd", text)
