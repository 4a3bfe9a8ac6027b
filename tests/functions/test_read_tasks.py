"""The reading routes and the answer for what no route serves."""

import base64
import json
from collections.abc import Callable
from itertools import chain
from types import ModuleType
from typing import Any

import pytest
from tasklib import clock
from tasklib.listing import list_page
from tasklib.task import Status, created_key, list_shard

from .conftest import Stack, lambda_context

Get = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def get(stack: Stack, load: Callable[[str], ModuleType]) -> Get:
    module = load("read_tasks")

    def get(route: str, path: str = "", query: dict[str, str] | None = None, **parameters: str) -> Any:
        event: dict[str, Any] = {
            "routeKey": route,
            "rawPath": path or route.rsplit(maxsplit=1)[-1],
            "requestContext": {"http": {"method": route.split(maxsplit=1)[0]}, "requestId": "r"},
            "queryStringParameters": query,
            "pathParameters": parameters,
            "isBase64Encoded": False,
        }
        if route == "$default":
            event["requestContext"]["http"]["method"] = parameters.pop("method")
        answer = module.handler(event, lambda_context())
        assert answer["headers"]["x-correlation-id"] == "r"
        return answer["statusCode"], json.loads(answer["body"]) | (
            {"allow": answer["headers"]["allow"]} if "allow" in answer["headers"] else {}
        )

    return get


def submit_many(stack: Stack, count: int, first: int = 0, **fields: Any) -> list[str]:
    ids: list[str] = []
    for n in range(first, first + count):
        task_id = f"t{n:04d}"
        place = {"created_key": created_key(task_id, 1_700_000_000_000 + n)}
        stack.submit(task_id, list_shard=list_shard(task_id, 3), **place | fields)
        ids.append(task_id)
    return ids


def all_pages(get: Get, **query: str) -> list[list[str]]:
    pages: list[list[str]] = []
    while True:
        status, body = get("GET /tasks", query=query)
        assert status == 200
        pages.append([task["taskId"] for task in body["tasks"]])
        if "nextCursor" not in body:
            return pages
        query["cursor"] = body["nextCursor"]


def test_a_task_is_shown_with_its_data(stack: Stack, get: Get) -> None:
    stack.submit("t", payload='{"long":"' + "x" * 5000 + '"}')
    status, task = get("GET /tasks/{taskId}", taskId="t")
    assert status == 200
    assert len(task["payload"]["long"]) == 5000


def test_a_task_that_is_not_there_is_not_found(stack: Stack, get: Get) -> None:
    stack.submit("expired", status=Status.COMPLETED, expires_at=clock.now() // 1000 - 1)
    assert get("GET /tasks/{taskId}", taskId="t")[0] == 404
    assert get("GET /tasks/{taskId}", taskId="expired")[0] == 404


def test_the_list_leaves_large_data_out(stack: Stack, get: Get) -> None:
    stack.submit("large", payload='{"long":"' + "x" * 5000 + '"}')
    stack.submit("small", payload='{"a":1}')
    tasks = {task["taskId"]: task for task in get("GET /tasks")[1]["tasks"]}
    assert tasks["large"]["truncated"] is True
    assert "payload" not in tasks["large"]
    assert tasks["small"]["payload"] == {"a": 1}


def test_the_list_pages_newest_first_while_new_tasks_arrive(stack: Stack, get: Get) -> None:
    ids = submit_many(stack, 25)
    first = get("GET /tasks", query={"limit": "10"})[1]
    submit_many(stack, 5, first=25)
    rest = all_pages(get, limit="10", cursor=first["nextCursor"])
    assert [task["taskId"] for task in first["tasks"]] + [*chain.from_iterable(rest)] == ids[::-1]


@pytest.mark.parametrize(("count", "pages"), [(0, [0]), (9, [9]), (10, [10]), (11, [10, 1]), (20, [10, 10])])
def test_the_last_page_says_so(stack: Stack, get: Get, count: int, pages: list[int]) -> None:
    submit_many(stack, count)
    assert [len(page) for page in all_pages(get, limit="10")] == pages


def test_the_list_filters_by_status(stack: Stack, get: Get) -> None:
    submit_many(stack, 30)
    done = submit_many(stack, 3, first=30, status=Status.COMPLETED)
    submit_many(stack, 110, first=33)
    assert all_pages(get, status="COMPLETED", limit="2") == [[done[2], done[1]], [done[0]]]


def test_a_small_page_does_not_crawl_through_expired_tasks(
    stack: Stack, load: Callable[[str], ModuleType], get: Get
) -> None:
    (oldest,) = submit_many(stack, 1)
    submit_many(stack, 120, first=1, expires_at=clock.now() // 1000 - 1)
    queries: list[Any] = []

    def count(**call: Any) -> None:
        queries.append(call["params"])

    stack.dynamodb.meta.events.register("before-call.dynamodb.Query", count)
    page = list_page(stack.store, shards=3, status=None, limit=1, place=None)
    stack.dynamodb.meta.events.unregister("before-call.dynamodb.Query", count)
    assert [task.task_id for task in page.tasks] == [oldest]
    assert len(queries) <= 2 * 3
    assert all_pages(get, limit="1") == [[oldest]]


def test_a_page_of_a_rare_status_ends_after_a_thousand_entries(
    stack: Stack, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasklib.listing.MAX_ENTRIES", 100)
    (rare,) = submit_many(stack, 1, status=Status.COMPLETED)
    submit_many(stack, 150, first=1)
    assert all_pages(get, status="COMPLETED") == [[], [rare]]


@pytest.mark.batch_statements
def test_failed_tasks_are_listed_from_their_own_index(stack: Stack, get: Get) -> None:
    for task_id in submit_many(stack, 3):
        task = stack.record(task_id)
        assert stack.store.change(task, task.given_up("bad", keep=0, now=clock.now()))
    submit_many(stack, 5, first=3)
    assert all_pages(get, status="FAILED", limit="2") == [["t0002", "t0001"], ["t0000"]]


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"limit": "0"}, ["limit"]),
        ({"limit": "101"}, ["limit"]),
        ({"limit": "-1"}, ["limit"]),
        ({"limit": ""}, ["limit"]),
        ({"limit": "1e1"}, ["limit"]),
        ({"limit": "5,6"}, ["limit"]),
        ({"limit": "٣"}, ["limit"]),
        ({"limit": "9" * 6000}, ["limit"]),
        ({"status": "failed"}, ["status"]),
        ({"status": ""}, ["status"]),
        ({"cursor": ""}, ["cursor"]),
        ({"cursor": "x"}, ["cursor"]),
        ({"cursor": "\ud800"}, ["cursor"]),
        ({"cursor": "ä"}, ["cursor"]),
        ({"cursor": cursor("a")}, ["cursor"]),
        ({"cursor": cursor("2026-01-01T00:00:00.000Z#")}, ["cursor"]),
        ({"cursor": cursor("2026-13-01T00:00:00.000Z#t")}, ["cursor"]),
        ({"cursor": cursor('{"taskId":"t"}')}, ["cursor"]),
        ({"cursor": cursor("2026-01-01T00:00:00.000Z#" + "x" * 2000)}, ["cursor"]),
        ({"state": "FAILED"}, ["state"]),
        ({"limit": "x", "status": "x", "cursor": "x"}, ["status", "limit", "cursor"]),
    ],
)
def test_a_bad_query_is_named_field_by_field(get: Get, query: dict[str, str], fields: list[str]) -> None:
    status, problem = get("GET /tasks", query=query)
    assert status == 400
    assert [error["field"] for error in problem["errors"]] == fields
    assert all(len(error["message"]) < 250 for error in problem["errors"])


@pytest.mark.parametrize("task_id", ["", "a b", "x" * 129, "é", "../etc", "\ud800"])
def test_a_bad_id_is_refused(get: Get, task_id: str) -> None:
    status, problem = get("GET /tasks/{taskId}", taskId=task_id)
    assert status == 400
    assert [error["field"] for error in problem["errors"]] == ["taskId"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("PUT", "/tasks", 405, "GET, POST"),
        ("DELETE", "/tasks/batch", 405, "GET, POST"),
        ("PUT", "/tasks/t", 405, "DELETE, GET"),
        ("POST", "/", 405, "GET"),
        ("GET", "/live", 405, "POST"),
        ("POST", "/docs", 405, "GET"),
        ("GET", "/nothing", 404, None),
        ("GET", "/tasks/t/x", 404, None),
        ("POST", "/\ud800", 404, None),
    ],
)
def test_what_no_route_serves_is_explained(
    get: Get, method: str, path: str, status: int, allow: str | None
) -> None:
    answer, problem = get("$default", path, method=method)
    assert answer == problem["status"] == status
    assert problem.get("allow") == allow
