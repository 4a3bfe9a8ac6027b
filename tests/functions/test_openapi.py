"""What the API's description says about who may call."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from .conftest import lambda_context
from .html_page import Page

Load = Callable[[str], ModuleType]


def ask(load: Load, route: str) -> dict[str, Any]:
    method, path = route.split()
    event = {
        "routeKey": route,
        "rawPath": path,
        "requestContext": {"http": {"method": method}, "requestId": "r"},
        "headers": {"host": "abc.execute-api.eu-west-1.amazonaws.com"},
    }
    return load("describe_api").handler(event, lambda_context())


def described(load: Load) -> str:
    answer = ask(load, "GET /openapi.json")
    assert answer["statusCode"] == 200
    return answer["body"]


def test_where_callers_need_a_token_the_description_says_so(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert '"security' not in described(load)
    monkeypatch.setenv("AUTH", "jwt")
    assert '"security":[{"token":[]}]' in described(load)
    assert '"token":{"type":"http","scheme":"bearer","bearerFormat":"JWT"' in described(load)


def test_requests_to_copy_carry_the_token_where_one_is_needed(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "$TOKEN" not in ask(load, "GET /docs")["body"]
    monkeypatch.setenv("AUTH", "jwt")
    examples = Page(ask(load, "GET /docs")["body"]).examples
    commands = [text for text in examples if text.startswith("curl ")]
    with_token = [text for text in commands if text.startswith('curl -H "authorization: Bearer $TOKEN" ')]
    without = [text.split("/")[-1] for text in commands if text not in with_token]
    assert len(with_token) > 5
    assert sorted(without) == ["", "docs", "openapi.json"]


def test_a_browser_that_asks_what_a_page_may_send_is_not_refused(load: Load) -> None:
    answer = ask(load, "OPTIONS /{proxy+}")
    assert (answer["statusCode"], answer["body"]) == (204, "")
