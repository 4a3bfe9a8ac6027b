"""`make screenshot`: a picture of the page of a running stack, with some tasks in each status.

It submits those tasks itself, so take it of a stack where that does no harm.
"""

import sys

from playwright.sync_api import expect, sync_playwright

from client.address import base_url
from tests.e2e.page.conftest import is_live, started

#: Submits tasks that take their time, some of which fail.
SUBMIT = """async () => {
  for (let n = 1; n <= 9; n++) {
    const payload = { seconds: n % 3, failureRate: n % 4 === 0 ? 1 : 0 };
    const body = JSON.stringify({ taskId: `order-${1000 + n}`, payload });
    await fetch("tasks", { method: "POST", headers: { "content-type": "application/json" }, body });
  }
}"""

SLOW = """async () => {
  for (const n of [10, 11]) {
    const body = JSON.stringify({ taskId: `order-${1000 + n}`, payload: { seconds: 8, failureRate: 0 } });
    await fetch("tasks", { method: "POST", headers: { "content-type": "application/json" }, body });
  }
}"""


def main() -> None:
    """Arguments: the API's URL and the file to write."""
    url, file = base_url(sys.argv[1]), sys.argv[2]
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright, started(playwright) as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 820}, locale="en-GB", timezone_id="UTC")
        page.goto(f"{url}/")
        is_live(page)
        page.evaluate(SUBMIT)
        expect(page.locator('tbody tr[data-status="FAILED"]')).to_have_count(2)
        page.evaluate(SLOW)
        expect(page.locator('tbody tr[data-status="PROCESSING"]')).to_have_count(2)
        page.screenshot(path=file)


if __name__ == "__main__":
    main()
