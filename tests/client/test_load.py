"""The load test's run and report."""

from __future__ import annotations

import asyncio
import threading

import pytest

from client.api import TasksClient
from client.load import HOPELESS_FAILURES, LoadReport, load
from client.report import Outcome
from client.work import Work
from tests.client.fake_api import FakeApi, as_usual, gateway, hang, html, problem, reset


def run(api: FakeApi, count: int, concurrency: int, request_timeout: float = 20) -> LoadReport:
    report = LoadReport(api.url, count, concurrency)
    steps: list[str] = []

    async def main() -> None:
        async with TasksClient(api.url, timeout=request_timeout, connections=concurrency) as client:
            await load(client, Work(), report, advance=steps.append)

    asyncio.run(main())
    if report.error is None:
        assert len(steps) == count
    return report


def test_as_many_as_asked_for_are_submitted_once_each(api: FakeApi) -> None:
    report = run(api, 100, 8)
    assert report.outcome is Outcome.OK
    assert len(api.stored) == len(api.requests("POST")) == 100
    measured = report.as_json()
    assert (measured["sent"], measured["accepted"], measured["unanswered"], measured["errors"]) == (
        100,
        100,
        0,
        {},
    )
    assert measured["throughputPerSecond"] == pytest.approx(100 / report.elapsed, rel=0.01)
    assert measured["latencySeconds"]["submit"]["max"] <= report.elapsed


def test_every_worker_is_at_work_on_a_connection_of_its_own_that_is_kept(api: FakeApi) -> None:
    api.barrier = threading.Barrier(20)  # passes when 20 requests are there at once
    report = run(api, 100, 20)
    assert report.accepted == 100
    assert api.connections == api.most_at_once == 20


def test_every_kind_of_error_is_counted_and_nothing_is_sent_again(api: FakeApi) -> None:
    api.faults["POST"].extend([as_usual] * 3)
    api.faults["POST"].extend([gateway(429, "x"), gateway(429, "x"), gateway(503, "x"), html(403)])
    api.faults["POST"].extend([problem(400, "Invalid task"), html(200), reset, hang])
    report = run(api, 30, 2, request_timeout=1)
    assert report.outcome is Outcome.INCOMPLETE
    assert report.errors == {
        "HTTP 429": 2,
        "HTTP 503": 1,
        "HTTP 403": 1,
        "HTTP 400": 1,
        "bad answer": 1,
        "reset": 1,
        "timeout": 1,
    }
    assert report.accepted == 22
    assert len(api.requests("POST")) == 30
    assert report.facts["errors"].startswith("HTTP 429: 2, ")
    measured = report.latencies["submit"]
    assert measured is not None
    assert measured.max < 1, "the time that an error took is among the latencies"


def test_a_client_that_may_be_what_sets_the_rate_says_so(api: FakeApi) -> None:
    report = run(api, 20, 2)
    assert report.as_json()["clientBusy"] > 0
    report.elapsed, report.cpu_seconds = 10.0, 7.9
    assert report.facts["client"] == ""
    report.cpu_seconds = 9.0
    assert report.facts["client"].startswith("busy 90% of the time")
    assert report.as_json()["clientBusy"] == 0.9


@pytest.mark.parametrize("concurrency", [1, 10])
def test_it_gives_up_when_nothing_at_all_is_accepted(api: FakeApi, concurrency: int) -> None:
    api.always["POST"] = html(403)
    report = run(api, 1000, concurrency)
    assert report.outcome is Outcome.REFUSED
    assert report.errors["HTTP 403"] >= max(concurrency, HOPELESS_FAILURES)
    assert len(api.requests("POST")) <= 2 * max(concurrency, HOPELESS_FAILURES)
