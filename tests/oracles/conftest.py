"""Shows, where oracles were asked, how often and how far from them the numbers were."""

import pytest

from tests.oracles import agreement


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in agreement.lines():
        terminalreporter.write_line(line)
