"""The smoke test's run and report."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from client import backoff, smoke
from client.api import TasksClient
from client.report import Outcome
from client.smoke import SmokeReport
from client.work import Work
from tests.client.fake_api import FakeApi, Fault, as_usual, gateway, html, lost_answer, problem, reset, slow

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "POLLS_PER_SECOND", 1000)


def run(
    api: FakeApi, count: int = 10, *, work: Work | None = None, timeout: float = 20, interval: float = 0.01
) -> SmokeReport:
    report = SmokeReport(api.url, count)
    steps: Counter[str] = Counter()

    def advance(bar: str) -> None:
        steps[bar] += 1

    async def main() -> None:
        async with TasksClient(api.url) as client:
            await smoke.smoke(
                client, work or Work(), report, timeout=timeout, interval=interval, advance=advance
            )

    asyncio.run(main())
    assert steps["submitted"] == len(report.submitted)
    assert steps["finished"] == len(report.finished)
    return report


def test_every_task_is_followed_to_its_end(api: FakeApi) -> None:
    api.polls_to_finish = 3
    api.ending = lambda number: ("FAILED", 3) if number % 5 == 0 else ("COMPLETED", 1 + number % 2)
    report = run(api, 20)
    assert report.outcome is Outcome.OK
    measured = report.as_json()
    assert (measured["submitted"], measured["finished"]) == (20, 20)
    assert measured["statuses"] == {"FAILED": 4, "COMPLETED": 16}
    assert measured["attempts"] == {"1": 8, "2": 8, "3": 4}
    assert {task["taskId"] for task in measured["tasks"]} == set(api.stored)
    assert all(stored.polls == 3 for stored in api.stored.values())
    assert "it was [31mbad" in report.facts["failed"]
    assert report.facts["failed"].endswith("and 1 more")


def test_it_submits_in_parallel_and_bounds_what_is_under_way(api: FakeApi) -> None:
    api.barrier = threading.Barrier(smoke.CONCURRENCY)  # passes when that many requests are there at once
    report = run(api, 3 * smoke.CONCURRENCY)
    assert report.outcome is Outcome.OK
    assert api.most_at_once == smoke.CONCURRENCY
    assert api.connections <= smoke.CONCURRENCY


def test_type_and_payload_are_those_asked_for(api: FakeApi) -> None:
    run(api, 2, work=Work("report", {"n": 1}))
    assert all(
        (seen.body["type"], seen.body["payload"]) == ("report", {"n": 1}) for seen in api.requests("POST")
    )


def test_a_repeated_submission_keeps_its_id(api: FakeApi) -> None:
    api.faults["POST"].extend([gateway(429, "Too Many Requests"), lost_answer, reset])
    report = run(api, 1)
    assert report.outcome is Outcome.OK
    assert len(api.stored) == report.count
    assert {seen.body["taskId"] for seen in api.requests("POST")} == {one.task_id for one in report.tracked}
    assert report.errors == {"HTTP 429": 1, "reset": 2}


def test_polling_goes_on_through_transient_errors(api: FakeApi) -> None:
    api.faults["GET"].extend([gateway(503, "x")] * (backoff.ATTEMPTS + 1) + [reset])
    report = run(api, 1)
    assert report.outcome is Outcome.OK
    assert report.errors == {"HTTP 503": backoff.ATTEMPTS + 1, "reset": 1}


def test_a_submission_that_cannot_be_mended_is_missing_and_the_others_finish(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "CONCURRENCY", 1)  # so that the faults all meet the second task
    api.faults["POST"].extend([as_usual])
    api.faults["POST"].extend([gateway(503, "x")] * backoff.ATTEMPTS)
    report = run(api, 3)
    assert report.outcome is Outcome.INCOMPLETE
    assert (len(report.submitted), len(report.finished)) == (2, 2)
    assert report.facts["not submitted"] == "1"


def test_a_refusal_ends_the_run_though_others_were_accepted(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "CONCURRENCY", 1)
    api.faults["POST"].extend([as_usual, html(403)])
    report = run(api, 50)
    assert report.outcome is Outcome.REFUSED
    assert len(report.submitted) == 1
    assert len(api.requests("POST")) == 2


def test_it_gives_up_when_nothing_is_accepted(api: FakeApi) -> None:
    api.always["POST"] = reset
    report = run(api, 50)
    assert report.outcome is Outcome.UNREACHABLE
    assert len(api.requests("POST")) <= smoke.CONCURRENCY * backoff.ATTEMPTS


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("fault", [html(200), problem(404, "No such task")])
def test_an_answer_that_repeats_cannot_mend_ends_the_run(api: FakeApi, method: str, fault: Fault) -> None:
    api.always[method] = fault
    report = run(api, 5)
    assert report.outcome is Outcome.REFUSED
    assert len(api.requests(method)) <= 5


def test_what_is_not_finished_in_time_is_reported(api: FakeApi) -> None:
    api.polls_to_finish = None
    report = run(api, 3, timeout=0.8)
    assert report.outcome is Outcome.INCOMPLETE
    assert (len(report.submitted), len(report.finished)) == (3, 0)
    assert report.facts["unfinished"].count("PENDING") == 3
    assert report.latencies["finish"] is None
    assert 0.8 <= report.elapsed < 10


def test_a_task_is_polled_no_more_often_than_asked(api: FakeApi) -> None:
    api.polls_to_finish = 4
    run(api, 3, interval=0.1)
    polls: defaultdict[str, list[float]] = defaultdict(list)
    for seen in api.requests("GET"):
        polls[seen.path].append(seen.at)
    gaps = [later - earlier for times in polls.values() for earlier, later in pairwise(times)]
    assert len(gaps) == 9
    assert min(gaps) >= 0.09


def test_all_polls_together_keep_to_their_rate(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "POLLS_PER_SECOND", 50)
    api.polls_to_finish = 3
    run(api, 8, interval=0.001)
    times = [seen.at for seen in api.requests("GET")]
    assert len(times) == 24
    assert times[-1] - times[0] >= 0.9 * 23 / 50


@pytest.mark.parametrize(
    ("seconds_to_finish", "fault", "interval", "shortest_below"),
    [(0.3, as_usual, 0.07, 0.3), (0.02, slow, 0.01, 2.0)],
    ids=["between polls", "during a poll"],
)
def test_the_finish_latency_is_too_long_by_no_more_than_the_resolution(
    api: FakeApi, seconds_to_finish: float, fault: Fault, interval: float, shortest_below: float
) -> None:
    api.seconds_to_finish = seconds_to_finish
    api.always["GET"] = fault
    report = run(api, 5, interval=interval)
    for one in report.tracked:
        ended = api.stored[one.task_id].finished_at
        assert ended is not None
        assert one.finish_seconds is not None
        assert one.submit_seconds is not None
        real = ended - one.started
        assert one.finish_seconds - one.resolution_seconds <= real <= one.finish_seconds
        assert one.submit_seconds < one.finish_seconds
    shortest = min(one.resolution_seconds for one in report.tracked)
    assert interval <= shortest < shortest_below
    assert report.as_json()["resolutionSeconds"] >= shortest
