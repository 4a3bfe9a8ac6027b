"""The page as the API serves it."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from .conftest import lambda_context
from .html_page import Page, digest

URL = "wss://abc.execute-api.eu-west-1.amazonaws.com/live"
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, load: Callable[[str], ModuleType]) -> Ask:
    monkeypatch.setenv("WEBSOCKET_URL", URL)
    module = load("dashboard")

    def ask(route: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        method, path = route.split()
        event = {
            "routeKey": route,
            "rawPath": path,
            "requestContext": {"http": {"method": method}, "requestId": "r"},
            "queryStringParameters": query,
        }
        return module.handler(event, lambda_context())

    return ask


def test_the_page_is_served_with_a_policy_that_allows_its_own_script_and_style_alone(ask: Ask) -> None:
    answer = ask("GET /", {"utm_source": "mail"})
    assert answer["statusCode"] == 200
    headers = answer["headers"]
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    page = Page(answer["body"])
    assert len(page.styles) == 2
    assert dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; ")) == {
        "default-src": "'none'",
        "script-src": digest(*page.scripts),
        "style-src": " ".join(map(digest, page.styles)),
        "img-src": "data:",
        "connect-src": "'self' wss://abc.execute-api.eu-west-1.amazonaws.com",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_the_page_names_no_other_host_and_holds_nothing_that_its_policy_forbids(ask: Ask) -> None:
    body: str = ask("GET /")["body"]
    assert Page(body).forbidden() == []
    assert re.findall(r"\b(?:https?|wss?)://[^\s\"'`]+", body) in ([], ["http://www.w3.org/2000/svg"])
    assert not re.search(r"\.innerHTML|\.outerHTML|insertAdjacentHTML|document\.write|\beval\(", body)
