"""The API's description in a real browser, as the API serves it."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import LocalStack

from .conftest import CONTRASTS, opened

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("page")]

#: The levels of the headings, in order; and what screen readers need of tables and landmarks.
HEADINGS = "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map((each) => Number(each.tagName[1]))"
UNNAMED = "[...document.querySelectorAll('table')].filter((each) => !each.caption?.innerText.trim()).length"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_is_readable_in_light_and_dark_and_on_a_phone(
    browser: Browser, reliable: LocalStack, scheme: str, width: int
) -> None:
    size = {"width": width, "height": 800}
    with opened(browser, viewport=size, color_scheme=scheme) as page:
        page.goto(f"{reliable.url}/docs")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Tasks API")
        page.locator("details").evaluate_all("(all) => all.forEach((each) => (each.open = true))")
        assert page.evaluate(OVERFLOW) <= 0
        assert page.evaluate(CONTRASTS) == []


def test_its_headings_nest_and_its_parts_have_names(browser: Browser, reliable: LocalStack) -> None:
    with opened(browser) as page:
        page.goto(f"{reliable.url}/docs")
        levels = page.evaluate(HEADINGS)
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
        assert page.evaluate(UNNAMED) == 0
        for landmark in ("banner", "main"):
            expect(page.get_by_role(landmark)).to_have_count(1)
        expect(page.get_by_role("navigation", name="Contents")).to_be_visible()
        # The layout of a phone must not cost the tables their meaning.
        page.set_viewport_size({"width": 360, "height": 800})
        table = page.get_by_role("table", name="Answers: Submit a task")
        expect(table.get_by_role("rowheader", name="202 Accepted")).to_be_visible()
        expect(table.get_by_role("columnheader", name="Status")).to_have_count(1)


def test_it_is_reached_from_the_task_list_and_its_request_works(page: Page, reliable: LocalStack) -> None:
    page.get_by_role("link", name="API", exact=True).click()
    page.get_by_role("navigation").get_by_role("link", name="POST /tasks", exact=True).click()
    operation = page.get_by_role("article", name="Submit a task")
    expect(operation).to_be_in_viewport()
    command = shlex.split(operation.locator("pre").first.inner_text())
    assert command[:2] == ["curl", f"{reliable.url}/tasks"]
    answer = reliable.http.post("/tasks", json=json.loads(command[-1]))
    assert answer.status_code == 202
    page.get_by_role("link", name="The task list").click()
    expect(page.get_by_role("link", name=answer.json()["taskId"])).to_be_visible()


def test_it_needs_no_script(browser: Browser, reliable: LocalStack) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{reliable.url}/docs")
    example = page.get_by_role("article", name="Submit a task").get_by_text("Example of 202 Accepted")
    body = page.get_by_role("article", name="Submit a task").get_by_text('"status": "PENDING"')
    expect(body).to_be_hidden()
    example.click()
    expect(body).to_be_visible()
    context.close()
