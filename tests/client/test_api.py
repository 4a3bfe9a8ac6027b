"""The typed client, against a real server."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import TypeVar
from uuid import UUID

import pytest

from client import api as client_api
from client.address import base_url
from client.api import TasksClient
from client.errors import EXCERPT_LENGTH, BadAnswerError, FieldError, NoAnswerError, StatusError, TasksError
from client.task import Page, PastAttempt, Submission, Task
from tests.client.fake_api import (
    FakeApi,
    Fault,
    answer,
    as_usual,
    close,
    drip,
    gateway,
    hang,
    html,
    not_http,
    problem,
    reset,
    truncated,
)

Answer = TypeVar("Answer")


def call(url: str, request: Callable[[TasksClient], Awaitable[Answer]], timeout: float = 20) -> Answer:
    """One request by a client of its own."""

    async def run() -> Answer:
        async with TasksClient(url, timeout=timeout) as client:
            return await request(client)

    return asyncio.run(run())


def failure(url: str, timeout: float = 20) -> TasksError:
    """What a submission fails with."""
    with pytest.raises(TasksError) as caught:
        call(url, lambda client: client.submit(task_id="t", answer="x"), timeout)
    return caught.value


def test_submit_sends_the_task_and_returns_it(api: FakeApi) -> None:
    task = call(api.url, lambda client: client.submit(task_id="a:1", task_type="report", payload={"n": [1]}))
    assert api.seen[0].body == {"taskId": "a:1", "type": "report", "payload": {"n": [1]}}
    assert (task.task_id, task.type, task.payload, task.answer) == ("a:1", "report", {"n": [1]}, None)
    assert (task.status, task.attempts, task.retries, task.run, task.version) == ("PENDING", 0, 0, 1, 1)
    assert task.created_at.tzinfo == UTC
    assert not task.finished


def test_submit_makes_an_id_when_none_is_given(api: FakeApi) -> None:
    task = call(api.url, lambda client: client.submit(answer="hello"))
    assert UUID(task.task_id).version == 4
    assert api.seen[0].body == {"taskId": task.task_id, "answer": "hello"}


def test_get_reads_a_finished_task(api: FakeApi) -> None:
    api.ending = lambda _: ("FAILED", 3)

    async def submit_and_get(client: TasksClient) -> Task:
        await client.submit(task_id="t", answer="x")
        return await client.get("t")

    task = call(api.url, submit_and_get)
    assert (task.status, task.attempts, task.retries, task.finished) == ("FAILED", 3, 2, True)
    assert task.error_message == "it was \x1b[31mbad"


def test_half_a_surrogate_pair_is_the_apis_to_refuse(api: FakeApi) -> None:
    call(api.url, lambda client: client.submit(answer="\ud800"))
    assert api.seen[0].body["answer"] == "\ud800"


@pytest.mark.parametrize("path", ["", "/", "/dev", "/dev/", "/_aws/execute-api/tasks/$default/"])
def test_the_path_of_the_url_is_kept(api: FakeApi, path: str) -> None:
    api.prefix = path.rstrip("/")
    call(api.url + path, lambda client: client.submit(answer="x"))
    assert api.seen[0].path == f"{api.prefix}/tasks"


def test_a_task_id_is_one_path_segment(api: FakeApi) -> None:
    with pytest.raises(StatusError):
        call(api.url, lambda client: client.get("../x?y"))
    assert api.seen[0].path == "/tasks/..%2Fx%3Fy"


@pytest.mark.parametrize("name", ["tasks.execute-api.localhost", "a.LOCALHOST", "b.localhost."])
def test_names_under_localhost_are_this_machine(api: FakeApi, name: str) -> None:
    call(f"http://{name}:{api.port}", lambda client: client.submit(answer="x"))
    assert api.seen[0].host.lower() == f"{name.lower()}:{api.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "tasks.localhost"])
def test_no_proxy_for_this_machine(api: FakeApi, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    call(f"http://{host}:{api.port}", lambda client: client.submit(answer="x"))
    assert api.seen[0].path == "/tasks"


def test_a_proxy_for_everything_else(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", api.url)
    api.prefix = "http://tasks.example"
    call("http://tasks.example", lambda client: client.submit(answer="x"))
    assert api.seen[0].path == "http://tasks.example/tasks"


@pytest.mark.parametrize("proxy", ["nonsense://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_a_proxy_setting_that_cannot_be_used_is_named(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ValueError, match="proxy or certificate setting"):
        TasksClient("http://tasks.example")


def test_connections_are_kept(api: FakeApi) -> None:
    async def several(client: TasksClient) -> Task:
        for _ in range(4):
            await client.submit(answer="x")
        return await client.submit(answer="y")

    call(api.url, several)
    assert (len(api.seen), api.connections) == (5, 1)


def test_a_problem_is_raised_with_everything_that_it_says(api: FakeApi) -> None:
    wrong = [{"field": "type", "message": "unknown"}, {"field": "answer", "message": "is empty"}]
    api.always["POST"] = problem(400, "Invalid task", "2 fields are wrong", wrong)
    error = failure(api.url)
    assert isinstance(error, StatusError)
    assert (error.status, error.title, error.detail) == (400, "Invalid task", "2 fields are wrong")
    assert error.errors == (FieldError("type", "unknown"), FieldError("answer", "is empty"))
    assert (error.kind, error.transient, error.from_api) == ("HTTP 400", False, True)
    assert error.correlation_id == "corr-1"
    assert str(error) == "400 Invalid task: type: unknown; answer: is empty"


@pytest.mark.parametrize(
    ("fault", "status", "title", "transient"),
    [
        (gateway(403, "Forbidden by policy"), 403, "Forbidden by policy", False),
        (gateway(429, "Too Many Requests"), 429, "Too Many Requests", True),
        (gateway(503, "Service Unavailable"), 503, "Service Unavailable", True),
        (html(403), 403, "Forbidden", False),
        (html(502), 502, "Bad Gateway", True),
        (answer(599, b""), 599, "", False),
        (answer(500, b"[" * 100_000), 500, "Internal Server Error", True),
        (answer(400, b'{"title": 7, "errors": [1, {"field": 2}]}'), 400, "Bad Request", False),
    ],
)
def test_another_status_is_raised_whoever_answers(
    api: FakeApi, fault: Fault, status: int, title: str, transient: bool
) -> None:
    api.always["POST"] = fault
    error = failure(api.url)
    assert isinstance(error, StatusError)
    assert (error.status, error.title, error.transient) == (status, title, transient)
    assert not error.from_api


def test_a_redirect_is_not_followed(api: FakeApi) -> None:
    api.always["POST"] = answer(301, b"", location="https://elsewhere.example/tasks")
    error = failure(api.url)
    assert isinstance(error, StatusError)
    assert (error.status, error.location) == (301, "https://elsewhere.example/tasks")
    assert len(api.seen) == 1


GOOD = (
    b'{"taskId": "t", "type": "simulate", "status": "PENDING", "attempts": 0, "retries": 0, "run": 1,'
    b' "version": 1, "createdAt": "2026-01-02T03:04:05.678Z", "updatedAt": "2026-01-02T03:04:05.678Z"}'
)


def test_a_task_tells_its_history(api: FakeApi) -> None:
    history = (
        b'[{"run": 1, "attempt": 3, "startedAt": "2026-01-02T03:04:05.000Z", "durationMs": 1250,'
        b' "errorMessage": "bad"}, {"run": 2, "attempt": 1, "startedAt": "2026-01-02T03:05:05.000Z"}]'
    )
    api.always["GET"] = answer(200, GOOD.replace(b'"run": 1', b'"run": 2, "history": ' + history))
    task = call(api.url, lambda client: client.get("t"))
    first = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert task.history == (
        PastAttempt(run=1, attempt=3, started_at=first, duration_seconds=1.25, error_message="bad"),
        PastAttempt(run=2, attempt=1, started_at=first.replace(minute=5)),
    )


def test_retry_asks_for_a_new_run_and_returns_it(api: FakeApi) -> None:
    api.store_failed("a:1")
    task = call(api.url, lambda client: client.retry("a:1"))
    assert (api.seen[0].method, api.seen[0].path, api.seen[0].body) == ("POST", "/tasks/a%3A1/retry", None)
    assert (task.status, task.run, task.attempts) == ("PENDING", 2, 0)


def test_a_page_is_asked_for_with_what_is_given(api: FakeApi) -> None:
    api.store_failed("t")
    page = call(api.url, lambda client: client.page())
    assert ([task.task_id for task in page.tasks], page.next_cursor) == (["t"], None)
    call(api.url, lambda client: client.page(status="FAILED", limit=7, cursor="9"))
    assert [seen.path for seen in api.seen] == ["/tasks", "/tasks?status=FAILED&limit=7&cursor=9"]


def test_a_list_is_read_page_by_page_to_its_end(api: FakeApi) -> None:
    api.store_failed(*"abcde")

    async def pages(client: TasksClient) -> list[Page]:
        return [page async for page in client.list(status="FAILED", limit=2)]

    assert [[task.task_id for task in page.tasks] for page in call(api.url, pages)] == [
        ["e", "d"],
        ["c", "b"],
        ["a"],
    ]


def test_a_list_can_be_taken_up_again_after_an_error(api: FakeApi) -> None:
    api.store_failed(*"abc")
    api.faults["GET"].extend([as_usual, gateway(503, "x")])

    async def names(client: TasksClient) -> str:
        pages = client.list(limit=2)
        seen = [await anext(pages)]
        with pytest.raises(StatusError):
            await anext(pages)
        seen += [page async for page in client.list(cursor=seen[0].next_cursor)]
        return "".join(task.task_id for page in seen for task in page.tasks)

    assert call(api.url, names) == "cba"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"taskId": "t"}', "not a page of tasks: no tasks"),
        (b'{"tasks": {}}', "tasks is not of type list"),
        (b'{"tasks": [1]}', "not an object"),
        (b'{"tasks": [], "nextCursor": 1}', "nextCursor is not of type str"),
        (b'{"tasks": [], "nextCursor": "here"}', "leads back to itself"),
    ],
)
def test_an_answer_that_is_no_page_is_a_bad_answer(api: FakeApi, content: bytes, says: str) -> None:
    api.always["GET"] = answer(200, content)
    with pytest.raises(BadAnswerError, match=says):
        call(api.url, lambda client: client.page(cursor="here"))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (html(200), "text/html"),
        (answer(200, b"[]"), "not an object"),
        (answer(200, b""), "not a task"),
        (answer(200, b"[" * 100_000), "not a task"),
        (answer(200, GOOD.replace(b'"version": 1,', b"")), "no version"),
        (answer(200, GOOD.replace(b'"attempts": 0', b'"attempts": true')), "attempts is not of type int"),
        (answer(200, GOOD.replace(b"2026-01-02", b"yesterday")), "yesterday"),
        (answer(200, GOOD.replace(b'"t"', b'"other"')), "another task: other"),
        (answer(200, b"no gzip", content_encoding="gzip"), "header"),
        (not_http, "not HTTP"),
    ],
)
def test_an_answer_that_is_no_task_is_a_bad_answer(api: FakeApi, fault: Fault, says: str) -> None:
    api.always["POST"] = fault
    error = failure(api.url)
    assert isinstance(error, BadAnswerError)
    assert (error.kind, error.transient) == ("bad answer", False)
    assert says in str(error)


def test_fields_of_a_later_api_are_passed_over(api: FakeApi) -> None:
    api.always["GET"] = answer(200, GOOD.replace(b'"PENDING"', b'"PAUSED", "mood": "calm"'))
    assert call(api.url, lambda client: client.get("t")).status == "PAUSED"


def test_an_answer_is_read_up_to_a_bound(api: FakeApi) -> None:
    api.always["POST"] = answer(
        200, gzip.compress(b" " * (client_api.MAX_ANSWER_BYTES + 1)), content_encoding="gzip"
    )
    assert "bytes" in str(failure(api.url))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(reset, "reset"), (close, "reset"), (truncated, "reset"), (hang, "timeout"), (drip, "timeout")],
)
def test_no_whole_answer(api: FakeApi, fault: Fault, kind: str) -> None:
    api.always["POST"] = fault
    error = failure(api.url, timeout=0.3 if kind == "timeout" else 20)
    assert isinstance(error, NoAnswerError)
    assert (error.kind, error.transient) == (kind, True)


def test_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = failure(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert (error.kind, error.transient) == ("connection refused", True)


def test_https_where_there_is_none(api: FakeApi) -> None:
    error = failure(api.url.replace("http:", "https:"))
    assert (error.kind, error.transient) == ("tls", False)


def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure("http://tasks.example")
    assert (error.kind, error.transient) == ("name not found", False)


def test_what_another_machine_says_is_short_and_cannot_steer_a_terminal(api: FakeApi) -> None:
    api.always["POST"] = gateway(403, "\x1b[2J\r\nline\u202e" + "x" * 10_000)
    text = str(failure(api.url))
    assert text.isprintable()
    assert "line" in text
    assert len(text) < EXCERPT_LENGTH + 20


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must start with"),
        ("tasks.localhost:4566", "must start with"),
        ("ftp://host", "must start with"),
        ("http://", "must start with"),
        ("http://a..b", "not a URL"),
        ("http://host:port", "not a URL"),
        ("http://host:99999", "1 to 65535"),
        ("http://me:secret@host", "user name or password"),
        ("http://host/?stage=dev", "without"),
        ("http://host/#top", "without"),
    ],
)
def test_what_is_no_url_of_an_api(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        base_url(text)
    assert "secret" not in str(caught.value)


def test_cancel_cancels_and_returns_the_task_also_twice(api: FakeApi) -> None:
    api.store({"taskId": "a:1", "answer": "x"})
    for _ in range(2):
        task = call(api.url, lambda client: client.cancel("a:1"))
        assert (task.task_id, task.status, task.finished) == ("a:1", "CANCELLED", True)
    assert [(seen.method, seen.path) for seen in api.seen] == [("DELETE", "/tasks/a%3A1")] * 2


@pytest.mark.parametrize(("task_id", "status"), [("nobody", 404), ("done", 409)])
def test_cancel_that_is_refused_is_a_status_error(api: FakeApi, task_id: str, status: int) -> None:
    api.store_failed("done")
    with pytest.raises(StatusError) as caught:
        call(api.url, lambda client: client.cancel(task_id))
    assert (caught.value.status, caught.value.from_api) == (status, True)


def test_a_delay_and_a_start_are_sent_as_the_api_wants_them(api: FakeApi) -> None:
    start = datetime(2027, 1, 31, 18, 0, 0, 1500, timezone(timedelta(hours=1)))
    later = call(api.url, lambda client: client.submit(task_id="a", answer="x", delay_seconds=0.5))
    fixed = call(api.url, lambda client: client.submit(task_id="b", answer="x", run_at=start))
    call(
        api.url,
        lambda client: client.submit_batch(
            [Submission(task_id="c", answer="x", run_at=start), Submission(task_id="d", answer="x")]
        ),
    )
    one, two, batch = (seen.body for seen in api.seen)
    assert one == {"taskId": "a", "answer": "x", "delaySeconds": 0.5}
    assert two == {"taskId": "b", "answer": "x", "runAt": "2027-01-31T17:00:00.001Z"}
    assert [task.get("runAt") for task in batch["tasks"]] == ["2027-01-31T17:00:00.001Z", None]
    assert fixed.run_at == datetime(2027, 1, 31, 17, 0, 0, 1000, UTC)
    assert later.run_at is not None
    assert timedelta(seconds=0.4) < later.run_at - later.created_at < timedelta(seconds=0.6)


def test_a_start_without_a_zone_is_no_moment() -> None:
    with pytest.raises(ValueError, match="no zone"):
        Submission(answer="x", run_at=datetime(2027, 1, 31))  # noqa: DTZ001


def test_a_task_keeps_what_is_not_known_here(api: FakeApi) -> None:
    api.store({"taskId": "t", "answer": "x"})
    api.stored["t"].fields["colour"] = "red"
    task = call(api.url, lambda client: client.get("t"))
    assert task.fields == api.stored["t"].fields


def with_token(url: str, token: str | None) -> None:
    async def run() -> None:
        async with TasksClient(url, token=token) as client:
            await client.submit(task_id="t", answer="x")

    asyncio.run(run())


def test_a_token_goes_with_every_request(api: FakeApi) -> None:
    with_token(api.url, "s3cr.et==")
    with_token(f"http://tasks.localhost:{api.port}", None)
    assert [seen.authorization for seen in api.seen] == ["Bearer s3cr.et==", None]


@pytest.mark.parametrize(
    ("url", "token", "says"),
    [
        ("http://tasks.example", "s3cret", "in the clear"),
        ("http://10.0.0.1:4566", "s3cret", "in the clear"),
        ("http://localhost.example", "s3cret", "in the clear"),
        ("https://tasks.example", "s3cret\nX-Evil: 1", "the token is none"),
        ("https://tasks.example", "s3crét", "the token is none"),
        ("https://tasks.example", "", "the token is none"),
    ],
)
def test_a_token_that_cannot_be_sent_safely_is_refused_and_not_shown(url: str, token: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        TasksClient(url, token=token)
    assert "s3cr" not in str(caught.value)


def test_a_token_may_go_over_https(api: FakeApi) -> None:
    TasksClient("https://tasks.example", token="s3cret")
