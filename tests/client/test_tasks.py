"""`submit`, `get`, `list` and `cancel` as people and scripts meet them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from client.cli import app
from tests.client.commands import SECONDS, invoke, run, started, terminal
from tests.client.fake_api import FakeApi, gateway, html, lost_answer, problem, reset
from tests.client.fake_live import FakeLive

pytestmark = pytest.mark.usefixtures("quick")


def words(line: str) -> list[str]:
    return re.split(r" {2,}", line)


def test_submit_sends_what_it_is_given_and_says_where_the_task_stands(api: FakeApi) -> None:
    code, out, err = run("submit", api.url, "--task-id", "a", "--type", "report", "--answer", "42")
    assert (code, out, err) == (0, "Task a is PENDING.\n", "")
    assert api.seen[0].body == {"taskId": "a", "type": "report", "answer": "42"}


def test_submit_takes_a_payload_from_a_file(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"ü": [1]}', encoding="utf-8")
    assert invoke("submit", api.url, "--payload", f"@{tmp_path / 'p.json'}")[0] == 0
    assert api.seen[0].body["payload"] == {"ü": [1]}


def test_submit_sends_numbers_as_they_are_written(api: FakeApi) -> None:
    text = '{"n": [0, -0, 1, 1.0, 1e2, 0.1, 0.10000000000000001, 0e9, 1e23, 9007199254740993]}'
    assert invoke("submit", api.url, "--payload", text)[0] == 0
    assert json.dumps(api.seen[0].body["payload"]) == (
        '{"n": [0, -0.0, 1, 1.0, 100.0, 0.1, 0.1, 0.0, 1e+23, 9007199254740993]}'
    )


def test_submit_takes_a_payload_from_standard_input(api: FakeApi) -> None:
    result = CliRunner().invoke(app, ["submit", api.url, "--payload", "-"], input='{"n": "ü"}')
    assert (result.exit_code, api.seen[0].body["payload"]) == (0, {"n": "ü"})


def test_an_answer_is_taken_as_it_is(api: FakeApi) -> None:
    for text in ("@nofile", "-", '{"n": 1}'):
        assert invoke("submit", api.url, "--answer", text)[0] == 0
    assert [seen.body["answer"] for seen in api.seen] == ["@nofile", "-", '{"n": 1}']


def test_submit_can_be_later(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-1")
    code, out, _ = run(
        "submit", api.url, "--task-id", "a", "--answer", "x", "--run-at", "2097-01-01T09:00:00-08:00"
    )
    assert (code, out) == (0, "Task a is PENDING, to start at 2097-01-01 18:00:00.000.\n")
    assert invoke("submit", api.url, "--answer", "x", "--delay", "90")[0] == 0
    assert invoke("submit", api.url, "--answer", "x", "--delay", "0.5")[0] == 0
    assert api.seen[0].body["runAt"] == "2097-01-01T17:00:00.000Z"
    assert [json.dumps(seen.body["delaySeconds"]) for seen in api.seen[1:]] == ["90", "0.5"]


def test_submit_json_is_the_task_as_the_api_sends_it(api: FakeApi) -> None:
    api.store({"taskId": "a", "answer": "ü\x1b"})
    api.stored["a"].fields["colour"] = "red"
    code, out, err = run("submit", api.url, "--task-id", "a", "--answer", "ü\x1b", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out) == api.stored["a"].fields
    assert "\x1b" not in out


def test_a_submission_whose_answer_is_lost_is_sent_again_under_its_id(api: FakeApi) -> None:
    api.faults["POST"].extend([lost_answer, gateway(503, "x")])
    assert invoke("submit", api.url, "--answer", "x")[0] == 0
    assert len({seen.body["taskId"] for seen in api.seen}) == 1
    assert (len(api.seen), len(api.stored)) == (3, 1)


@pytest.mark.parametrize(("status", "expected"), [("COMPLETED", 0), ("FAILED", 1), ("CANCELLED", 1)])
def test_wait_follows_to_the_end_and_exits_with_the_outcome(
    api: FakeApi, live: FakeLive, status: str, expected: int
) -> None:
    with started("submit", api.url, "--task-id", "a", "--answer", "x", "--wait") as process:
        peer = live.subscriber()
        peer.push(api.change("a", "PROCESSING", attempts=1))
        peer.push(api.change("a", status, attempts=1, result={"bell": "\x07ü"}))
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (expected, "")
    *updates, result = out.splitlines()
    assert [words(line)[3] for line in updates] == ["PENDING", "PROCESSING", status]
    assert result == 'result  {"bell": "\\u0007ü"}'


def test_wait_for_what_has_ended_already_needs_no_live_updates(api: FakeApi) -> None:
    api.store({"taskId": "a", "answer": "x"})
    api.stored["a"].fields["status"] = "COMPLETED"
    code, out, err = invoke("submit", api.url, "--task-id", "a", "--answer", "x", "--wait")
    assert (code, err, len(out.splitlines())) == (0, "", 1)


def test_wait_json_is_the_task_at_its_end(api: FakeApi, live: FakeLive) -> None:
    with started("submit", api.url, "--task-id", "a", "--answer", "x", "--wait", "--json") as process:
        live.subscriber().push(api.change("a", "COMPLETED", attempts=1, result=7))
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out) == api.stored["a"].fields


def test_wait_ends_after_its_time_limit(api: FakeApi, live: FakeLive) -> None:
    args = ("--task-id", "a", "--answer", "x", "--wait", "--timeout", "0.5")
    code, out, err = invoke("submit", api.url, *args)
    assert (code, err) == (1, "Not finished within 0.5 s: a\n")
    assert words(out.strip())[1:4] == ["a", "simulate", "PENDING"]


def test_ctrl_c_while_waiting_leaves_the_task_and_its_id(api: FakeApi, live: FakeLive) -> None:
    with started("submit", api.url, "--task-id", "a", "--answer", "x", "--wait", "--json") as process:
        live.subscriber()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err, json.loads(out)["taskId"]) == (130, "", "a")


def test_get_shows_all_that_is_known_of_a_task(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    api.store({"taskId": "a", "payload": {"n": "\x1b[31m"}})
    attempt = {"run": 1, "startedAt": "2026-01-02T03:04:05.678Z"}
    api.stored["a"].fields |= {
        "status": "FAILED",
        "attempts": 2,
        "createdAt": "2026-01-02T03:04:05Z",
        "updatedAt": "2026-01-02T03:04:06Z",
        "runAt": "2026-01-02T03:04:05Z",
        "errorMessage": "it was \x1b[31mbad",
        "history": [
            attempt | {"attempt": 1, "durationMs": 1500, "errorMessage": "bad\nluck"},
            attempt | {"attempt": 2},
        ],
    }
    api.polls_to_finish = None
    code, out, err = run("get", api.url, "a")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "task      a",
        "type      simulate",
        "status    FAILED",
        "attempts  2",
        "run       1",
        "created   2026-01-02 03:04:05.000",
        "updated   2026-01-02 03:04:06.000",
        "run at    2026-01-02 03:04:05.000",
        'payload   {"n": "\\u001b[31m"}',
        "error     it was [31mbad",
        "history   2026-01-02 03:04:05.678  run 1, attempt 1  1.500 s  bad luck",
        "          2026-01-02 03:04:05.678  run 1, attempt 2  its worker died  succeeded",
    ]


def test_get_shows_several_as_a_table_in_the_order_asked_for(api: FakeApi) -> None:
    for name in ("b", "a"):
        api.store({"taskId": name, "answer": "x"})
    code, out, err = invoke("get", api.url, "a", "nobody", "b", "a")
    assert (code, err) == (1, "There is no task nobody.\n")
    heading, *rows = [words(line) for line in out.splitlines()]
    assert heading == ["CREATED", "TASK", "TYPE", "STATUS", "ATTEMPTS", "NOTE"]
    assert [row[1:] for row in rows] == [[name, "simulate", "COMPLETED", "1"] for name in ("a", "b")]


def test_get_json_is_one_task_a_line(api: FakeApi) -> None:
    for name in ("a", "b"):
        api.store({"taskId": name, "answer": "x"})
    api.faults["GET"].append(reset)
    code, out, err = invoke("get", api.url, "b", "a", "--json")
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [api.stored[name].fields for name in ("b", "a")]


def test_a_404_of_something_else_says_nothing_of_a_task(api: FakeApi) -> None:
    api.always["GET"] = html(404)
    code, out, err = invoke("get", api.url, "a", "b")
    assert (code, out, err.count("\n")) == (4, "", 1)


def store_many(api: FakeApi, number: int) -> None:
    for index in range(number):
        api.store({"taskId": f"t{index}", "answer": "x"})


def test_list_shows_the_newest_twenty(api: FakeApi) -> None:
    store_many(api, 25)
    code, out, err = invoke("list", api.url)
    assert (code, err) == (0, "These are the newest 20. More: --limit or --all.\n")
    assert [words(line)[1] for line in out.splitlines()[1:]] == [f"t{n}" for n in range(24, 4, -1)]
    assert api.seen[0].path == "/tasks?limit=20"


def test_list_of_a_status_over_several_pages(api: FakeApi) -> None:
    store_many(api, 3)
    api.store_failed(*[f"f{n}" for n in range(230)])
    code, out, err = invoke("list", api.url, "--status", "failed", "--limit", "230")
    assert (code, err) == (0, "")
    assert [words(line)[1] for line in out.splitlines()[1:]] == [f"f{n}" for n in range(229, -1, -1)]
    assert [re.findall(r"limit=\d+", seen.path) for seen in api.seen] == [
        ["limit=100"],
        ["limit=100"],
        ["limit=30"],
    ]


def test_list_all_json_is_one_task_a_line(api: FakeApi) -> None:
    store_many(api, 250)
    api.faults["GET"].append(gateway(503, "x"))
    code, out, err = run("list", api.url, "--all", "--json")
    assert (code, err) == (0, "")
    assert [json.loads(line)["taskId"] for line in out.splitlines()] == [f"t{n}" for n in range(249, -1, -1)]


def test_a_list_of_nothing_is_a_success(api: FakeApi) -> None:
    assert invoke("list", api.url) == (0, "", "There are none.\n")
    assert invoke("list", api.url, "--json") == (0, "", "")


def test_list_notes_runs_errors_and_starts(api: FakeApi) -> None:
    api.store({"taskId": "a", "answer": "x", "runAt": "2097-01-01T00:00:00.000Z"})
    api.store_failed("b")
    api.stored["b"].fields |= {"run": 2, "errorMessage": "too\nbad"}
    _, out, _ = invoke("list", api.url)
    failed, waiting = [words(line)[3:] for line in out.splitlines()[1:]]
    assert failed == ["FAILED", "3, run 2", "too bad"]
    assert waiting[:2] == ["PENDING", "0"]
    assert re.fullmatch(r"to start at (2096-12-31|2097-01-01) \d\d:\d\d:00", waiting[2])


def test_a_terminal_has_colours_and_no_wrapped_lines(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "90")
    api.store_failed("b")
    api.stored["b"].fields["errorMessage"] = "界" * 90
    with terminal() as (stdout, shown), started("list", api.url, stdout=stdout) as process:
        assert process.wait(SECONDS) == 0
    heading, line = shown[0].splitlines()
    assert heading.startswith("\x1b[1mCREATED")
    assert "\x1b[31mFAILED\x1b[0m" in line
    plain = re.sub(r"\x1b\[\d+m", "", line)
    assert plain.endswith("界…")
    assert 88 <= len(plain) + plain.count("界") <= 90


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_that_is_to_have_no_colour_has_none(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    api.store_failed("b")
    with terminal() as (stdout, shown), started("list", api.url, stdout=stdout) as process:
        assert process.wait(SECONDS) == 0
    assert "FAILED" in shown[0]
    assert "\x1b" not in shown[0]


def test_a_page_that_fails_shows_what_came_before(api: FakeApi) -> None:
    store_many(api, 150)
    api.faults["GET"].append(lambda handler: handler.api.answer(handler, "GET", handler.path, None))
    api.always["GET"] = html(403)
    code, out, err = invoke("list", api.url, "--all")
    assert (code, len(out.splitlines()), err.count("\n")) == (4, 101, 1)
    assert "your access (TASKS_TOKEN)" in err


def test_how_far_a_list_is_read_is_shown_on_a_terminal_only(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    store_many(api, 150)
    with terminal() as (stderr, seen), started("list", api.url, "--all", "--json", stderr=stderr) as process:
        out, _ = process.communicate(timeout=SECONDS)
    assert (process.returncode, len(out.splitlines())) == (0, 150)
    assert "150 tasks" in seen[0]
    assert "\x1b" not in out


def test_a_reader_that_leaves_ends_the_list(api: FakeApi) -> None:
    store_many(api, 400)
    with started("list", api.url, "--all", "--json") as process:
        assert process.stdout is not None
        api.faults["GET"].append(lambda handler: handler.api.answer(handler, "GET", handler.path, None))
        process.stdout.readline()
        process.stdout.close()
        code = process.wait(SECONDS)
        assert process.stderr is not None
        assert (code, process.stderr.read()) == (141, "")


def test_cancel_cancels_and_tells_what_it_left_alone(api: FakeApi) -> None:
    store_many(api, 2)
    api.store_failed("done")
    code, out, _ = invoke("cancel", api.url, "t0", "t1")
    assert (code, out.startswith("2 of 2 tasks cancelled in ")) == (0, True)
    code, out, err = invoke("cancel", api.url, "t0", "done", "nobody")
    assert (code, err) == (1, "")
    headline, *facts = out.splitlines()
    assert headline.startswith("1 of 3 tasks cancelled in ")
    assert [words(line.strip()) for line in facts] == [
        ["too late", "1: Task done is FAILED."],
        ["not found", "1: There is no task nobody."],
    ]
    assert [api.stored[name].fields["status"] for name in ("t0", "t1")] == ["CANCELLED", "CANCELLED"]


def test_cancel_json_is_one_object(api: FakeApi) -> None:
    store_many(api, 1)
    code, out, _ = invoke("cancel", api.url, "t0", "nobody", "--json")
    report = json.loads(out)
    assert (code, report["outcome"], report["cancelled"], report["missing"]) == (1, "incomplete", 1, 1)
    assert report["tasks"][0] == {"taskId": "t0", "result": "cancelled", "run": 1, "detail": None}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["submit", "http://h"], "either --answer or --payload"),
        (["submit", "http://h", "--answer", "x", "--payload", "{}"], "either --answer or --payload"),
        (["submit", "http://h", "--payload", "@/no/such"], "/no/such: No such file"),
        (["submit", "http://h", "--payload", "[]"], "JSON object"),
        (
            ["submit", "http://h", "--answer", "x", "--delay", "1", "--run-at", "2027-01-01T00:00Z"],
            "--delay or",
        ),
        (["submit", "http://h", "--answer", "x", "--delay", "-1"], "--delay"),
        (["submit", "http://h", "--answer", "x", "--delay", "inf"], "--delay"),
        (["submit", "http://h", "--answer", "x", "--run-at", "2027-01-01T00:00"], "with its offset"),
        (["submit", "http://h", "--answer", "x", "--run-at", "0001-01-01T00:00+23:59"], "with its offset"),
        (["submit", "http://h", "--answer", "x", "--run-at", "tomorrow"], "with its offset"),
        (["submit", "http://h", "--answer", "x", "--timeout", "5"], "--timeout is for --wait"),
        (["submit", "http://h", "--answer", "x", "--task-id", "a/b"], "'a/b' is no task ID"),
        (["get", "http://h"], "Missing argument"),
        (["list", "http://h", "--all", "--limit", "5"], "either --limit or --all"),
        (["list", "http://h", "--limit", "0"], "--limit"),
        (["list", "http://h", "--status", "SLEEPING"], "--status"),
        (["cancel", "http://h"], "Missing argument"),
    ],
)
def test_exit_2_for_wrong_usage(args: list[str], says: str) -> None:
    code, out, err = invoke(*args)
    assert (code, out) == (2, "")
    assert says in err.splitlines()[-1]


@pytest.mark.parametrize("args", [["submit", "--answer", "x"], ["get", "t"], ["list"], ["cancel", "t"]])
def test_exit_3_and_one_line_when_nothing_listens(args: list[str], closed_port: int) -> None:
    code, out, err = invoke(args[0], f"http://127.0.0.1:{closed_port}", *args[1:])
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "make local" in err


@pytest.mark.parametrize("args", [["submit", "--answer", "x"], ["get", "t"], ["list"], ["cancel", "t"]])
def test_exit_4_and_one_line_for_an_answer_that_ends_it(api: FakeApi, args: list[str]) -> None:
    for method in ("GET", "POST", "DELETE"):
        api.always[method] = problem(401, "Unauthorized", "no token")
    code, out, err = invoke(args[0], api.url, *args[1:])
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert "401 Unauthorized: no token. The API takes calls with a valid token only" in err


def test_a_conflict_names_the_task(api: FakeApi) -> None:
    api.store({"taskId": "a", "answer": "1"})
    code, _, err = invoke("submit", api.url, "--task-id", "a", "--answer", "2")
    assert code == 4
    assert "409 Conflict: Task a exists with other content" in err


def test_the_token_of_the_environment_is_sent_and_never_shown(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKS_TOKEN", "s3cret")
    api.faults["POST"].append(problem(403, "Forbidden"))
    for args in (["submit", "--answer", "x"], ["submit", "--answer", "x"], ["list", "--json"]):
        _, out, err = run(args[0], api.url, *args[1:])
        assert "s3cret" not in out + err
    assert [seen.authorization for seen in api.seen] == ["Bearer s3cret"] * 3
    assert not [seen.path for seen in api.seen if "s3cret" in seen.path]


@pytest.mark.parametrize(("token", "says"), [("s3cret", "in the clear"), ("s3 cret", "the token is none")])
def test_a_token_that_cannot_be_sent_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, token: str, says: str
) -> None:
    monkeypatch.setenv("TASKS_TOKEN", token)
    code, out, err = invoke("list", "http://tasks.example")
    assert (code, out) == (2, "")
    assert says in err
    assert "cret" not in err


def test_an_empty_token_is_none(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKS_TOKEN", "")
    assert invoke("list", api.url)[0] == 0
    assert api.seen[0].authorization is None


@pytest.mark.parametrize("command", ["submit", "get", "list", "watch", "retry", "cancel", "smoke", "load"])
def test_every_help_has_an_example_and_the_exit_codes(command: str) -> None:
    code, out, _ = invoke(command, "--help")
    assert (code, f"    python -m client {command} URL" in out) == (0, True)
    assert "130 interrupted" in " ".join(out.split())


def test_completion_is_for_the_command_of_one_word(tmp_path: Path, api: FakeApi) -> None:
    tasks = tmp_path / "tasks"
    tasks.symlink_to(Path(__file__).parents[2] / "client" / "tasks")

    def call(*args: str, **environment: str) -> str:
        done = subprocess.run(
            [tasks, *args],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        )
        return done.stdout

    assert "_TASKS_COMPLETE=complete_bash" in call(
        "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    asked = {"_TASKS_COMPLETE": "complete_bash", "COMP_WORDS": "tasks ca", "COMP_CWORD": "1"}
    assert call(**asked).split() == ["cancel"]
    asked |= {"COMP_WORDS": "tasks info pr", "COMP_CWORD": "2"}
    assert call(**asked).split() == ["prod"]
    assert call("list", api.url, "--json") == ""
    assert "--show-completion" not in invoke("--help")[1]
