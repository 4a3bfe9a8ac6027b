"""Nobody without a good token gets anything but what is open, and nobody without a ticket live updates."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.waiting import wait_for

from .conftest import REPOSITORY, LocalStack, running
from .token_issuer import AUDIENCE, TokenIssuer, issuing

pytestmark = pytest.mark.xdist_group("auth")

#: What answers without a token. A route that is not here has to want one.
OPEN = {"GET /", "GET /docs", "GET /openapi.json"}
ORIGIN = "https://pages.example.com"


@pytest.fixture(scope="module")
def issuer() -> Generator[TokenIssuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("auth") / "log"


@pytest.fixture(scope="module")
def stack(issuer: TokenIssuer, log: Path) -> Generator[LocalStack]:
    """A stack that wants tokens; its HTTP client has none."""
    config = ("auth=jwt", f"jwtIssuer={issuer.url}", f"jwtAudience={AUDIENCE}", f'corsOrigins=["{ORIGIN}"]')
    with running(log, *config, "failureRate=0", "maxRetries=0") as stack:
        yield stack


@pytest.fixture(scope="module")
def routes(stack: LocalStack) -> list[str]:
    """The keys of the routes that the program has declared, as the gateway has them."""
    gateway: Any = boto3.client(
        "apigatewayv2",
        endpoint_url=stack.dynamodb.meta.endpoint_url,
        region_name=stack.dynamodb.meta.region_name,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    [api] = [api for api in gateway.get_apis()["Items"] if api["ProtocolType"] == "HTTP"]
    keys = [route["RouteKey"] for route in gateway.get_routes(ApiId=api["ApiId"])["Items"]]
    assert len(keys) > len(OPEN)
    return [key for key in keys if not key.startswith("OPTIONS ")]


def call(stack: LocalStack, route: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """A call that a route takes, with these headers."""
    method, path = ("PUT", "/elsewhere") if route == "$default" else route.split()
    return stack.http.request(method, re.sub(r"{\w+}", "none", path), headers=headers, json={})


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def refused(answer: httpx.Response) -> bool:
    return answer.status_code == 401 and answer.json() == {"message": "Unauthorized"}


def test_without_a_token_only_what_is_open_answers(stack: LocalStack, routes: list[str]) -> None:
    answered = {route for route in routes if not refused(call(stack, route))}
    assert answered == OPEN
    for route in OPEN:
        assert call(stack, route).status_code == 200


def test_a_bad_token_is_as_good_as_none_on_every_route(
    stack: LocalStack, routes: list[str], issuer: TokenIssuer
) -> None:
    bad_tokens = issuer.bad_tokens()
    assert len(bad_tokens) == 14
    taken = [
        f"{route} takes a token that is {wrong}"
        for wrong, token in bad_tokens.items()
        for route in routes
        if route not in OPEN and not refused(call(stack, route, bearer(token)))
    ]
    assert taken == []


def test_a_good_token_opens_every_route(stack: LocalStack, routes: list[str], issuer: TokenIssuer) -> None:
    token = issuer.token()
    assert not [route for route in routes if call(stack, route, bearer(token)).status_code in (401, 403)]
    assert call(stack, "$default", bearer(token)).headers["content-type"] == "application/problem+json"


def test_a_token_is_taken_from_its_header_alone(stack: LocalStack, issuer: TokenIssuer) -> None:
    token = issuer.token()
    assert stack.http.get("/tasks", headers=bearer(token)).status_code == 200
    assert stack.http.get("/tasks", headers={"authorization": token}).status_code == 200
    assert refused(stack.http.get("/tasks", headers={"authorization": ""}))
    assert refused(stack.http.get("/tasks", headers={"authorization": "Bearer"}))
    assert refused(stack.http.get("/tasks", headers={"authorization": f"Basic {token}"}))
    assert refused(stack.http.get("/tasks", params={"token": token, "access_token": token}))
    assert refused(stack.http.get("/tasks", headers={"cookie": f"token={token}", "x-token": token}))


def test_a_page_of_another_origin_may_ask_first_without_a_token(stack: LocalStack) -> None:
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    for path in ("/tasks", "/tasks/none/retry", "/live", "/elsewhere"):
        answer = stack.http.options(path, headers=asked)
        assert answer.status_code in (200, 204)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()


def test_the_description_says_that_a_token_is_wanted(stack: LocalStack) -> None:
    description = stack.http.get("/openapi.json").json()
    assert description["security"] == [{"token": []}]
    assert description["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    }
    assert "POST /tasks" in operations
    for route, operation in operations.items():
        assert operation.get("security") == ([] if route in OPEN else None), route
        assert ("401" in operation["responses"]) == (route not in OPEN), route


def address(stack: LocalStack, issuer: TokenIssuer) -> str:
    """Where to connect for live updates, as who has a token is told."""
    return stack.http.post("/live", json={}, headers=bearer(issuer.token())).json()["webSocketUrl"]


def connections(stack: LocalStack, state: str) -> list[dict[str, Any]]:
    """The items of the table of connections in a state: "subscribed", or "ticket"."""
    items: list[Any] = stack.dynamodb.query(
        TableName=stack.table.replace("-tasks", "-connections"),
        KeyConditionExpression="#state = :state",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":state": {"S": state}},
    )["Items"]
    return items


def expect_refusal(stack: LocalStack, url: str, **options: Any) -> None:
    # A client of before may be on its way out.
    before = connections(stack, "subscribed")
    with pytest.raises(InvalidStatus) as raised, connect(url, **options):
        pass
    assert raised.value.response.status_code == 403
    assert all(each in before for each in connections(stack, "subscribed"))


def test_a_ticket_lets_in_once(stack: LocalStack, issuer: TokenIssuer) -> None:
    url = address(stack, issuer)
    with connect(url) as connection:
        connection.send('{"action": "ping"}')
        assert connection.recv() == '{"pong":true,"isSubscribed":false}'
    expect_refusal(stack, url)


def test_without_a_ticket_nobody_hears_anything(stack: LocalStack, issuer: TokenIssuer) -> None:
    url = address(stack, issuer).partition("?")[0]
    expect_refusal(stack, url)
    expect_refusal(stack, f"{url}?ticket=")
    expect_refusal(stack, f"{url}?ticket={'A' * 43}")
    # Nor does a token, wherever it is put.
    token = issuer.token()
    expect_refusal(stack, f"{url}?ticket={token}")
    expect_refusal(stack, url, additional_headers=bearer(token))


def test_a_ticket_that_is_too_old_lets_nobody_in(stack: LocalStack, issuer: TokenIssuer) -> None:
    before = {item["connectionId"]["S"] for item in connections(stack, "ticket")}
    url = address(stack, issuer)
    [item] = [item for item in connections(stack, "ticket") if item["connectionId"]["S"] not in before]
    stack.dynamodb.update_item(
        TableName=stack.table.replace("-tasks", "-connections"),
        Key={name: item[name] for name in ("state", "connectionId")},
        UpdateExpression="SET expiresAt = :past",
        ExpressionAttributeValues={":past": {"N": str(int(time.time()))}},
    )
    expect_refusal(stack, url)


def client(stack: LocalStack, command: str, *options: str) -> tuple[int, str]:
    """The exit code of a command of the client, and all that it said."""
    arguments = (sys.executable, "-m", "client", command, stack.url, *options)
    done = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.long
def test_the_client_sends_its_token_with_all_that_it_asks(
    stack: LocalStack, issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TASKS_TOKEN", raising=False)
    code, said = client(stack, "watch")
    assert (code, "TASKS_TOKEN" in said) == (4, True)
    expired = issuer.bad_tokens()["expired"]
    monkeypatch.setenv("TASKS_TOKEN", expired)
    code, said = client(stack, "list")
    assert (code, "TASKS_TOKEN" in said, expired in said) == (4, True, False)
    # It calls all there is: it submits, asks for live updates, and reads.
    monkeypatch.setenv("TASKS_TOKEN", issuer.token())
    code, said = client(stack, "submit", "--payload", '{"seconds": 0}', "--wait")
    assert (code, "COMPLETED" in said) == (0, True), said


def test_no_log_line_holds_a_token_or_a_ticket(stack: LocalStack, issuer: TokenIssuer, log: Path) -> None:
    token, url = issuer.token(), address(stack, issuer)
    [ticket] = parse_qs(urlsplit(url).query)["ticket"]
    with connect(url):
        pass
    expect_refusal(stack, url)
    doomed = {"taskId": "doomed", "payload": {"seconds": 0, "failureRate": 1}}
    assert stack.http.post("/tasks", json=doomed, headers=bearer(token)).status_code == 202
    # Its line comes after all that was called before.
    wait_for(lambda: "DLQ_MESSAGE" in log.read_text(), "the log line of a dead letter")
    text = log.read_text()
    assert ticket not in text
    assert token.rsplit(".", 1)[1] not in text
