"""The page of a use case as a reader opens it: from a file, with no network."""

import pytest

from .conftest import Seen

SLOW = pytest.mark.slow
SEEN = [
    ("results", "salaries", "light", 1280),
    pytest.param("results", "salaries", "dark", 390, marks=SLOW),
    pytest.param("images", "digits", "dark", 1280, marks=SLOW),
    pytest.param("images", "digits", "light", 390, marks=SLOW),
]


@pytest.mark.parametrize(("fixture", "use_case", "scheme", "width"), SEEN)
def test_page_opens_without_errors_and_asks_for_nothing_elsewhere(window, request, fixture, use_case, scheme, width):
    path = request.getfixturevalue(fixture) / "08_reporting" / use_case / "report.html"
    page = window.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    seen = Seen(page, path.as_uri())
    page.goto(path.as_uri())
    page.wait_for_load_state("load")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(300)
    assert (seen.errors, seen.elsewhere) == ([], [])
    assert page.locator(".js-plotly-plot svg.main-svg").count() > 0
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, "the page is wider than the screen"
    page.close()
