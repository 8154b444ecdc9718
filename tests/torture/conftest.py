"""The figures of the torture suite, one set for all its tests."""

import pytest

from tests.torture.figures import Figures

FIGURES = Figures()


@pytest.fixture
def figures() -> Figures:
    return FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := FIGURES.lines():
        terminalreporter.section("torture")
        for line in lines:
            terminalreporter.write_line(line)
