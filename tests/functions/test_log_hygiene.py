"""What clients and receivers send is in no log line at any level and, where it is task data, in no error answer.

Each test sends marked texts through the real handlers, with the level of every logger at DEBUG, and lets AWS refuse
calls with messages that quote them.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, cast

import boto3
import pytest
import task_types
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tasklib import aws
from tasklib.clock import Deadline
from tasklib.execution import MAX_ERROR
from tasklib.record import to_item
from tasklib.secret_parameters import SecretParameters
from tasklib.task import MAX_PAST_ERROR, Status
from tasklib.task_processes import TaskProcesses
from tasklib.task_type import REGISTRY, load_all, task_type
from tasklib.telemetry import logger
from tasklib.worker import Worker

from .conftest import Stack, a_task, event_of, lambda_context
from .receiver import Receiver, answer
from .wire import FOREVER, Wire

Load = Callable[[str], ModuleType]

load_all(task_types)

#: The values of what a client sends; and everything else: names, headers, queries.
VALUE: Final = "VALUE-5f1c9a7e"
NAME: Final = "NAME-83d04b6c"


class Log(logging.Handler):
    """Every line, as Lambda's runtime and Powertools write them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        is_ours = record.name == logger.service
        formatter = logger.registered_formatter if is_ours else logging.Formatter()
        self.lines.append(formatter.format(record))

    def leaks(self) -> list[str]:
        """The lines that hold a marked text."""
        return [line[:2000] for line in self.lines if VALUE in line or NAME in line]

    def saying(self, text: str) -> list[str]:
        return [line for line in self.lines if text in line]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Generator[Log]:
    """Whatever a function logs when somebody sets every level to DEBUG."""
    log = Log()
    root = logging.getLogger()
    before = root.level, logger.log_level
    root.addHandler(log)
    root.setLevel(logging.DEBUG)
    logger.setLevel(logging.DEBUG)
    yield log
    root.setLevel(before[0])
    logger.setLevel(before[1])
    root.removeHandler(log)


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Types that a test registers are gone after it."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


def request(route: str, body: str = "", **fields: Any) -> dict[str, Any]:
    """An event of the HTTP API with marks wherever a client may put something."""
    method, _, path = route.partition(" ")
    return {
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": f"token={NAME}",
        "headers": {
            "authorization": f"Bearer {NAME}",
            "cookie": f"session={NAME}",
            "idempotency-key": f"{NAME} {secrets.token_hex(8)}",
            "host": "tasks.example",
        },
        "cookies": [f"session={NAME}"],
        "requestContext": {
            "http": {"method": method, "path": path},
            "requestId": "gateway-id=",
            "authorizer": {"jwt": {"claims": {"email": NAME}}},
        },
        "body": body,
        "isBase64Encoded": False,
    } | fields


@pytest.mark.parametrize("module", ["submit_tasks", "notify_clients"])
def test_a_cold_start_logs_nothing(
    load: Load, log: Log, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setenv("CONNECTIONS_URL", "http://127.0.0.1:1/live")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # the session of another test knows its credentials
    load(module)
    assert log.lines == []


# -- submission

_TEXT: Final = st.sampled_from([VALUE, f"x{VALUE}\n", f'"{VALUE}', f"\ud800{VALUE}", VALUE * 200, ""])
_NAMES: Final = st.sampled_from([NAME, f"{NAME}.x", "url", "headers", "seconds", "lines", "body"])
_JSON: Final = st.recursive(
    st.one_of(_TEXT, st.integers(), st.none(), st.booleans(), st.just(float("inf"))),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)
_WEBHOOK: Final = st.fixed_dictionaries(
    {
        "url": st.sampled_from(
            [f"https://u:{VALUE}@example.com/?{VALUE}", f"https://example.com/?k={VALUE}", f"ftp://{VALUE}"]
        )
    },
    optional={
        "body": _JSON,
        "headers": st.dictionaries(st.sampled_from([NAME, "host", f"{NAME} x"]), _TEXT, max_size=2),
        "timeoutSeconds": _TEXT,
        "method": _TEXT,
    },
)
_INVOICE: Final = st.fixed_dictionaries(
    {"lines": st.lists(st.fixed_dictionaries({"text": _TEXT, "priceCents": _TEXT}), max_size=2)},
    optional={"currency": _TEXT, NAME: _JSON},
)
_TASK: Final = st.one_of(
    st.fixed_dictionaries({"answer": _TEXT}),
    st.fixed_dictionaries({"answer": _JSON}, optional={"payload": _JSON, NAME: _JSON}),
    st.fixed_dictionaries({"payload": st.dictionaries(_NAMES, _JSON, max_size=3)}),
    st.fixed_dictionaries({"type": st.just("webhook"), "payload": _WEBHOOK}),
    st.fixed_dictionaries({"type": st.just("webhook"), "answer": _TEXT}),
    st.fixed_dictionaries({"type": st.just("invoice"), "payload": _INVOICE}),
    st.fixed_dictionaries({"type": st.just(NAME), "taskId": st.just(f"{NAME}/"), "answer": _TEXT}),
    _JSON,
)


@st.composite
def _submissions(draw: st.DrawFn) -> dict[str, Any]:
    """A submission, a batch of them, or something that is not even JSON."""
    if draw(st.booleans()):
        route, content = "POST /tasks", draw(_TASK)
    else:
        route, content = "POST /tasks/batch", {"tasks": draw(st.lists(_TASK, max_size=4))}
    body = json.dumps(content)
    if draw(st.integers(0, 3)) == 0:
        body = body[: draw(st.integers(0, len(body)))] + draw(st.sampled_from(["", "}", "\\", "\x00", "NaN"]))
    return request(route, body, isBase64Encoded=draw(st.integers(0, 9)) == 0)


def problems_in(answered: dict[str, Any]) -> str:
    """The problems that an answer tells, as text."""
    is_json = answered["headers"]["content-type"].endswith("json")
    body: Any = json.loads(answered["body"]) if is_json else {}
    told: list[Any] = [body] if answered["statusCode"] >= 400 else []
    return json.dumps(told + [result["problem"] for result in body.get("results", []) if "problem" in result])


class TestASubmission:
    @pytest.mark.parametrize("refused", ["", "PutItem", "BatchExecuteStatement", "SendMessageBatch"])
    def test_leaves_nothing_in_the_log_and_an_error_quotes_no_data(
        self, load: Load, wire: Wire, log: Log, refused: str
    ) -> None:
        handler = load("submit_tasks").handler
        if refused:
            wire.refuse(refused, code="ValidationException", times=FOREVER)
        good = {"payload": {NAME: VALUE}}

        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(_submissions())
        @example(request("POST /tasks", json.dumps(good)))
        @example(request("POST /tasks/batch", json.dumps({"tasks": [good, good, {"answer": VALUE}]})))
        def check(event: dict[str, Any]) -> None:
            answered = handler(event, lambda_context())
            assert log.leaks() == []
            problems = problems_in(answered)
            assert VALUE not in problems
            assert len(problems) < 64 * 1024

        check()
        assert log.saying(
            "task accepted" if refused in ("", "BatchExecuteStatement") else "ValidationException"
        )

    def test_whose_check_breaks_is_logged_without_the_words_of_its_error(self, load: Load, log: Log) -> None:
        @dataclass(frozen=True)
        class Careless:
            word: str

            def check(self) -> Iterator[tuple[str, str]]:
                try:
                    yield from {}[self.word]
                except KeyError as error:
                    error.add_note(self.word)
                    raise

        @task_type("careless", payload=Careless)
        def careless(data: Careless, attempt: Any) -> None:
            raise AssertionError

        body = json.dumps({"type": "careless", "payload": {"word": VALUE}})
        handler = load("submit_tasks").handler
        answered = handler(request("POST /tasks", body), lambda_context())
        assert answered["statusCode"] == 500
        assert VALUE not in answered["body"]
        assert log.leaks() == []
        (line,) = log.saying("request failed")
        # Enough to find it by: what it was, and where.
        assert json.loads(line)["exception_name"] == "KeyError"
        assert "yield from {}[self.word]" in json.loads(line)["exception"]


# -- the other routes

#: Requests, and the call to AWS that each of them needs.
_REQUESTS: Final[list[Any]] = [
    ("read_tasks", "GET /tasks", {}, "Query"),
    ("read_tasks", "GET /tasks", {"queryStringParameters": {"cursor": NAME, "status": NAME, NAME: NAME}}, ""),
    ("read_tasks", "GET /tasks/{taskId}", {"pathParameters": {"taskId": "pending"}}, "GetItem"),
    ("read_tasks", "GET /tasks/{taskId}", {"pathParameters": {"taskId": f"{NAME}/"}}, ""),
    ("read_tasks", "$default", {"rawPath": f"/{NAME}"}, ""),
    ("cancel_tasks", "DELETE /tasks/{taskId}", {"pathParameters": {"taskId": "pending"}}, "GetItem"),
    ("cancel_tasks", "DELETE /tasks/{taskId}", {"pathParameters": {"taskId": f"{NAME}/"}}, ""),
    pytest.param(
        *(
            "retry_tasks",
            "POST /tasks/{taskId}/retry",
            {"pathParameters": {"taskId": "failed"}},
            "SendMessage",
        ),
        marks=pytest.mark.batch_statements,
    ),
    ("retry_tasks", "POST /tasks/{taskId}/retry", {"queryStringParameters": {NAME: NAME}}, ""),
    ("dashboard", "GET /", {"queryStringParameters": {NAME: NAME}}, ""),
    ("dashboard", "POST /live", {"queryStringParameters": {NAME: NAME}}, ""),
    ("describe_api", "GET /openapi.json", {"queryStringParameters": {NAME: NAME}}, ""),
    ("describe_api", "GET /docs", {"headers": {"host": f"{NAME}/", "authorization": NAME}}, ""),
]


class TestARequest:
    @pytest.mark.parametrize(("module", "route", "fields", "operation"), _REQUESTS)
    def test_leaves_nothing_in_the_log(
        self,
        stack: Stack,
        load: Load,
        wire: Wire,
        log: Log,
        monkeypatch: pytest.MonkeyPatch,
        module: str,
        route: str,
        fields: dict[str, Any],
        operation: str,
    ) -> None:
        monkeypatch.setenv("WEBSOCKET_URL", "wss://live.example/live")
        payload = json.dumps({NAME: VALUE})
        stack.submit("pending", payload=payload)
        stack.submit("failed", payload=payload, status=Status.FAILED, attempts=1)
        handler = load(module).handler
        event = request(route, VALUE, **fields)
        assert VALUE not in problems_in(handler(event, lambda_context()))
        if operation:
            wire.refuse(operation, code="ValidationException")
            assert handler(event, lambda_context())["statusCode"] == 503
            assert log.saying("no answer from AWS")
        assert log.leaks() == []

    def test_that_cannot_be_understood_leaves_nothing_in_the_log(self, load: Load, log: Log) -> None:
        event = request("POST /tasks", VALUE, requestContext={"requestId": "r", "http": {NAME: NAME}})
        answered = load("submit_tasks").handler(event, lambda_context())
        assert answered["statusCode"] == 500
        assert log.saying("request failed")
        assert log.leaks() == []


# -- attempts


@pytest.fixture(scope="module")
def shipped() -> Generator[TaskProcesses]:
    """Task processes with the task types that are deployed."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WEBHOOK_ALLOWED_NETWORKS", '["127.0.0.1/32"]')
        processes = TaskProcesses()
    yield processes
    processes.close()


def work(stack: Stack, worker: Worker, tasks: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """One attempt of each of these tasks, by ID."""
    submitted = [
        stack.submit(task_id, task_type, json.dumps(payload))
        for task_id, (task_type, payload) in tasks.items()
    ]
    worker.work_off(stack.deliver(*submitted), Deadline(30_000))


class TestAnAttempt:
    MISDEEDS: Final = (
        "echo",
        "failing",
        "hopeless",
        "inexpressible",
        "suicidal",
        "leaving",
        "deep",
        "unspeakable",
        "verbose",
    )

    @pytest.mark.parametrize(
        ("operation", "code"),
        [
            ("", ""),
            pytest.param("BatchExecuteStatement", "ValidationException", marks=pytest.mark.batch_statements),
            pytest.param("BatchExecuteStatement", "parts", marks=pytest.mark.batch_statements),
            ("BatchGetItem", "ValidationException"),
            ("ChangeMessageVisibilityBatch", "AccessDenied"),
            ("ChangeMessageVisibilityBatch", "parts"),
            pytest.param("SendMessageBatch", "AccessDenied", marks=pytest.mark.batch_statements),
        ],
    )
    def test_leaves_nothing_of_its_data_and_result_in_the_log(
        self, stack: Stack, worker: Worker, wire: Wire, log: Log, operation: str, code: str
    ) -> None:
        # The claims are made; what the attempts come to is refused.
        text = {"BatchExecuteStatement": "errorMessage"}.get(operation, "")
        if code == "parts":
            wire.refuse_part(operation, text, code="ValidationError", times=FOREVER)
            if text:
                wire.refuse_part(operation, VALUE, code="ValidationError", times=FOREVER)
        elif operation:
            wire.refuse(operation, text, code=code, times=FOREVER)
            if text:
                wire.refuse(operation, VALUE, code=code, times=FOREVER)
        work(stack, worker, {kind: (kind, {NAME: VALUE, "deep": {NAME: [VALUE]}}) for kind in self.MISDEEDS})
        assert log.leaks() == []
        assert log.lines
        if operation:
            assert log.saying(code if code != "parts" else "ValidationError") != []

    @pytest.mark.batch_statements
    def test_shows_the_words_of_its_own_error_and_no_other_value(
        self, stack: Stack, worker: Worker, log: Log
    ) -> None:
        work(stack, worker, {"t": ("blurting", {"said": "what it said", "kept": VALUE, NAME: 1})})
        (line,) = (json.loads(line) for line in log.saying("attempt failed"))
        assert line["errorMessage"].startswith("RuntimeError: what it said what it said ")
        assert "raise RuntimeError" in line["trace"]
        assert log.leaks() == []
        assert len(line["errorMessage"]) == MAX_ERROR
        record = stack.record("t")
        assert record.error_message == line["errorMessage"]
        (past,) = json.loads(record.history or "")
        assert len(past["errorMessage"]) == MAX_PAST_ERROR

    @pytest.mark.batch_statements
    def test_whose_data_does_not_fit_its_type_any_more_says_so_without_it(
        self, stack: Stack, shipped: TaskProcesses, log: Log
    ) -> None:
        worker = stack.worker(shipped, secrets=SecretParameters(aws.ssm, {}))
        bad: dict[str, tuple[str, dict[str, Any]]] = {
            "seconds": ("simulate", {"seconds": VALUE, NAME: VALUE}),
            "rate": ("simulate", {"seconds": 0, "failureRate": [VALUE]}),
            "lines": ("invoice", {"lines": [{"text": VALUE, "priceCents": VALUE, NAME: 1}]}),
            "currency": ("invoice", {"lines": [{"text": "x", "priceCents": 1}], "currency": VALUE}),
            "unknown": ("invoice", {"lines": [{"text": "x", "priceCents": 1}], NAME: VALUE}),
            "url": ("webhook", {"url": f"http://u:{VALUE}@127.0.0.1/", "body": 1}),
            "headers": ("webhook", {"url": "http://127.0.0.1/", "body": 1, "headers": {f"{NAME} x": VALUE}}),
        }
        work(stack, worker, bad)
        assert log.leaks() == []
        errors = {task_id: stack.record(task_id).error_message or "" for task_id in bad}
        assert not [error for error in errors.values() if VALUE in error or NAME in error]
        assert "payload.seconds is a string; it must be a number from 0 to 10" in errors["seconds"]
        assert "payload.currency is a string; it must be one of EUR, USD" in errors["currency"]
        assert "payload.lines" in errors["lines"]
        assert "payload.headers" in errors["headers"]

    @pytest.mark.batch_statements
    @pytest.mark.parametrize(
        "answered",
        [
            answer("500 " + NAME, VALUE.encode(), set_cookie=NAME),
            answer("400 " + NAME, VALUE.encode()),
            answer("307 Elsewhere", VALUE.encode(), location=f"ftp://{NAME}:{NAME}@{NAME}/?{NAME}"),
            answer("307 Elsewhere", VALUE.encode(), location=f"http://127.0.0.1:1/?{NAME}"),
            answer("503 Busy", VALUE.encode(), retry_after=NAME),
            answer("200 OK", VALUE.encode()),
            f"{VALUE} is no HTTP\r\n\r\n".encode(),
            f"HTTP/1.1 200 OK\r\n{NAME}".encode(),
        ],
    )
    def test_of_a_webhook_leaves_nothing_of_either_side_in_the_log(
        self, stack: Stack, shipped: TaskProcesses, log: Log, answered: bytes
    ) -> None:
        name, secret = (
            f"/{secrets.token_hex(8)}",
            f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        )
        cast("Any", boto3).client("ssm").put_parameter(Name=name, Value=secret, Type="SecureString")
        log.lines.clear()
        parameters = SecretParameters(aws.ssm, {"WEBHOOK_SECRET_PARAMETER": name})
        with Receiver([answered]) as receiver:
            payload = {
                "url": f"{receiver.url}/{NAME}?key={VALUE}",
                "headers": {NAME: VALUE, "authorization": VALUE},
                "body": {NAME: VALUE},
                "timeoutSeconds": 2,
            }
            work(stack, stack.worker(shipped, secrets=parameters), {"t": ("webhook", payload)})
            assert receiver.received
        assert log.saying(secret) == []
        assert log.saying("attempt failed") or log.saying("task failed") or log.saying("task completed")
        assert log.leaks() == []
        assert VALUE not in (stack.record("t").error_message or "")

    @pytest.mark.batch_statements
    def test_whose_secret_cannot_be_read_says_only_why(
        self, stack: Stack, processes: TaskProcesses, wire: Wire, log: Log
    ) -> None:
        wire.refuse("GetParameter", code="ValidationException")
        parameters = SecretParameters(aws.ssm, {"SAMPLE_SECRET_PARAMETER": NAME})
        work(stack, stack.worker(processes, secrets=parameters), {"t": ("secretive", {})})
        error = stack.record("t").error_message or ""
        assert "cannot be read: ValidationException" in error
        assert NAME not in error
        assert log.leaks() == []


# -- what follows


class TestALetter:
    @pytest.mark.parametrize(
        "body", [VALUE, f'["{VALUE}"]', f'{{"taskId": "{VALUE}/", "run": 1}}', '{"taskId": "t", "run": 1}']
    )
    @pytest.mark.parametrize("operation", ["", "GetItem", "BatchExecuteStatement"])
    def test_leaves_nothing_of_the_task_in_the_log(
        self, stack: Stack, load: Load, wire: Wire, log: Log, body: str, operation: str
    ) -> None:
        stack.submit("t", payload=json.dumps({NAME: VALUE}))
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=body)
        if operation and body.startswith('{"taskId": "t"'):
            wire.refuse(operation, code="ValidationException")
        load("monitor_dlq").handler(event_of(stack.receive(stack.dead_letter_queue_url)), lambda_context())
        assert log.saying("dead letter") or log.saying("no answer from AWS")
        assert log.leaks() == []

    def test_about_a_damaged_record_leaves_nothing_of_it_in_the_log(
        self, stack: Stack, load: Load, log: Log
    ) -> None:
        item: Any = to_item(a_task("t", "echo")) | {"run": {"S": VALUE}, "payload": {"S": VALUE}}
        stack.dynamodb.put_item(TableName=stack.table, Item=item)
        body = '{"taskId": "t", "run": 1}'
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=body)
        load("monitor_dlq").handler(event_of(stack.receive(stack.dead_letter_queue_url)), lambda_context())
        assert log.lines
        assert log.leaks() == []


def test_a_message_of_the_task_queue_that_is_none_leaves_nothing_in_the_log(
    stack: Stack, worker: Worker, log: Log
) -> None:
    bodies = [VALUE, f'["{VALUE}"]', f'{{"taskId": "{VALUE}/", "run": 1, "type": "echo"}}']
    worker.work_off(stack.deliver(*bodies), Deadline(30_000))
    assert len(log.saying("dead letter sent")) == len(bodies)
    assert log.leaks() == []


def test_a_change_that_cannot_be_read_leaves_nothing_in_the_log(
    stack: Stack, load: Load, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTIONS_URL", "http://127.0.0.1:1/live")
    stack.connections.subscribe("c", ["elsewhere"])
    damaged = [
        {"status": {"S": VALUE}, "payload": {"S": VALUE}},
        to_item(a_task("t", "echo")) | {"run": {"N": VALUE}},
        to_item(a_task("t", "echo")) | {"answer": VALUE},
    ]
    records = [{"eventID": "e", "dynamodb": {"SequenceNumber": "1", "NewImage": item}} for item in damaged]
    load("notify_clients").handler({"Records": records}, lambda_context())
    assert len(log.saying("a record cannot be read")) == 2
    assert len(log.saying("a stream record cannot be read")) == 1  # it names no task
    assert log.leaks() == []


@pytest.mark.parametrize(
    "body",
    [
        VALUE,
        f'["{VALUE}"]',
        json.dumps({"action": VALUE, NAME: VALUE}),
        json.dumps({"action": "subscribe", "taskIds": [f"{VALUE}/"], NAME: VALUE}),
        json.dumps({"action": "subscribe", "taskIds": [NAME]}),
    ],
)
def test_a_frame_leaves_nothing_in_the_log(stack: Stack, load: Load, wire: Wire, log: Log, body: str) -> None:
    handler = load("track_connections").handler
    event = {
        "requestContext": {"connectionId": "c", "routeKey": "$default", "eventType": "MESSAGE"},
        "queryStringParameters": {"ticket": NAME},
        "headers": {"authorization": NAME, "Sec-WebSocket-Protocol": NAME},
        "body": body,
    }
    handler(event, None)
    wire.refuse("PutItem", code="ValidationException")
    handler(event | {"body": json.dumps({"action": "subscribe", "taskIds": [NAME]})}, None)
    assert log.saying("no answer from AWS")
    assert log.leaks() == []
