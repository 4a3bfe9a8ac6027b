"""The API's description as a page: it says all that the document says, and nothing in it is more than text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, Literal

import describe_api
import pytest
from tasklib import openapi_page
from tasklib.openapi import document
from tasklib.payload import Limits, Model
from tasklib.task_type import TaskType

from .conftest import lambda_context
from .html_page import Page, digest

HOST = "abc.execute-api.eu-west-1.amazonaws.com"
HOSTILE = """</td></style><script>alert(1)</script><img src=x onerror="alert(1)"> & 'quoted' "twice" """


def ask(
    route: str, path: str | None = None, query: dict[str, str] | None = None, **headers: str
) -> dict[str, Any]:
    """The answer to a request; underscores in the names of headers are dashes."""
    method, own_path = route.split()
    event = {
        "routeKey": route,
        "rawPath": path or own_path,
        "requestContext": {"http": {"method": method}, "requestId": "r"},
        "queryStringParameters": query,
        "headers": {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()},
    }
    return dict(describe_api.handler(event, lambda_context()))


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The document."""
    return json.loads(ask("GET /openapi.json")["body"])


@pytest.fixture(scope="module")
def page() -> Page:
    """The page."""
    return Page(ask("GET /docs", query={"utm_source": "mail"}, x_forwarded_proto="https")["body"])


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def resolved(described: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    _, components, kind, name = schema["$ref"].split("/")
    return described[components][kind][name]


def test_every_operation_is_told_with_its_parameters_and_answers(
    described: dict[str, Any], page: Page
) -> None:
    for path, method, operation in operations(described):
        text = page.text[operation["operationId"]]
        assert f"{operation['summary']}{method} {path}" in text
        parameters = [resolved(described, each) for each in operation["parameters"]]
        answers = {
            status: resolved(described, each)["description"]
            for status, each in operation["responses"].items()
        }
        assert parameters
        assert answers
        for parameter in parameters:
            assert f"{parameter['name']} {parameter['in']}" in text
            assert parameter.get("description", "") in text
        for status, description in answers.items():
            assert f"{status} {HTTPStatus(int(status)).phrase}{description}" in text


def test_every_schema_is_told_with_its_fields(described: dict[str, Any], page: Page) -> None:
    for name, schema in described["components"]["schemas"].items():
        anchor = f"schema-{name}"
        assert page.ids.count(anchor) == 1
        # A request's stands in the operation that takes it.
        text = page.text["submitTask" if name == "Submission" else anchor]
        for each in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())):
            for property_name, value in each.get("properties", {}).items():
                assert property_name in text
                assert value.get("description", "") in text


def test_every_payload_of_a_task_type_is_told(described: dict[str, Any], page: Page) -> None:
    types = described["components"]["schemas"]["Submission"]["anyOf"]
    assert {"invoice", "webhook", "simulate"} <= {each["title"] for each in types}
    rows = {row[0]: row[1:] for row in page.rows}
    assert rows["payload.lines[].priceCents required"] == [
        "whole number, 0 to 100,000,000",
        "Price of one piece in cents, before tax.",
    ]
    for each in types:
        assert f"schema-Submission-{each['title']}" in page.ids
        for name in each["properties"]["payload"].get("properties", {}):
            assert any(first.startswith(f"payload.{name}") for first in rows)


def test_every_shared_answer_is_told_with_an_example(described: dict[str, Any], page: Page) -> None:
    examples = [json.loads(text) for text in page.examples if text.startswith("{")]
    for name, answer in described["components"]["responses"].items():
        assert answer["description"] in page.text[f"answer-{name}"]
        for content in answer["content"].values():
            assert content["example"] in examples
    for _, _, operation in operations(described):
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                assert "example" not in content or content["example"] in examples


def test_its_requests_can_be_run(described: dict[str, Any], page: Page) -> None:
    commands = [shlex.split(text) for text in page.examples if text.startswith("curl ")]
    url = f"https://{HOST}"
    assert ["curl", f"{url}/tasks"] in commands
    assert ["curl", "-X", "DELETE", f"{url}/tasks/order-17"] in commands
    assert ["curl", "-X", "POST", f"{url}/tasks/order-17/retry"] in commands
    for path in ("/tasks", "/tasks/batch"):
        content = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            (data,) = [
                command[-1]
                for command in commands
                if command[1] == url + path and command[-1] == json.dumps(example["value"])
            ]
            assert [
                *("curl", url + path, "-H", "content-type: application/json", "-d", data),
            ] in commands


def test_its_links_lead_somewhere_and_its_anchors_are_there_once(
    described: dict[str, Any], page: Page
) -> None:
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link in ("./", "openapi.json") or link.removeprefix("#") in page.ids
    wanted = [operation["operationId"] for _, _, operation in operations(described)]
    wanted += [f"schema-{name}" for name in described["components"]["schemas"]]
    assert set(page.links) >= {f"#{anchor}" for anchor in wanted}


def test_it_may_do_nothing_but_wear_its_own_style() -> None:
    answer = ask("GET /docs")
    page = Page(answer["body"])
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "text/html; charset=utf-8"
    assert answer["headers"]["x-content-type-options"] == "nosniff"
    assert page.scripts == page.forbidden() == []
    assert dict(part.split(" ", 1) for part in answer["headers"]["content-security-policy"].split("; ")) == {
        "default-src": "'none'",
        "style-src": " ".join(map(digest, page.styles)),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize(
    ("headers", "path", "url"),
    [
        ({"x_forwarded_proto": "https"}, "/docs", f"https://{HOST}"),
        ({"x_forwarded_proto": "https"}, "/v1/docs", f"https://{HOST}/v1"),
        ({"host": "127.0.0.1:4566"}, "/docs", "http://127.0.0.1:4566"),
        ({"host": "[::1]:4566", "x_forwarded_proto": "x"}, "/docs", "http://[::1]:4566"),
    ],
)
def test_its_requests_go_where_the_page_came_from(headers: dict[str, str], path: str, url: str) -> None:
    page = Page(ask("GET /docs", path, None, **headers)["body"])
    addresses = [shlex.split(text) for text in page.examples if text.startswith("curl ")]
    assert addresses
    assert all(any(word.startswith(f"{url}/") for word in words) for words in addresses)


@pytest.mark.parametrize("host", ["", "a b", 'a"><script>', "a'; reboot", "a/b", "x" * 254, "h:123456"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    answer = ask("GET /docs", host=host)
    assert answer["statusCode"] == 400
    assert [error["field"] for error in json.loads(answer["body"])["errors"]] == ["Host"]


@dataclass(frozen=True)
class Part:
    """A part of a payload."""

    size: Annotated[float, Limits(least=0.5)]


@dataclass(frozen=True)
class Everything:
    """A payload of every kind."""

    text: Annotated[str, Limits(1, 1), HOSTILE]
    code: Annotated[str, Limits(pattern="<b>[0-9]+")]
    choice: Literal["<i>", 2, True]
    parts: Annotated[list[Part], Limits(most=3)]
    named: dict[Annotated[str, Limits(least=2)], Part]
    maybe: Part | None = None
    anything: Any = field(default_factory=lambda: [HOSTILE])
    is_on: bool = False


@pytest.fixture(scope="module")
def hostile() -> Page:
    """The page of a document with one type, whose words are not kind."""
    each = TaskType(HOSTILE, print, {}, None, payload=Model(Everything), takes_answer=False)
    return Page(openapi_page.render(document([each], with_token=False), f"http://h/{HOSTILE}"))


def test_whatever_a_type_says_of_itself_is_text(hostile: Page, page: Page) -> None:
    assert set(hostile.tags) <= set(page.tags)
    assert set(hostile.attributes) <= set(page.attributes)
    assert f"schema-Submission-{HOSTILE.replace(' ', '-')}" in hostile.ids
    assert hostile.styles == page.styles
    text = hostile.text["submitTask"]
    assert f"string, 1 to 1 character{HOSTILE}" in text
    assert json.dumps([HOSTILE]) in text
    assert f"http://h/{HOSTILE}/tasks" in shlex.split(hostile.examples[0])


def test_every_kind_of_field_is_told_with_its_limits(hostile: Page) -> None:
    rows = {row[0]: row[1:] for row in hostile.rows if row[0].startswith("payload.")}
    assert rows == {
        "payload.text required": ["string, 1 to 1 character", HOSTILE],
        "payload.code required": ["stringmatches ^(?:<b>[0-9]+)$", ""],
        "payload.choice required": ["<i>, 2 or true", ""],
        "payload.parts required": ["array, at most 3 itemseach: object", ""],
        "payload.parts[].size required": ["number, at least 0.5", ""],
        "payload.named required": ["objecteach name: string, at least 2 characterseach value: object", ""],
        "payload.named.*.size required": ["number, at least 0.5", ""],
        "payload.maybe": ["object or null", "Default: null"],
        "payload.maybe.size required": ["number, at least 0.5", ""],
        "payload.anything": ["any JSON value", f"Default: {json.dumps([HOSTILE])}"],
        "payload.isOn": ["boolean", "Default: false"],
    }
