"""Where clients connect for live updates, and what lets them in."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

import pytest

from .conftest import Stack, lambda_context
from .wire import FOREVER, Wire

URL = "wss://abc.execute-api.eu-west-1.amazonaws.com/live"
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(stack: Stack, monkeypatch: pytest.MonkeyPatch, load: Callable[[str], ModuleType]) -> Ask:
    monkeypatch.setenv("WEBSOCKET_URL", URL)
    module = load("issue_tickets")

    def ask(query: dict[str, str] | None = None) -> dict[str, Any]:
        event = {
            "routeKey": "POST /live",
            "rawPath": "/live",
            "requestContext": {"http": {"method": "POST"}, "requestId": "r"},
            "queryStringParameters": query,
        }
        return module.handler(event, lambda_context())

    return ask


def test_a_client_is_told_where_to_connect_with_a_ticket_of_its_own(stack: Stack, ask: Ask) -> None:
    answers = [ask(), ask()]
    tickets: set[str] = set()
    for answer in answers:
        assert answer["statusCode"] == 200
        assert answer["headers"]["cache-control"] == "no-store"
        address: str = json.loads(answer["body"])["webSocketUrl"]
        url, _, query = address.partition("?")
        assert url == URL
        [ticket] = parse_qs(query)["ticket"]
        assert len(ticket) == 43  # 256 bits
        tickets.add(ticket)
    assert len(tickets) == 2
    assert all(stack.connections.use_ticket(ticket) for ticket in tickets)


def test_the_address_takes_no_query(ask: Ask) -> None:
    assert ask({"x": "1"})["statusCode"] == 400


def test_without_an_answer_of_aws_there_is_no_ticket(ask: Ask, wire: Wire) -> None:
    wire.refuse("PutItem", code="InternalServerError", times=FOREVER)
    answer = ask()
    assert answer["statusCode"] == 503
    assert "ticket" not in answer["body"]
