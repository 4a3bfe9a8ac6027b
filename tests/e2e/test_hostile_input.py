"""What bad clients send, over the wire: a 4xx that names each field, and never a stored record."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.waiting import wait_for

from . import scenarios
from .answers import Exchange, leaks, problems
from .bad_frames import Then, bad_frames
from .bad_requests import HOSTILE, bad_requests
from .conftest import LocalStack, running
from .live_client import address, ask, connected
from .made_up_requests import check_made_up_requests
from .raw_client import RawClient
from .raw_frames import Heard, converse

pytestmark = pytest.mark.xdist_group("reliable")

#: Of all that is drawn in the long tests: the same requests and frames each time.
SEED = 20261122


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        (b"", 400, ["body"]),
        (b"not JSON", 400, ["body"]),
        (b"\xff\xfe\x00", 400, ["body"]),
        (b'[{"answer": "x"}]', 400, ["body"]),
        (b'{"payload": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}", 400, ["body"]),
        (b'{"payload": ' + b'{"a":' * 150 + b"1" + b"}" * 150 + b"}", 400, ["payload"]),
        (b'{"answer": "\\ud800"}', 400, ["answer"]),
        (b'{"payload": {"\\udc00": "\\ud800"}}', 400, ["payload"]),
        (b'{"payload": {"a": 1e999}}', 400, ["payload.a"]),
        (b'{"payload": {"lines": [{"price": 12345678901234567.89}]}}', 400, ["payload.lines[0].price"]),
        (b'{"answer": "x", "answer": "y"}', 400, ["answer"]),
        ('{"answer": "x"}'.encode("utf-16-le"), 400, ["body"]),
        (json.dumps({"payload": {"text": "x" * 300_000}}).encode(), 413, ["payload"]),
        (json.dumps({"answer": "x" * 3_000_000}).encode(), 413, ["body"]),
        (b'{"taskId": "a/b", "answer": "x"}', 400, ["taskId"]),
        (b'{"type": "rm -rf", "answer": "x"}', 400, ["type"]),
        (b'{"answer": "x", "payload": {}}', 400, ["payload"]),
        (b"{}", 400, ["answer"]),
        (b'{"taskId": 1, "type": 2, "answer": 3, "extra": 4}', 400, ["extra", "taskId", "type", "answer"]),
    ],
)
def test_of_a_submission(reliable: LocalStack, body: bytes, status: int, fields: list[str]) -> None:
    before = {task["taskId"] for task in reliable.tasks()}
    answer = reliable.http.post("/tasks", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, status, fields)
    assert {task["taskId"] for task in reliable.tasks()} == before


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/tasks?limit=0", ["limit"]),
        ("/tasks?limit=1&limit=2", ["limit"]),
        ("/tasks?limit=%00&status=DONE", ["status", "limit"]),
        ("/tasks?cursor=" + base64.urlsafe_b64encode(b'{"taskId":{"S":"x"}}').decode(), ["cursor"]),
        ("/tasks?cursor=%F0%9F%92%A9", ["cursor"]),
        ("/tasks?Limit=5", ["Limit"]),
        ("/tasks/" + "x" * 129, ["taskId"]),
        ("/tasks/%20", ["taskId"]),
        ("/tasks/%ED%A0%80", ["taskId"]),
        ("/tasks/a?full=1", ["full"]),
    ],
)
def test_of_a_reader(reliable: LocalStack, path: str, fields: list[str]) -> None:
    assert_problem(reliable.http.get(path), 400, fields)


def assert_problem(answer: httpx.Response, status: int, fields: list[str]) -> None:
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-correlation-id"]
    problem = answer.json()
    assert {"type", "title", "status", "detail", "errors"} == problem.keys()
    assert problem["status"] == status
    assert [error["field"] for error in problem["errors"]] == fields


@pytest.mark.long
def test_what_looks_like_code_is_data(reliable: LocalStack) -> None:
    texts = {
        f"looks-like-code-{place}": text
        for place, text in enumerate(HOSTILE)
        if text.isascii() or text.isprintable()
    }
    assert len(texts) > 50
    tasks = [{"taskId": task_id, "payload": {"seconds": 0, text: [text]}} for task_id, text in texts.items()]
    answer = reliable.http.post("/tasks/batch", json={"tasks": tasks})
    assert {result["status"] for result in answer.json()["results"]} == {202}
    for task_id, text in texts.items():
        task = reliable.finished(task_id)
        assert (task["status"], task["payload"]) == ("COMPLETED", {"seconds": 0, text: [text]})


class Attacked:
    """A stack of a test's own, as it was before anybody did harm. Its dead letters stay where they are."""

    def __init__(self, stack: LocalStack, log: Path) -> None:
        self.stack = stack
        self._log = log
        self.pages = {path: stack.http.get(path).content for path in ("/", "/docs", "/openapi.json")}
        self.description: Mapping[str, Any] = json.loads(self.pages["/openapi.json"])

    def examples(self, path: str) -> list[dict[str, Any]]:
        """The bodies that the description shows for a path."""
        content = self.description["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        return [example["value"] for example in content["examples"].values()]

    def items(self, table: str) -> list[dict[str, Any]]:
        """All that a table of this stack holds."""
        pages = self.stack.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def expect_only(self, exchanges: Iterable[Exchange] = ()) -> None:
        """Nothing is stored, queued or connected but what the answers say is, and no function failed."""
        stack = self.stack
        accepted = {task_id for exchange in exchanges for task_id in exchange.tasks_taken()}
        tickets = {ticket for exchange in exchanges for ticket in exchange.tickets_given()}
        wait_for(lambda: stack.messages(stack.task_queue_url) == 0, "an empty task queue")
        # A message for a task that is none ends here.
        assert stack.messages(stack.dead_letter_queue_url) == 0
        tables = set(stack.dynamodb.list_tables()["TableNames"])
        connections = stack.table.replace("-tasks", "-connections")
        assert tables == {stack.table, connections}
        # The sweep's own note is nobody's task.
        assert {item["taskId"]["S"] for item in self.items(stack.table)} - {"#sweep"} == accepted
        known = {hashlib.sha256(ticket.encode()).hexdigest() for ticket in tickets}
        wait_for(
            lambda: all(item["connectionId"]["S"] in known for item in self.items(connections)),
            "a table of connections without any that has ended",
        )
        failures = [
            f"{group}: {line[:2000]}"
            for group, lines in stack.log_groups().items()
            for line in lines
            if _tells_of_failure(line)
        ]
        failures += [line for line in self._log.read_text().splitlines() if " ERROR [" in line]
        assert not failures, told(failures)

    def expect_well(self) -> None:
        """Every route does what it is for, and the monitor too."""
        stack = self.stack
        assert {path: stack.http.get(path).content for path in self.pages} == self.pages
        stack.submit("afterwards")
        assert stack.finished("afterwards")["status"] == "COMPLETED"
        assert "afterwards" in {task["taskId"] for task in stack.tasks()}
        assert stack.http.post("/tasks/afterwards/retry").status_code == 409
        assert stack.http.delete("/tasks/afterwards").status_code == 409
        assert stack.http.post("/tasks/batch", json={"tasks": [{"answer": "x"}]}).status_code == 207
        with connected(stack) as connection:
            assert ask(connection, action="ping") == {"pong": True, "isSubscribed": False}
        scenarios.reported_letters_are_deleted(stack, wait_for)


def told(wrongs: Sequence[str]) -> str:
    """The start of a long list, whole lines."""
    return "\n".join([f"{len(wrongs)} wrong with seed {SEED}:", *wrongs[:20]])


def _tells_of_failure(line: str) -> bool:
    try:
        told = json.loads(line)
    except ValueError:
        return "Traceback" in line or "Task timed out" in line or "[ERROR]" in line
    return isinstance(told, dict) and (told.get("level") in ("ERROR", "CRITICAL") or "exception" in told)


@pytest.fixture
def attacked(tmp_path: Path) -> Generator[Attacked]:
    log = tmp_path / "log"
    monitor = ("dlqMonitorTrigger=schedule", "dlqMonitorSchedule=rate(1 day)")
    with running(log, "failureRate=0", *monitor) as stack:
        yield Attacked(stack, log)


@pytest.mark.long
def test_five_thousand_bad_requests_are_refused_and_leave_nothing(attacked: Attacked, tmp_path: Path) -> None:
    made_up = made_up_requests(attacked.stack, tmp_path)
    wrongs = problems(made_up, attacked.pages)
    assert not wrongs, told(wrongs)
    # Some turn out to be good: they differ from a good one in what nobody looks at, as in a header.
    assert sum(not exchange.is_refusal() for exchange in made_up) < len(made_up) / 5
    attacked.expect_only(made_up)

    examples = {path: attacked.examples(path) for path in ("/tasks", "/tasks/batch")}
    drawn = RawClient(attacked.stack.url).exchange_all(bad_requests(SEED, 4200, examples), concurrency=8)
    wrongs = problems(drawn, attacked.pages)
    wrongs += [f"not refused: {exchange.request}" for exchange in drawn if not exchange.is_refusal()]
    assert not wrongs, told(wrongs)
    attacked.expect_only([*made_up, *drawn])

    # Those that our functions refused, not the gateway before them.
    refused = [each for each in [*made_up, *drawn] if each.is_refusal() and each.header("x-correlation-id")]
    statuses = dict(sorted(Counter(exchange.status for exchange in refused).items()))
    sys.stdout.write(
        f"{len(made_up)} made up from the description, {len(drawn)} drawn from seed {SEED}; refused by the "
        f"functions: {len(refused)}, by status {statuses}; stored, as their answers say: "
        f"{len({task_id for each in made_up for task_id in each.tasks_taken()})}\n"
    )
    assert len(refused) >= 5000
    attacked.expect_well()


def made_up_requests(stack: LocalStack, directory: Path) -> list[Exchange]:
    """Every request that breaks the description in a way that can be listed, and some that break it at random."""
    runs = {
        "listed": ("--phases", "coverage"),
        "random-1": ("--phases", "fuzzing", "--max-examples", "100", "--seed", "1"),
        "random-2": ("--phases", "fuzzing", "--max-examples", "100", "--seed", "2"),
    }

    def run(name: str) -> str:
        place = directory / name
        place.mkdir()
        report = ("--report", "har", "--report-har-path", str(place / "har"), "--output-sanitize", "false")
        return check_made_up_requests(stack, place, "--mode", "negative", *report, *runs[name])

    with ThreadPoolExecutor(len(runs)) as threads:
        said = dict(zip(runs, threads.map(run, runs), strict=True))
    assert "Tested: 10" in said["listed"]
    return [exchange for name in runs for exchange in recorded(directory / name / "har")]


def recorded(har: Path) -> list[Exchange]:
    """What was sent and answered, as an HTTP archive has it."""
    return [
        _recorded(entry["request"], entry["response"])
        for entry in json.loads(har.read_text())["log"]["entries"]
    ]


def _recorded(request: Mapping[str, Any], response: Mapping[str, Any]) -> Exchange:
    text = request.get("postData", {}).get("text", "")
    headers = "\n".join(f"{header['name']}: {header['value']}" for header in request["headers"])
    return Exchange(
        request=f"made up: {request['method']} {request['url']} {text[:300]!r}",
        method=request["method"],
        sent=f"{request['url']}\n{headers}\n{text}".encode(errors="replace"),
        status=response["status"],
        headers=[(header["name"].lower(), header["value"]) for header in response["headers"]],
        body=response["content"].get("text", "").encode(),
    )


@pytest.mark.long
def test_six_hundred_bad_frames_are_refused_and_leave_nothing(attacked: Attacked) -> None:
    stack = attacked.stack
    frames = bad_frames(SEED, 600)
    with ThreadPoolExecutor(6) as threads:
        shares = threads.map(partial(converse, stack), [frames[start::6] for start in range(6)])
        heard = [each for share in shares for each in share]
    wrongs = [wrong for each in heard for wrong in _wrongs(each)]
    assert not wrongs, told(wrongs)
    good = address(stack)
    refusals = [
        _refusal(f"{good.partition('?')[0]}?ticket={quote(text, errors='surrogatepass')}") for text in HOSTILE
    ]
    assert set(refusals) == {403}
    with connect(good):
        pass
    # Whoever was subscribed is forgotten, however the connection ended.
    attacked.expect_only()
    sys.stdout.write(
        f"{len(heard)} bad frames drawn from seed {SEED} over {sum(each.opened for each in heard)} connections: "
        f"{dict(Counter(each.frame.then.name for each in heard))}; {len(refusals)} bad tickets\n"
    )
    assert len(heard) == len(frames)
    attacked.expect_well()


def _wrongs(heard: Heard) -> Sequence[str]:
    """What is wrong with what came after a frame."""
    frame = heard.frame
    wrongs = [f"tells {leak!r}" for said in heard.said for leak in leaks(said, frame.wire)]
    answers = [json.loads(said) for said in heard.said]
    if len(answers) != (1 if frame.then is Then.ANSWER else 0):
        wrongs.append(f"{len(answers)} answers")
    wrongs += [
        f"answer {each}" for each in answers if not 400 <= each.get("problem", {}).get("status", 0) < 500
    ]
    if heard.closed != (frame.then is Then.CLOSE):
        wrongs.append("closed" if heard.closed else "not closed")
    return [f"{wrong} after {frame}" for wrong in wrongs]


def _refusal(url: str) -> int:
    with pytest.raises(InvalidStatus) as raised, connect(url):
        pass
    return raised.value.response.status_code
