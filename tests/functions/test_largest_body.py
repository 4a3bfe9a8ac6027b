"""The largest request body: its event is one that Lambda takes, whatever is in the body and around it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tasklib.http_api import MAX_BODY

from .conftest import lambda_context

Load = Callable[[str], ModuleType]

#: The most bytes of JSON that Lambda takes in one call (its quota "Invocation payload").
MOST_OF_LAMBDA = 6 * 1024 * 1024

#: The most bytes of a request line with its headers' values that an HTTP API takes.
MOST_OF_HEADERS = 10_240

TASK = '{"answer":"x"}'


def padded(character: str) -> str:
    """A task of the largest size, with a character as often as possible."""
    room = MAX_BODY - len(TASK)
    if character.isspace():
        return character * room + TASK
    inside = json.dumps(character, ensure_ascii=False)[1:-1]
    count, rest = divmod(room, len(inside.encode()))
    return " " * rest + TASK.replace("x", f"x{inside * count}")


#: Bodies, and the field that is too large though the body is not; None: the task is accepted.
BODIES = {
    "spaces": (padded(" "), None),
    "line breaks": (padded("\n"), None),
    "tabs": (padded("\t"), None),
    "escaped quotes": (padded('"'), "answer"),
    "backslashes": (padded("\\"), "answer"),
    "Cyrillic": (padded("\u0434"), "answer"),
    "emoji": (padded("\U0001f600"), "answer"),
}


def event(body: str, *, is_text: bool) -> dict[str, Any]:
    """An event of payload format 2.0 with everything around the body as large as it can be, each for itself."""
    quotes, escapes = '"' * MOST_OF_HEADERS, "\x01" * (MOST_OF_HEADERS // 3)
    return {
        "version": "2.0",
        "routeKey": "POST /tasks",
        "rawPath": f"/{'s' * 128}/tasks",
        "rawQueryString": f"q={'%01' * (MOST_OF_HEADERS // 3)}",
        "cookies": [quotes],
        "headers": {
            "authorization": f"Bearer {'t' * MOST_OF_HEADERS}",
            "content-type": "application/json" if is_text else "application/octet-stream",
            "cookie": quotes,
            "host": f"{'h' * 253}:443",
            "user-agent": quotes,
            "x-forwarded-for": "2001:db8:85a3::8a2e:370:7334",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
            "n" * MOST_OF_HEADERS: "",
        },
        "queryStringParameters": {"q": escapes},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "authorizer": {"jwt": {"claims": {"sub": quotes}, "scopes": [quotes]}},
            "domainName": "h" * 253,
            "domainPrefix": "h" * 63,
            "http": {
                "method": "POST",
                "path": f"/{'s' * 128}/tasks",
                "protocol": "HTTP/1.1",
                "sourceIp": "2001:db8:85a3::8a2e:370:7334",
                "userAgent": quotes,
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "POST /tasks",
            "stage": "s" * 128,
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1773342238000,
        },
        "pathParameters": {"taskId": quotes},
        "stageVariables": {"name": "v" * 512},
        "body": body if is_text else base64.b64encode(body.encode()).decode(),
        "isBase64Encoded": not is_text,
    }


@pytest.mark.parametrize("is_text", [True, False], ids=["text", "Base64"])
@pytest.mark.parametrize("body", [body for body, _ in BODIES.values()], ids=[*BODIES])
def test_the_event_of_the_largest_body_is_one_that_lambda_takes(body: str, is_text: bool) -> None:
    assert len(body.encode()) == MAX_BODY
    text = json.dumps(event(body, is_text=is_text), separators=(",", ":"), ensure_ascii=False)
    assert len(text.encode()) <= MOST_OF_LAMBDA


@pytest.mark.parametrize("is_text", [True, False], ids=["text", "Base64"])
@pytest.mark.parametrize(("body", "too_large"), BODIES.values(), ids=[*BODIES])
def test_a_body_is_judged_by_its_bytes_and_refused_from_one_byte_more_on(
    load: Load, body: str, too_large: str | None, is_text: bool
) -> None:
    handler = load("submit_tasks").handler

    def answer_to(body: str) -> tuple[int, list[str]]:
        sent = event(body, is_text=is_text)
        del sent["queryStringParameters"]  # which the API does not take
        answer = handler(sent, lambda_context())
        errors = json.loads(answer["body"]).get("errors", [])
        return answer["statusCode"], [error["field"] for error in errors]

    assert answer_to(body) == ((413, [too_large]) if too_large else (202, []))
    assert answer_to(f" {body}") == (413, ["body"])
