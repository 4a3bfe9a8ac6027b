"""One request for each of many tasks, with the retry of failed ones: its run and report."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from client import backoff, each
from client.api import TasksClient
from client.each import CANCEL, RETRY, EachReport, Request, ask_each, failed, named
from client.report import Outcome
from tests.client.fake_api import (
    FakeApi,
    Fault,
    as_usual,
    gateway,
    html,
    lost_cancel,
    lost_retry,
    problem,
    reset,
)

Names = Callable[[TasksClient, EachReport], AsyncIterator[str]]

pytestmark = pytest.mark.usefixtures("quick")


def run(api: FakeApi, names: Names, *, concurrency: int = 10, request: Request = RETRY) -> EachReport:
    report = EachReport(api.url, request)
    steps: list[str] = []

    async def main() -> None:
        async with TasksClient(api.url) as client:
            await ask_each(
                client, names(client, report), report, concurrency=concurrency, advance=steps.append
            )

    asyncio.run(main())
    assert len(steps) == sum(one.result is not None for one in report.tasks)
    return report


def these(*task_ids: str) -> Names:
    return lambda _, report: named(task_ids, report)


def test_it_retries_in_parallel_and_bounds_what_is_under_way(api: FakeApi) -> None:
    api.store_failed(*[f"t{n}" for n in range(30)])
    api.barrier = threading.Barrier(6)  # passes when that many requests are there at once
    assert run(api, failed, concurrency=6).outcome is Outcome.OK
    assert api.most_at_once == 6
    assert api.connections <= 7


def test_transient_errors_are_repeated_and_make_no_second_run(api: FakeApi) -> None:
    api.store_failed("t")
    api.faults["POST"].extend([gateway(429, "x"), lost_retry, reset])
    report = run(api, these("t"))
    assert report.outcome is Outcome.OK
    assert (report.tasks[0].run, api.stored["t"].fields["run"]) == (2, 2)
    assert report.errors == {"HTTP 429": 1, "reset": 2}


def test_transient_errors_of_the_list_are_repeated(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(each, "PAGE", 2)
    api.store_failed(*"abcde")
    api.faults["GET"].extend([gateway(503, "x"), as_usual, reset])
    report = run(api, failed)
    assert report.outcome is Outcome.OK
    assert sorted(one.task_id for one in report.tasks) == [*"abcde"]
    assert len(api.requests("GET")) == 5


def test_a_task_that_fails_again_meanwhile_is_retried_once(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(each, "PAGE", 2)
    api.store_failed(*"abcdef")

    def retry_that_fails_at_once(handler: object) -> None:
        as_usual(handler)  # pyright: ignore[reportArgumentType]
        for stored in api.stored.values():
            stored.fields["status"] = "FAILED"

    api.always["POST"] = retry_that_fails_at_once
    report = run(api, failed, concurrency=1)
    assert report.number(each.Result.RETRIED) == report.count == 6
    assert [stored.fields["run"] for stored in api.stored.values()] == [2] * 6


def test_a_task_without_an_answer_is_named_and_the_others_go_on(api: FakeApi) -> None:
    api.store_failed("a", "b", "c")
    api.faults["POST"].extend([as_usual, *[gateway(503, "x")] * backoff.ATTEMPTS])
    report = run(api, these("a", "b", "c"), concurrency=1)
    assert report.outcome is Outcome.INCOMPLETE
    assert [one.result for one in report.tasks] == ["retried", None, "retried"]
    assert report.facts["unanswered"] == "1: b"


def test_failures_here_and_there_do_not_end_the_run(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(each, "HOPELESS_FAILURES", 2)
    api.store_failed(*"abcde")
    for _ in range(2):
        api.faults["POST"].extend([as_usual, *[reset] * backoff.ATTEMPTS])
    report = run(api, these(*"abcde"), concurrency=1)
    assert report.outcome is Outcome.INCOMPLETE
    assert report.facts["unanswered"] == "2: b; d"


def test_it_gives_up_when_nothing_is_answered(api: FakeApi) -> None:
    api.store_failed(*[f"t{n}" for n in range(50)])
    api.always["POST"] = reset
    report = run(api, failed, concurrency=3)
    assert report.outcome is Outcome.UNREACHABLE
    assert len(api.requests("POST")) <= 3 * backoff.ATTEMPTS


def test_it_gives_up_when_nothing_is_answered_any_more(api: FakeApi) -> None:
    api.store_failed(*[f"t{n}" for n in range(50)])
    api.faults["POST"].extend([as_usual] * 5)
    api.always["POST"] = reset
    report = run(api, failed, concurrency=2)
    assert report.outcome is Outcome.UNREACHABLE
    assert len(api.requests("POST")) <= 5 + (each.HOPELESS_FAILURES + 1) * backoff.ATTEMPTS


@pytest.mark.parametrize(
    "fault", [html(404), html(409), html(200), gateway(404, "Not Found"), problem(405, "x")]
)
def test_an_answer_that_is_not_about_one_task_ends_the_run(api: FakeApi, fault: Fault) -> None:
    api.store_failed(*[f"t{n}" for n in range(50)])
    api.faults["POST"].extend([as_usual] * 5)
    api.always["POST"] = fault
    report = run(api, failed, concurrency=2)
    assert report.outcome is Outcome.REFUSED
    assert len(api.requests("POST")) <= 7


@pytest.mark.parametrize("fault", [html(200), problem(400, "x")])
def test_a_list_that_cannot_be_read_ends_the_run(api: FakeApi, fault: Fault) -> None:
    api.always["GET"] = fault
    report = run(api, failed)
    assert report.outcome is Outcome.REFUSED
    assert len(api.seen) == 1


def test_a_lost_answer_of_a_cancellation_is_asked_for_again(api: FakeApi) -> None:
    for name in "ab":
        api.store({"taskId": name, "answer": "x"})
    api.faults["DELETE"].extend([lost_cancel, gateway(503, "x")])
    report = run(api, these("a", "b"), concurrency=1, request=CANCEL)
    assert report.outcome is Outcome.OK
    assert report.number(each.Result.CANCELLED) == 2
    assert report.errors == {"HTTP 503": 1, "reset": 1}


def test_what_cannot_be_cancelled_is_told_and_left_alone(api: FakeApi) -> None:
    api.store({"taskId": "a", "answer": "x"})
    api.store_failed("b")
    report = run(api, these("a", "b", "c"), request=CANCEL)
    assert report.outcome is Outcome.INCOMPLETE
    assert [one.result for one in report.tasks] == ["cancelled", "conflict", "missing"]
    assert [stored.fields["status"] for stored in api.stored.values()] == ["CANCELLED", "FAILED"]
