"""The commands as people and scripts meet them: processes with exit codes, output and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from client import backoff
from tests.client.commands import SECONDS, invoke, run, spawned, started, terminal
from tests.client.fake_api import FakeApi, as_usual, gateway, hang, html, problem, problem_fields

#: Of every report in JSON.
REPORT_FIELDS = {"url", "outcome", "error", "count", "elapsedSeconds", "latencySeconds", "errors"}
LATENCY_FIELDS = {"p50", "p90", "p99", "max"}


def test_smoke_prints_its_report_on_stdout_and_nothing_on_stderr(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    api.ending = lambda number: ("FAILED", 3) if number == 0 else ("COMPLETED", 1)
    code, out, err = run("smoke", api.url, "--count", "4", "--interval", "0.01")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:5] == ["4", "of", "4", "tasks", "finished"]
    assert ["attempts", "1:", "3,", "3:", "1"] in lines
    assert ["seconds", "p50", "p90", "p99", "max"] in lines
    assert {line[0]: len(line) for line in lines}.items() >= {("submit", 5), ("finish", 5)}
    assert "FAILED: 1" in out
    assert "COMPLETED: 3" in out
    assert "\x1b" not in out


def test_smoke_json_is_one_object(api: FakeApi) -> None:
    code, out, err = run("smoke", api.url + "/", "--count", "2", "--interval", "0.01", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert set(report) == REPORT_FIELDS | {
        "submitted",
        "finished",
        "statuses",
        "attempts",
        "resolutionSeconds",
        "tasks",
    }
    assert (report["url"], report["outcome"], report["error"]) == (api.url, "ok", None)
    assert (report["statuses"], report["attempts"]) == ({"COMPLETED": 2}, {"1": 2})
    assert set(report["latencySeconds"]) == {"submit", "finish"}
    assert all(set(measured) == LATENCY_FIELDS for measured in report["latencySeconds"].values())
    for task in report["tasks"]:
        assert set(task) == {
            "taskId",
            "status",
            "attempts",
            "errorMessage",
            "submitSeconds",
            "finishSeconds",
        }


def test_load_json_is_one_object(api: FakeApi) -> None:
    code, out, err = run("load", api.url, "--count", "30", "--concurrency", "3", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert set(report) == REPORT_FIELDS | {
        "concurrency",
        "batchSize",
        "sent",
        "accepted",
        "unanswered",
        "throughputPerSecond",
        "clientBusy",
    }
    assert (report["outcome"], report["accepted"], report["concurrency"]) == ("ok", 30, 3)
    assert report["batchSize"] == 1
    assert set(report["latencySeconds"]["submit"]) == LATENCY_FIELDS


def test_load_prints_throughput_latencies_and_errors(api: FakeApi) -> None:
    api.faults["POST"].extend([as_usual, html(502)])
    code, out, err = invoke("load", api.url, "--count", "10", "--concurrency", "1")
    assert (code, err) == (1, "")
    assert out.startswith("9 of 10 tasks accepted in ")
    assert "tasks/s with 1 at a time" in out
    assert "HTTP 502: 1" in out
    assert "p99" in out


def test_load_sends_batches_and_counts_the_tasks_of_each(api: FakeApi) -> None:
    api.refusals.extend([None, problem_fields(409, "Conflict"), problem_fields(503, "Service Unavailable")])
    code, out, err = invoke("load", api.url, "--count", "12", "--batch", "5", "--concurrency", "2")
    assert (code, err) == (1, "")
    assert out.startswith("10 of 12 tasks accepted in ")
    assert "tasks/s with 2 requests of 5 at a time" in out
    assert "HTTP 409: 1, HTTP 503: 1" in out
    assert sorted(len(seen.body["tasks"]) for seen in api.seen) == [2, 5, 5]


def test_load_json_says_the_size_of_a_batch(api: FakeApi) -> None:
    code, out, _ = invoke("load", api.url, "--count", "150", "--batch", "100", "--json")
    report = json.loads(out)
    assert (code, report["batchSize"], report["accepted"], report["sent"]) == (0, 100, 150, 150)
    assert len(api.seen) == 2


def test_retry_starts_the_named_tasks_anew(api: FakeApi) -> None:
    api.store_failed("a", "b", "other")
    code, out, err = run("retry", api.url, "a", "b", "a")
    assert (code, err) == (0, "")
    assert out.startswith("2 of 2 tasks started anew in ")
    assert out.count("\n") == 1
    assert {task_id for task_id, stored in api.stored.items() if stored.fields["run"] == 2} == {"a", "b"}


def test_retry_starts_every_failed_task_anew_and_no_other(api: FakeApi) -> None:
    api.store_failed(*[f"t{n}" for n in range(230)])
    api.store({"taskId": "fine", "answer": "x"})
    code, out, err = invoke("retry", api.url, "--all-failed")
    assert (code, err) == (0, "")
    assert out.startswith("230 of 230 tasks started anew in ")
    assert [stored.fields["run"] for stored in api.stored.values()] == [2] * 230 + [1]
    assert len(api.requests("POST")) == 230


def test_retry_of_no_failed_task_is_a_success(api: FakeApi) -> None:
    code, out, _ = invoke("retry", api.url, "--all-failed")
    assert code == 0
    assert out.startswith("0 of 0 tasks started anew")


def test_retry_tells_what_it_left_alone_and_why(api: FakeApi) -> None:
    api.store_failed("a")
    api.store({"taskId": "fresh", "answer": "x"})
    code, out, err = invoke("retry", api.url, "a", "fresh", "nobody")
    assert (code, err) == (1, "")
    assert [line.split(maxsplit=2) for line in out.splitlines()[1:]] == [
        ["not", "failed", "1: Task fresh is PENDING; only FAILED can be retried."],
        ["not", "found", "1: There is no task nobody."],
    ]


@pytest.mark.usefixtures("quick")
def test_retry_json_is_one_object(api: FakeApi) -> None:
    api.store_failed("a")
    api.faults["POST"].append(gateway(503, "x"))
    code, out, err = invoke("retry", api.url, "a", "nobody", "--json", "--concurrency", "1")
    report = json.loads(out)
    assert (code, err) == (1, "")
    assert report.pop("elapsedSeconds") > 0
    assert report == {
        "url": api.url,
        "outcome": "incomplete",
        "error": None,
        "count": 2,
        "latencySeconds": {},
        "errors": {"HTTP 503": 1},
        "retried": 1,
        "conflicts": 0,
        "missing": 1,
        "unanswered": 0,
        "tasks": [
            {"taskId": "a", "result": "retried", "run": 2, "detail": None},
            {"taskId": "nobody", "result": "missing", "run": None, "detail": "There is no task nobody."},
        ],
    }


@pytest.mark.usefixtures("quick")
def test_retry_shows_what_was_done_before_it_was_refused(api: FakeApi) -> None:
    api.store_failed("a", "b")
    api.faults["POST"].extend([as_usual, html(403)])
    code, out, err = invoke("retry", api.url, "a", "b", "--concurrency", "1")
    assert code == 4
    assert out.startswith("1 of 2 tasks started anew")
    assert "unanswered    1: b" in out
    assert err.count("\n") == 1
    assert "403 Forbidden" in err


def test_type_and_payload_reach_the_api(api: FakeApi) -> None:
    for command in ("smoke", "load"):
        code, _, _ = invoke(command, api.url, "--count", "1", "--type", "report", "--payload", '{"n": [1]}')
        assert code == 0
    assert [(seen.body["type"], seen.body["payload"]) for seen in api.requests("POST")] == [
        ("report", {"n": [1]}),
        ("report", {"n": [1]}),
    ]


def test_exit_1_when_not_everything_finished_in_time(api: FakeApi) -> None:
    api.polls_to_finish = None
    code, out, err = invoke("smoke", api.url, "--count", "2", "--timeout", "0.8", "--interval", "0.05")
    assert (code, err) == (1, "")
    assert out.startswith("0 of 2 tasks finished")
    assert "PENDING: 2" in out


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "args", [["smoke"], ["load"], ["load", "--batch", "100"], ["retry", "t"], ["retry", "--all-failed"]]
)
def test_exit_3_and_one_line_when_nothing_listens(args: list[str], closed_port: int) -> None:
    code, out, err = invoke(args[0], f"http://tasks.execute-api.localhost:{closed_port}", *args[1:])
    assert (code, out) == (3, "")
    assert err.count("\n") == 1
    assert err.startswith(f"Error: could not reach http://tasks.execute-api.localhost:{closed_port} (conn")
    assert "make local" in err


@pytest.mark.usefixtures("quick")
def test_json_has_the_error_too(closed_port: int) -> None:
    code, out, _ = invoke("smoke", f"http://127.0.0.1:{closed_port}", "--json")
    report = json.loads(out)
    assert (code, report["outcome"], report["submitted"]) == (3, "unreachable", 0)
    assert report["errors"]["connection refused"] >= backoff.ATTEMPTS
    assert report["latencySeconds"] == {"submit": None, "finish": None}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("command", ["smoke", "load"])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            gateway(401, "Unauthorized"),
            "401 Unauthorized. The API takes calls with a valid token only: put one into",
        ),
        (html(403), "403 Forbidden. Something before the API refuses the call"),
        (html(200), "200 with text/html; charset=utf-8, which is not a task"),
        (html(404), "without /tasks"),
        (problem(404, "Not found"), "without /tasks"),
        (gateway(429, "Too Many Requests"), "raise apiThrottleRate"),
        (problem(500, "Internal error"), "its logs have the cause under correlation id corr-1"),
        (
            problem(400, "Invalid task", errors=[{"field": "type", "message": "no such type: x"}]),
            "400 Invalid task: type: no such type: x. The API does not take",
        ),
    ],
)
def test_exit_4_and_one_line_for_an_answer_that_ends_it(
    api: FakeApi, command: str, fault: Any, says: str
) -> None:
    api.always["POST"] = fault
    code, out, err = invoke(command, api.url)
    assert (code, out) == (4, "")
    assert err.count("\n") == 1
    assert says in err


def test_a_process_shows_no_traceback(api: FakeApi) -> None:
    api.always["POST"] = html(403)
    code, out, err = run("smoke", api.url)
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert err.startswith("Error: ")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["smoke"], "Missing argument"),
        (["smoke", "tasks.localhost:80"], "must start with http:// or https://"),
        (["smoke", "http://h", "--count", "0"], "--count"),
        (["smoke", "http://h", "--timeout", "0"], "--timeout"),
        (["smoke", "http://h", "--timeout", "nan"], "--timeout"),
        (["smoke", "http://h", "--interval", "inf"], "--interval"),
        (["smoke", "http://h", "--payload", "[1]"], "JSON object"),
        (["smoke", "http://h", "--payload", "{"], "not JSON"),
        (["smoke", "http://h", "--payload", '{"n": NaN}'], "NaN"),
        (["smoke", "http://h", "--payload", '{"n": 1e400}'], "1e400 is a number that cannot be sent"),
        (["smoke", "http://h", "--payload", '{"n": 1e-400}'], "1e-400 is a number that cannot be sent"),
        (
            ["smoke", "http://h", "--payload", '{"n": 12345678901234567.89}'],
            "12345678901234567.89 is a number",
        ),
        (["smoke", "http://h", "--payload", '{"a": {"n": 1, "n": 2}}'], "'n' is there more than once"),
        (["load", "http://h", "--concurrency", "0"], "--concurrency"),
        (["load", "http://h", "--batch", "0"], "'--batch': Input should be greater than or equal to 1"),
        (["load", "http://h", "--batch", "101"], "'--batch': Input should be less than or equal to 100"),
        (["load", "http://h", "--batch", "ten"], "'--batch': Input should be a valid integer"),
        (["load", "http://h", "--request-timeout", "-1"], "--request-timeout"),
        (["retry", "http://h"], "either task IDs or --all-failed"),
        (["retry", "http://h", "t", "--all-failed"], "either task IDs or --all-failed"),
        (["retry", "http://h", "t", "a/b"], "'a/b' is no task ID"),
        (["retry", "http://h", ""], "'' is no task ID"),
        (
            ["cancel", "http://h", ".."],
            "'..' is no task ID: 1 to 128 of A-Z a-z 0-9 . _ : -, but not . or ..",
        ),
        (["retry", "http://h", "t", "--concurrency", "101"], "--concurrency"),
        (["poke"], "poke"),
    ],
)
def test_exit_2_for_wrong_usage(args: list[str], says: str) -> None:
    code, out, err = invoke(*args)
    assert (code, out) == (2, "")
    assert says in err.splitlines()[-1]


def test_a_proxy_setting_that_cannot_be_used_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense://127.0.0.1:9")
    code, _, err = invoke("smoke", "http://tasks.example")
    assert code == 2
    assert "proxy" in err.splitlines()[-1]


def test_progress_is_shown_on_a_terminal_only(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with (
        terminal() as (stderr, seen),
        started("smoke", api.url, "--count", "3", "--interval", "0.01", stderr=stderr) as process,
    ):
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "submitted" in seen[0]
    assert seen[0].count("3/3") >= 2
    assert out.startswith("3 of 3 tasks finished")
    assert "\x1b" not in out


def test_ctrl_c_prints_what_smoke_has_seen(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    api.polls_to_finish = None
    with (
        terminal() as (stderr, seen),
        started("smoke", api.url, "--count", "3", "--interval", "0.05", stderr=stderr) as process,
    ):
        api.wait_until(lambda: len([s for s in api.stored.values() if s.polls]) == 3)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert out.startswith("0 of 3 tasks finished")
    assert "PENDING: 3" in out
    assert "submit" in out
    assert "Traceback" not in seen[0]
    assert seen[0].rindex("\x1b[?25h") > seen[0].rindex("\x1b[?25l"), "the cursor is not shown again"


def test_ctrl_c_prints_what_load_has_measured(api: FakeApi) -> None:
    api.faults["POST"].extend([as_usual] * 25)
    api.always["POST"] = hang
    with started("load", api.url, "--count", "1000", "--concurrency", "5", "--json") as process:
        api.wait_until(lambda: len(api.seen) == 30)  # 25 answered, 5 that wait
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    report = json.loads(out)
    assert (process.returncode, err, report["outcome"]) == (130, "", "interrupted")
    assert (report["sent"], report["accepted"], report["unanswered"]) == (30, 25, 5)
    assert set(report["latencySeconds"]["submit"]) == LATENCY_FIELDS


def test_ctrl_c_prints_what_load_has_measured_of_batches(api: FakeApi) -> None:
    api.faults["POST"].extend([as_usual] * 3)
    api.always["POST"] = hang
    args = ["--count", "1000", "--concurrency", "2", "--batch", "10", "--json"]
    with started("load", api.url, *args) as process:
        api.wait_until(lambda: len(api.seen) == 5)  # 3 answered, 2 that wait
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    report = json.loads(out)
    assert (process.returncode, err, report["outcome"]) == (130, "", "interrupted")
    assert (report["sent"], report["accepted"], report["unanswered"]) == (50, 30, 20)
    assert set(report["latencySeconds"]["submit"]) == LATENCY_FIELDS


def test_retry_shows_its_progress_once_it_knows_how_many(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    api.store_failed(*[f"t{n}" for n in range(101)])
    with terminal() as (stderr, seen), started("retry", api.url, "--all-failed", stderr=stderr) as process:
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "answered" in seen[0]
    assert "101/101" in seen[0]
    assert out.startswith("101 of 101 tasks started anew")


def test_ctrl_c_prints_what_retry_has_done(api: FakeApi) -> None:
    api.store_failed(*[f"t{n}" for n in range(150)])
    api.faults["POST"].extend([as_usual] * 7)
    api.always["POST"] = hang
    with started("retry", api.url, "--all-failed", "--concurrency", "4") as process:
        api.wait_until(lambda: len(api.requests("POST")) == 11)  # 7 answered, 4 that wait
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (130, "")
    assert out.startswith("7 of 100 tasks found so far started anew")
    assert "unanswered    93: " in out


def test_a_reader_that_has_left_is_told_from_a_task_that_did_not_finish(api: FakeApi) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with started("smoke", api.url, "--count", "1", "--interval", "0.01", stdout=theirs) as process:
        os.close(theirs)
        _, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (141, "")


def without(stream: str, *args: str) -> tuple[int, str]:
    """Exit code and stderr of a process that was started with a standard stream closed."""
    closing = ["sh", "-c", f'exec "$@" {stream}', "sh", sys.executable, "-m", "client", *args]
    with spawned(closing) as process:
        _, err = process.communicate(timeout=SECONDS)
    return process.returncode, err


def test_without_a_standard_output_a_command_does_its_work(api: FakeApi) -> None:
    api.store_failed("t")
    assert without(">&-", "get", api.url, "t") == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize(
    "arguments", [("--help",), ("get", "URL", "t"), ("smoke", "URL", "--count", "1", "--json")]
)
def test_output_that_finds_no_room_is_told(api: FakeApi, arguments: tuple[str, ...]) -> None:
    api.store_failed("t")
    words = [api.url if word == "URL" else word for word in arguments]
    with Path("/dev/full").open("w") as full, started(*words, stdout=full) as process:
        _, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (
        74,
        "Error: the output could not be written: No space left on device\n",
    )


def test_without_a_standard_input_nothing_is_in_it() -> None:
    code, err = without("<&-", "submit", "http://h", "--payload", "-")
    assert code == 2
    assert "'--payload': not JSON" in err.splitlines()[-1]


def test_help_names_the_exit_codes() -> None:
    for command in ([], ["smoke"], ["load"], ["retry"], ["watch"]):
        code, out, _ = invoke(*command, "--help")
        assert code == 0
        assert "130 interrupted" in " ".join(out.split())


def test_the_help_of_load_has_an_example_of_a_batch() -> None:
    _, out, _ = invoke("load", "--help")
    assert "    python -m client load URL --count 10000 --batch 100\n" in out
