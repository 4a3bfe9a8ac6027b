"""The page in a real browser, against a running stack."""

from __future__ import annotations

import json
import re

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Playwright, expect

from tests.e2e.conftest import LocalStack
from tests.waiting import wait_for

from .conftest import CONTRASTS, Wire, is_live, opened, started
from .made_up import MadeUpApi, task

pytestmark = pytest.mark.xdist_group("page")


def row(page: Page, task_id: str) -> Locator:
    """The row of a task."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=task_id, exact=True))


def status(page: Page, task_id: str) -> Locator:
    """The cell with the status of a task."""
    return row(page, task_id).get_by_role("cell").first


def submit(page: Page, task_id: str, payload: object) -> None:
    """Submits a task with the form."""
    page.get_by_role("radio", name="Payload").check()
    page.get_by_role("textbox", name="Payload").fill(json.dumps(payload))
    page.get_by_role("textbox", name="Task ID").fill(task_id)
    page.get_by_role("button", name="Submit", exact=True).click()


def test_a_submitted_task_is_seen_through_to_its_end(page: Page) -> None:
    page.evaluate("window.isTheSamePage = true")
    submit(page, "page-good", {"seconds": 1})
    expect(page.get_by_role("status").filter(has_text="Task page-good was accepted.")).to_be_visible()
    expect(status(page, "page-good")).to_have_text("Completed")
    assert page.evaluate("statuses['page-good']") == ["PENDING", "PROCESSING", "COMPLETED"]
    assert page.evaluate("isTheSamePage")
    row(page, "page-good").get_by_role("link").click()
    dialog = page.get_by_role("dialog", name="page-good")
    expect(dialog.get_by_role("list", name="Attempts")).to_contain_text("Attempt 1 succeeded")
    expect(dialog.get_by_label("Data")).to_have_text('{ "seconds": 1 }')
    expect(dialog.get_by_label("Result")).to_have_text('{ "workedSeconds": 1 }')


def test_a_failed_task_is_retried_from_its_row_and_from_its_detail(page: Page) -> None:
    submit(page, "page-doomed", {"seconds": 0, "failureRate": 1})
    retry = row(page, "page-doomed").get_by_role("button", name="Retry page-doomed")
    expect(status(page, "page-doomed")).to_have_text("Failed")
    expect(row(page, "page-doomed")).to_contain_text("RuntimeError: simulated failure of attempt 3")
    retry.focus()
    page.keyboard.press("Enter")
    expect(retry).to_be_hidden()
    expect(row(page, "page-doomed").get_by_role("link")).to_be_focused()
    expect(row(page, "page-doomed")).to_contain_text("(run 2)")

    submit(page, "page-hopeless", {"seconds": -1})
    expect(status(page, "page-hopeless")).to_have_text("Failed")
    row(page, "page-hopeless").get_by_role("link").click()
    dialog = page.get_by_role("dialog", name="page-hopeless")
    dialog.get_by_role("button", name="Retry").click()
    story = dialog.get_by_role("list", name="Attempts").get_by_role("listitem")
    failures = ["Accepted", "Attempt 1 failed after", "Run 2, attempt 1 failed after"]
    expect(story).to_contain_text(failures)
    page.keyboard.press("Escape")

    expect(status(page, "page-doomed")).to_have_text("Failed")
    row(page, "page-doomed").get_by_role("link").click()
    dialog = page.get_by_role("dialog", name="page-doomed")
    story = dialog.get_by_role("list", name="Attempts").get_by_role("listitem")
    expect(story).to_contain_text(
        [
            "Accepted",
            "Earlier attempts are no longer kept",
            "Attempt 2 failed after",
            "Attempt 3 failed after",
            "Run 2, attempt 1 failed after",
            "Run 2, attempt 2 failed after",
            "Run 2, attempt 3 failed after",
        ]
    )


def test_markup_in_a_task_is_text(page: Page, reliable: LocalStack) -> None:
    markup = "<img src=x onerror=\"window.ran = true; document.title = 'ran'\">"
    page.evaluate("window.ran = false")
    submit(page, "page-markup", {"seconds": markup, markup: "<script>window.ran = true</script>"})
    expect(status(page, "page-markup")).to_have_text("Failed")
    # As if the exception of a task type had quoted its payload.
    reliable.dynamodb.update_item(
        TableName=reliable.table,
        Key={"taskId": {"S": "page-markup"}, "part": {"S": "state"}},
        UpdateExpression="SET errorMessage = :markup, version = version + :more",
        ExpressionAttributeValues={":markup": {"S": markup}, ":more": {"N": "10"}},
    )
    expect(row(page, "page-markup")).to_contain_text("<img src=x")
    row(page, "page-markup").get_by_role("link").click()
    dialog = page.get_by_role("dialog", name="page-markup")
    expect(dialog.get_by_label("Data")).to_contain_text("<img src=x onerror=")
    expect(dialog.get_by_label("Data")).to_contain_text("<script>window.ran = true</script>")
    expect(dialog.get_by_label("Error")).to_contain_text("<img src=x")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    assert page.evaluate("ran") is False


@pytest.mark.long
def test_the_page_catches_up_when_the_server_is_back(playwright: Playwright, reliable: LocalStack) -> None:
    address = httpx.URL(reliable.page_url)
    assert address.port
    wire = Wire(address.port)
    wire.mend()
    # Addresses and policy stay the stack's; only where the browser connects is another port.
    with (
        started(playwright, f"--host-resolver-rules=MAP * 127.0.0.1:{wire.port}") as browser,
        opened(browser, forgive=["Failed to load resource", "WebSocket connection"]) as page,
    ):
        page.goto(reliable.page_url)
        is_live(page)
        submit(page, "page-before", {"seconds": 8})
        expect(status(page, "page-before")).to_have_text(re.compile("Pending|Processing"))
        connection = page.get_by_role("group", name="Connection")

        wire.cut()
        expect(connection).to_contain_text("Offline.")
        expect(connection).to_contain_text("Next try in")
        expect(connection.get_by_role("button", name="Try now")).to_be_visible()
        for number in range(3):
            reliable.submit(f"page-behind-{number}")
            reliable.finished(f"page-behind-{number}")
        reliable.finished("page-before")
        submit(page, "page-unsent", {"seconds": 0})
        expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
        expect(page.get_by_role("textbox", name="Task ID")).to_have_value("page-unsent")
        expect(row(page, "page-behind-0")).to_have_count(0)

        wire.mend()
        is_live(page)
        for task_id in ("page-before", "page-behind-0", "page-behind-1", "page-behind-2"):
            expect(status(page, task_id)).to_have_text("Completed")
        page.get_by_role("button", name="Submit", exact=True).click()
        expect(status(page, "page-unsent")).to_have_text("Completed")
        wire.cut()


def test_it_works_by_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the list")).to_be_focused()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "taskId":
            break
    expect(page.get_by_role("textbox", name="Task ID")).to_be_focused()
    page.keyboard.type("page-typed")
    page.keyboard.press("Enter")
    link = row(page, "page-typed").get_by_role("link")
    expect(link).to_be_visible()
    for _ in range(20):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    expect(link).to_be_focused()
    assert link.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="page-typed")
    expect(dialog).to_be_visible()
    assert page.url.endswith("#task=page-typed")
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(link).to_be_focused()
    assert "#" not in page.url


def test_everything_has_a_name(page: Page) -> None:
    submit(page, "page-named", {"seconds": 0})
    expect(row(page, "page-named")).to_be_visible()
    for name in ("Status", "Task", "Type", "Attempts", "Created", "Updated"):
        expect(page.get_by_role("columnheader", name=name, exact=True)).to_be_visible()
    expect(page.get_by_role("table", name="Task list")).to_be_visible()
    expect(page.get_by_role("rowheader", name="page-named")).to_be_visible()
    expect(page.get_by_role("combobox", name="Status")).to_be_visible()
    expect(page.get_by_role("combobox", name="Type", exact=True).first).to_be_visible()
    expect(page.get_by_role("spinbutton", name="How many")).to_be_visible()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select, textarea")].filter((node) =>
             node.checkVisibility() && !node.labels?.length && !node.ariaLabel && !node.textContent.trim()
           ).map((node) => node.outerHTML)"""
    )
    assert nameless == []


def test_mistakes_are_told_beside_their_fields_and_nothing_typed_is_lost(
    browser: Browser, reliable: LocalStack
) -> None:
    with opened(browser, forgive=["400 (Bad Request)"]) as page:
        page.goto(reliable.page_url)
        payload, task_id = (page.get_by_role("textbox", name=name) for name in ("Payload", "Task ID"))
        submit(page, "no spaces", "no object")
        expect(payload).to_have_accessible_description(re.compile("The payload must be a JSON object"))
        expect(payload).to_be_focused()
        payload.fill('{"seconds": 0')
        page.get_by_role("button", name="Submit", exact=True).click()
        expect(payload).to_have_accessible_description(re.compile("The payload is not JSON"))
        payload.fill('{"seconds": 0}')
        page.get_by_label("Type").first.fill("nope")
        page.get_by_role("button", name="Submit", exact=True).click()
        expect(task_id).to_have_accessible_description(re.compile(r"The task ID is 'no spaces'; it must be"))
        expect(page.get_by_label("Type").first).to_have_accessible_description(
            re.compile("The type is 'nope'")
        )
        expect(task_id).to_have_value("no spaces")
        expect(payload).to_have_value('{"seconds": 0}')


@pytest.mark.long
def test_many_tasks_are_submitted_for_a_demonstration(page: Page) -> None:
    page.get_by_role("radio", name="Payload").check()
    page.get_by_role("textbox", name="Payload").fill('{"seconds": 0}')
    page.get_by_role("textbox", name="Task ID").fill("page-many")
    page.get_by_role("spinbutton", name="How many").fill("120")
    page.get_by_role("button", name="Submit 120 tasks").click()
    expect(page.get_by_role("status").filter(has_text="120 of 120 tasks were accepted.")).to_be_visible()
    for task_id in ("page-many-1", "page-many-120"):
        expect(status(page, task_id)).to_have_text("Completed")


def test_the_status_filter_asks_the_server(page: Page, reliable: LocalStack) -> None:
    reliable.submit("page-filtered", payload={"seconds": -1})
    reliable.finished("page-filtered")
    reliable.submit("page-unfiltered")
    reliable.finished("page-unfiltered")
    with page.expect_response(re.compile(r"/tasks\?.*status=FAILED")):
        page.get_by_role("combobox", name="Status").select_option(label="Failed")
    expect(row(page, "page-filtered")).to_be_visible()
    expect(row(page, "page-unfiltered")).to_have_count(0)
    reliable.submit("page-filtered-live", payload={"seconds": -1})
    expect(row(page, "page-filtered-live")).to_be_visible()


def test_a_link_opens_a_task(browser: Browser, reliable: LocalStack) -> None:
    reliable.submit("page:linked")
    with opened(browser, forgive=["404 (Not Found)"]) as page:
        page.goto(f"{reliable.page_url}#task=page%3Alinked")
        expect(page.get_by_role("dialog", name="page:linked")).to_contain_text("Completed")
        assert page.title().startswith("page:linked")
        page.evaluate("location.hash = '#task=page-nobody'")
        expect(page.get_by_role("dialog", name="page-nobody")).to_contain_text(
            "There is no task page-nobody."
        )
        page.keyboard.press("Escape")
        expect(page.get_by_role("heading", name="Task list")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark_and_on_a_phone(
    browser: Browser, reliable: LocalStack, scheme: str
) -> None:
    viewport = {"width": 360, "height": 740}
    with opened(browser, color_scheme=scheme, viewport=viewport, has_touch=True) as page:
        states = ("PENDING", "PROCESSING", "RETRYING", "COMPLETED", "FAILED", "CANCELLED")
        failed = {"errorMessage": "Error: " + "x" * 200, "history": [{"run": 1, "attempt": 1}]}
        tasks = [task(number, status=state) for number, state in enumerate(states)]
        MadeUpApi(page, [task(9, taskId="x" * 128, type="y" * 64, status="FAILED", **failed), *tasks[::-1]])
        page.goto(reliable.page_url)
        is_live(page)
        expect(page.get_by_role("row")).to_have_count(1 + 7)
        for open_form in (False, True):
            if open_form:
                page.get_by_role("heading", name="Submit").click()
                expect(page.get_by_role("button", name="Submit", exact=True)).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") == 360
        # A row cuts off what does not fit, so that the page would not get wider.
        box = page.get_by_role("link", name="x" * 128).bounding_box()
        assert box
        assert box["x"] + box["width"] <= 360
        assert page.evaluate(CONTRASTS) == []
        luminance = page.evaluate("luminance(getComputedStyle(document.body).backgroundColor)")
        assert luminance < 0.1 if scheme == "dark" else luminance > 0.8
        page.get_by_role("link", name="x" * 128).click()
        expect(page.get_by_role("dialog")).to_contain_text("Attempt 1 crashed")
        assert page.evaluate("document.querySelector('dialog').scrollWidth") == 360
        assert page.evaluate(CONTRASTS) == []


def test_an_empty_list_says_what_to_do(browser: Browser, reliable: LocalStack) -> None:
    with opened(browser) as page:
        MadeUpApi(page, [])
        page.goto(reliable.page_url)
        expect(page.get_by_text("No tasks yet. Submit the first one with the form above.")).to_be_visible()


def test_an_update_counts_only_if_it_is_newer(browser: Browser, reliable: LocalStack) -> None:
    with opened(browser) as page:
        api = MadeUpApi(page, [task(1, version=5, status="PROCESSING")])
        page.goto(reliable.page_url)
        is_live(page)
        expect(status(page, "task-1")).to_have_text("Processing")
        api.push(task(1, version=4, status="PENDING"), task(1, version=5, status="RETRYING"))
        api.say({"message": "Internal server error"})
        api.push(task(2, status="SUSPENDED"))  # a status of the future, after which the older have been seen
        expect(status(page, "task-2")).to_have_text("Suspended")
        expect(status(page, "task-1")).to_have_text("Processing")
        api.push(task(1, version=6, status="FAILED"))
        expect(status(page, "task-1")).to_have_text("Failed")
        # Its ID was used anew: a new task with a low version, and the newest of all.
        api.push(task(1, version=1, createdAt="2026-01-02T00:00:00.000Z"))
        expect(status(page, "task-1")).to_have_text("Pending")
        expect(page.get_by_role("rowheader")).to_have_text(["task-1", "task-2"])
        expect(page.get_by_label("Tasks shown, by status")).to_contain_text("Suspended")


def test_a_gap_longer_than_a_page_leaves_no_hole(browser: Browser, reliable: LocalStack) -> None:
    with opened(browser) as page:
        api = MadeUpApi(page, [task(number) for number in range(150, 0, -1)])
        page.clock.install()
        page.goto(reliable.page_url)
        is_live(page)
        expect(page.get_by_role("rowheader")).to_have_count(100)
        done = [task(number, version=3, status="COMPLETED") for number in range(400, 0, -1)]
        api.tasks = [entry for entry in done if entry["taskId"] != "task-120"]  # its record has expired
        page.clock.fast_forward("00:10")  # younger, it could be one that the list does not have yet
        api.close()
        expect(row(page, "task-400")).to_be_visible()
        expect(row(page, "task-120")).to_have_count(0)
        is_live(page)
        shown = page.get_by_role("rowheader").all_text_contents()
        assert shown == [entry["taskId"] for entry in api.tasks][: len(shown)]
        assert len(shown) >= 349


def test_a_connection_that_falls_silent_is_replaced(browser: Browser, reliable: LocalStack) -> None:
    with opened(browser) as page:
        api = MadeUpApi(page, [task(1)])
        page.clock.install()
        page.goto(reliable.page_url)
        is_live(page)
        page.clock.fast_forward("01:01")  # a ping, which is answered
        # Frames keep their order: with this one the page has the answer.
        api.push(task(2))
        expect(page.locator("tbody tr")).to_have_count(2)
        page.clock.fast_forward("00:11")
        is_live(page)
        assert len(api.sockets) == 1
        api.unanswered.add("ping")
        page.clock.fast_forward("01:01")
        page.clock.fast_forward("00:11")
        wait_for(lambda: page.evaluate("1") and len(api.sockets) == 2, "another connection")
        is_live(page)


def test_a_connection_that_is_not_subscribed_any_more_is_replaced_and_the_gap_is_read(
    browser: Browser, reliable: LocalStack
) -> None:
    with opened(browser) as page:
        api = MadeUpApi(page, [task(1)])
        page.clock.install()
        page.goto(reliable.page_url)
        is_live(page)
        expect(status(page, "task-1")).to_have_text("Pending")
        api.tasks = [task(1, version=3, status="COMPLETED")]  # pushed to nobody
        api.is_subscribed = False
        page.clock.fast_forward("01:01")
        wait_for(lambda: page.evaluate("1") and len(api.sockets) == 2, "another connection")
        is_live(page)
        expect(status(page, "task-1")).to_have_text("Completed")


def test_a_subscription_without_an_answer_is_given_up_although_updates_come(
    browser: Browser, reliable: LocalStack
) -> None:
    with opened(browser) as page:
        api = MadeUpApi(page, [task(1)])
        api.unanswered.add("subscribe")
        page.clock.install()
        page.goto(reliable.page_url)
        wait_for(lambda: page.evaluate("1") and api.sockets, "a connection")
        api.push(task(2))
        expect(row(page, "task-2")).to_be_visible()
        connection = page.get_by_role("group", name="Connection")
        expect(connection).to_have_text("Connecting…", use_inner_text=True)
        api.unanswered.clear()
        page.clock.fast_forward("00:11")
        wait_for(lambda: page.evaluate("1") and len(api.sockets) == 2, "another connection")
        is_live(page)


def test_an_update_that_overtakes_an_older_page_is_not_lost(browser: Browser, reliable: LocalStack) -> None:
    with opened(browser) as page:
        api = MadeUpApi(page, [task(number) for number in range(150, 0, -1)])
        page.goto(reliable.page_url)
        is_live(page)
        expect(page.get_by_role("rowheader")).to_have_count(100)
        api.hold = "/tasks?"
        page.get_by_role("button", name="Show older").click()
        held(page, api)
        push_and_see(page, api, 151)
        api.release()
        expect(page.get_by_role("rowheader")).to_have_count(151)
        expect(status(page, "task-20")).to_have_text("Completed")


def test_an_update_that_overtakes_the_read_after_a_gap_is_not_lost(
    browser: Browser, reliable: LocalStack
) -> None:
    with opened(browser) as page:
        api = MadeUpApi(page, [task(number) for number in range(150, 0, -1)])
        page.goto(reliable.page_url)
        is_live(page)
        expect(page.get_by_role("rowheader")).to_have_count(100)
        api.tasks = [task(number) for number in range(210, 0, -1)]
        api.hold = "/tasks?"
        api.close()
        held(page, api)
        is_live(page)
        api.release()
        held(page, api)  # the second page, which reaches further down than what was loaded
        push_and_see(page, api, 211)
        api.release()
        expect(page.get_by_role("rowheader")).to_have_count(201)
        expect(status(page, "task-20")).to_have_text("Completed")


def held(page: Page, api: MadeUpApi) -> None:
    """Waits for a request whose answer is kept back."""
    wait_for(lambda: page.evaluate("1") and api.held, "a request to hold")


def push_and_see(page: Page, api: MadeUpApi, newest: int) -> None:
    """Tells of the end of task 20, which is below what is loaded, twice; the page has heard it afterwards."""
    api.push(task(20, version=3, status="COMPLETED"))
    api.push(task(20, version=2, status="PROCESSING"), task(newest))
    expect(row(page, f"task-{newest}")).to_be_visible()


def test_a_tab_that_comes_to_the_front_reads(browser: Browser, reliable: LocalStack) -> None:
    with opened(browser) as page:
        api = MadeUpApi(page, [task(1)])
        page.goto(reliable.page_url)
        is_live(page)
        page.wait_for_load_state("networkidle")
        api.tasks = [task(1, version=2, status="PROCESSING")]
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(status(page, "task-1")).to_have_text("Processing")


def test_a_click_beside_the_detail_closes_it_and_one_inside_does_not(
    browser: Browser, reliable: LocalStack
) -> None:
    with opened(browser, viewport={"width": 1280, "height": 1200}) as page:
        MadeUpApi(page, [task(1)])
        page.goto(f"{reliable.page_url}#task=task-1")
        dialog = page.get_by_role("dialog", name="task-1")
        expect(dialog).to_contain_text("Waiting for a worker")
        assert page.evaluate("document.elementFromPoint(1000, 1190).tagName") == "DIALOG"
        page.mouse.click(1000, 1190)
        expect(dialog).to_be_visible()
        page.mouse.click(10, 1190)
        expect(dialog).to_be_hidden()


def test_a_double_click_retries_once(browser: Browser, reliable: LocalStack) -> None:
    with opened(browser) as page:
        api = MadeUpApi(page, [task(1, status="FAILED"), task(0, status="FAILED")])
        api.hold = "/retry"
        page.goto(reliable.page_url)
        button = page.get_by_role("button", name="Retry task-0")
        button.dblclick()
        held(page, api)
        expect(button).to_have_attribute("aria-disabled", "true")
        api.release()
        expect(status(page, "task-0")).to_have_text("Pending")

        page.get_by_role("link", name="task-1").click()
        dialog = page.get_by_role("dialog", name="task-1")
        button = dialog.get_by_role("button", name="Retry")
        button.dblclick()
        held(page, api)
        expect(button).to_have_attribute("aria-disabled", "true")
        expect(dialog).not_to_contain_text("Not retried")
        assert len(api.held) == 1
        api.release()
        expect(dialog).to_contain_text("Run 2 waits for a worker")


def test_the_focus_outlives_the_button_that_had_it(browser: Browser, reliable: LocalStack) -> None:
    with opened(browser, forgive=["503 (Service Unavailable)"]) as page:
        api = MadeUpApi(page, [task(number) for number in range(150, 0, -1)])
        page.goto(reliable.page_url)
        heading = page.get_by_role("heading", name="Task list")
        page.get_by_role("button", name="Show older").press("Enter")
        expect(page.get_by_text("These are all tasks there are.")).to_be_visible()
        expect(heading).to_be_focused()

        api.is_broken = True
        page.reload()
        again = page.get_by_role("button", name="Try again")
        again.focus()
        api.is_broken = False
        again.press("Enter")
        expect(again).to_be_hidden()
        expect(heading).to_be_focused()

        api.is_broken = True
        page.evaluate("location.hash = '#task=task-1'")
        dialog = page.get_by_role("dialog", name="task-1")
        again = dialog.get_by_role("button", name="Try again")
        again.focus()
        api.is_broken = False
        again.press("Enter")
        expect(dialog).to_contain_text("Waiting for a worker")
        expect(dialog.get_by_role("heading", name="task-1")).to_be_focused()


def test_a_slow_answer_about_one_task_holds_up_no_other(browser: Browser, reliable: LocalStack) -> None:
    with opened(browser) as page:
        api = MadeUpApi(page, [task(2, answer="two"), task(1, answer="one")])
        page.goto(reliable.page_url)
        expect(status(page, "task-1")).to_have_text("Pending")
        is_live(page)
        page.wait_for_load_state("networkidle")
        api.tasks = [task(2, answer="two"), task(1, version=2, status="PROCESSING", answer="one")]
        api.hold = "/tasks/task-1"
        page.get_by_role("link", name="task-1").click()
        held(page, api)
        page.evaluate("location.hash = '#task=task-2'")
        dialog = page.get_by_role("dialog", name="task-2")
        expect(dialog.get_by_label("Data")).to_have_text("two")
        api.release()
        expect(status(page, "task-1")).to_have_text("Processing")
        assert dialog.get_by_label("Data").text_content() == "two"
        api.tasks = [task(2, version=2, status="PROCESSING", attempts=1, answer="two, too")]
        api.push(task(2, version=3))
        expect(dialog.get_by_label("Data")).to_have_text("two, too")


def test_a_task_that_waits_is_cancelled_from_its_detail(page: Page, reliable: LocalStack) -> None:
    starts_at = reliable.submit("page-later", delaySeconds=600)["runAt"]
    row(page, "page-later").get_by_role("link").click()
    dialog = page.get_by_role("dialog", name="page-later")
    expect(dialog.locator("dt", has_text="Starts at")).to_be_visible()
    expect(dialog.locator(f'time[datetime="{starts_at}"]')).to_be_visible()
    cancel = dialog.get_by_role("button", name="Cancel")
    cancel.focus()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("list", name="Attempts").get_by_role("listitem")).to_contain_text(
        ["Accepted", "Cancelled"]
    )
    expect(cancel).to_be_hidden()
    expect(dialog.get_by_role("heading", name="page-later")).to_be_focused()
    expect(dialog.locator("dt", has_text="Starts at")).to_have_count(0)
    expect(page.locator("#announcer")).to_have_text("Task page-later is cancelled.")
    assert reliable.task("page-later")["status"] == "CANCELLED"
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Status").select_option(label="Cancelled")
    expect(status(page, "page-later")).to_have_text("Cancelled")


def test_only_what_waits_can_be_cancelled_and_a_refusal_is_told(
    browser: Browser, reliable: LocalStack
) -> None:
    with opened(browser, forgive=["409 (Conflict)"]) as page:
        states = ("COMPLETED", "PROCESSING", "FAILED", "CANCELLED", "RETRYING")
        tasks = [task(number, status=state) for number, state in enumerate(states)]
        api = MadeUpApi(page, tasks[::-1])
        page.goto(reliable.page_url)
        is_live(page)
        for number in range(4):
            page.get_by_role("link", name=f"task-{number}").click()
            dialog = page.get_by_role("dialog", name=f"task-{number}")
            expect(dialog.get_by_label("Data")).to_be_visible()
            expect(dialog.get_by_role("button", name="Cancel")).to_have_count(0)
            page.keyboard.press("Escape")
        page.get_by_role("link", name="task-4").click()
        dialog = page.get_by_role("dialog", name="task-4")
        expect(dialog.get_by_label("Data")).to_be_visible()
        cancel = dialog.get_by_role("button", name="Cancel")
        api.tasks = [task(4, status="PROCESSING")]  # version 1 still: only the refusal tells the page
        api.hold = "DELETE"
        cancel.dblclick()
        held(page, api)
        expect(cancel).to_have_attribute("aria-disabled", "true")
        assert len(api.held) == 1
        api.release()
        expect(dialog.get_by_role("alert")).to_have_text("Not cancelled: It is PROCESSING.")


@pytest.mark.long
def test_a_thousand_rows_stay_cheap(browser: Browser, reliable: LocalStack) -> None:
    with opened(browser) as page:
        api = MadeUpApi(page, [task(number) for number in range(1000, 0, -1)])
        page.goto(reliable.page_url)
        is_live(page)
        for rows in range(200, 1001, 100):
            page.get_by_role("button", name="Show older").click()
            expect(page.locator("tbody tr")).to_have_count(rows)
        expect(page.get_by_text("These are all tasks there are.")).to_be_visible()
        page.evaluate(
            """() => {
              window.touched = [];
              const target = document.querySelector("main");
              const kinds = { subtree: true, childList: true, characterData: true, attributes: true };
              new MutationObserver((changes) => touched.push(...changes)).observe(target, kinds);
            }"""
        )
        api.push(task(500, version=2, status="PROCESSING", attempts=1))
        expect(status(page, "task-500")).to_have_text("Processing")
        assert 1 <= page.evaluate("touched.length") <= 20
        page.evaluate("touched.length = 0")
        api.push(task(1001))
        expect(page.get_by_role("rowheader").first).to_have_text("task-1001")
        added = (
            "touched.flatMap(({ addedNodes }) => [...addedNodes]).filter(({ tagName }) => tagName === 'TR')"
        )
        assert page.evaluate(f"{added}.length") == 1
        assert page.evaluate("touched.length") <= 20

        # All of them at once: every update costs its own row, and the counts are drawn once, not a thousand times.
        page.evaluate("touched.length = 0")
        for start in range(1, 1001, 100):
            api.push(
                *(task(number, version=3, status="COMPLETED") for number in range(start, start + 100)),
            )
        expect(page.locator("tr[data-status=COMPLETED]")).to_have_count(1000)
        assert page.evaluate(f"{added}.length") == 0
        count = "touched.filter(({ target }) => target.closest?.('#counts')).length"
        assert page.evaluate(count) <= 100
