"""Reports of tests, as a worker of pytest-xdist can send them."""

from collections.abc import Generator

import pytest


def sendable(text: str) -> str:
    """Escape what UTF-8 cannot hold, such as half of a pair of surrogates: a worker of pytest-xdist dies of sending it."""
    return text.encode(errors="backslashreplace").decode()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let each report be sent, whatever its test printed, logged or was given."""
    report = yield
    report.sections = [(sendable(title), sendable(content)) for title, content in report.sections]
    if report.failed:
        report.longrepr = sendable(report.longreprtext)
    return report
