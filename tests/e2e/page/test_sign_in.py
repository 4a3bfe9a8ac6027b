"""The page of a stack that wants tokens."""

from __future__ import annotations

import json
from collections.abc import Generator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.conftest import LocalStack, running
from tests.e2e.token_issuer import AUDIENCE, TokenIssuer, issuing

from .conftest import is_live, opened

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("sign-in")]

REFUSED = json.dumps({"message": "Unauthorized"})


@pytest.fixture(scope="module")
def issuer() -> Generator[TokenIssuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def guarded(issuer: TokenIssuer, tmp_path_factory: pytest.TempPathFactory) -> Generator[LocalStack]:
    """A stack that wants tokens."""
    config = ("auth=jwt", f"jwtIssuer={issuer.url}", f"jwtAudience={AUDIENCE}", "failureRate=0")
    with running(tmp_path_factory.mktemp("sign-in") / "log", *config) as stack:
        yield stack


@pytest.fixture
def page(browser: Browser, guarded: LocalStack) -> Generator[Page]:
    """The page, which has just been opened."""
    with opened(browser, forgive=["401"]) as page:
        page.goto(guarded.page_url)
        yield page


def sign_in(page: Page, token: str) -> None:
    dialog = page.get_by_role("dialog", name="A token is needed")
    dialog.get_by_label("Token", exact=True).fill(token)
    dialog.get_by_role("button", name="Continue").click()


def test_it_asks_for_a_token_and_works_with_it(page: Page, issuer: TokenIssuer) -> None:
    dialog = page.get_by_role("dialog", name="A token is needed")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("alert")).to_be_hidden()
    # It cannot be waved away.
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    sign_in(page, "")
    expect(dialog.get_by_role("alert")).to_have_text("Paste a token first.")
    sign_in(page, "two words")
    expect(dialog.get_by_role("alert")).to_have_text("This is not a token.")
    sign_in(page, issuer.bad_tokens()["expired"])
    expect(dialog.get_by_role("alert")).to_contain_text("The server does not take this token")
    token = issuer.token()
    sign_in(page, f"Bearer {token}")
    expect(dialog).to_be_hidden()
    is_live(page)
    page.get_by_role("textbox", name="Task ID").fill("signed-in")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="signed-in")).to_contain_text("Completed")
    # Nothing but the page itself knows it.
    kept = page.evaluate(
        "[location.href, document.cookie, {...localStorage}, {...sessionStorage}, $('token').value]"
    )
    assert kept == [page.url, "", {}, {}, ""]
    assert token not in page.url
    page.reload()
    expect(dialog).to_be_visible()


def test_a_token_that_is_no_longer_taken_is_forgotten_and_what_was_asked_is_done_once(
    page: Page, guarded: LocalStack, issuer: TokenIssuer
) -> None:
    first, second = issuer.token(), issuer.token(sub="someone else")
    sent: list[str | None] = []

    def refuse_the_first(route: Route) -> None:
        sent.append(route.request.headers.get("authorization"))
        if sent[-1] == f"Bearer {first}":
            route.fulfill(status=401, content_type="application/json", body=REFUSED)
        else:
            route.continue_()

    sign_in(page, first)
    is_live(page)
    page.route(
        "**/tasks",
        lambda route: refuse_the_first(route) if route.request.method == "POST" else route.continue_(),
    )
    page.get_by_role("textbox", name="Task ID").fill("asked-once")
    page.get_by_role("button", name="Submit", exact=True).click()
    dialog = page.get_by_role("dialog", name="A token is needed")
    expect(dialog.get_by_role("alert")).to_contain_text("may have expired")
    sign_in(page, second)
    expect(page.get_by_role("row").filter(has_text="asked-once")).to_contain_text("Completed")
    assert sent == [f"Bearer {first}", f"Bearer {second}"]
