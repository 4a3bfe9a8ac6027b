"""`python -m client watch` as people and scripts meet it: lines, JSON, exit codes, Ctrl-C, closed pipes."""

from __future__ import annotations

import json
import re
import signal
from typing import IO, Any

import pytest

from tests.client.commands import SECONDS, invoke, started, terminal
from tests.client.fake_api import FakeApi, gateway, hang, html
from tests.client.fake_live import FakeLive, Peer, answer, say

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  (.*)")


def columns(line: str) -> list[str]:
    """A line's columns, its time left out."""
    found = LINE.fullmatch(line)
    assert found is not None, line
    return re.split(r" {2,}", found[1])


def next_line(stream: IO[str] | None) -> str:
    """What a process has to say first; it has read its tasks then."""
    assert stream is not None
    return stream.readline().removesuffix("\n")


def test_named_tasks_are_followed_to_their_end(api: FakeApi, live: FakeLive) -> None:
    api.change("a", "PENDING")
    api.change("b", "COMPLETED", attempts=1)
    with started("watch", api.url, "a", "b") as process:
        lines = [next_line(process.stdout), next_line(process.stdout)]
        peer = live.subscriber()
        peer.push(api.change("a", "PROCESSING", attempts=1))
        peer.push(api.change("a", "RETRYING", errorMessage="it was \x1b[31mbad\n" + "x" * 500))
        peer.push(api.change("a", "COMPLETED", attempts=2, errorMessage=None))
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, "")
    rows = [columns(line) for line in [*lines, *out.splitlines()]]
    assert sorted(rows[:2]) == [
        ["a", "simulate", "PENDING", "0 attempts"],
        ["b", "simulate", "COMPLETED", "1 attempt"],
    ]
    assert rows[2] == ["a", "simulate", "PROCESSING", "1 attempt"]
    assert rows[3][:4] == ["a", "simulate", "RETRYING", "1 attempt"]
    assert rows[3][4].startswith("it was [31mbad xxx")
    assert rows[3][4].endswith("x...")
    assert rows[4] == ["a", "simulate", "COMPLETED", "2 attempts"]
    assert "\x1b" not in out


def test_times_are_local(api: FakeApi, live: FakeLive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-5:30")
    api.change("a", "COMPLETED", updatedAt="2026-01-02T20:00:00.5Z")
    with started("watch", api.url, "a") as process:
        out, _ = process.communicate(timeout=SECONDS)
    assert out.startswith("2026-01-03 01:30:00.500  a ")


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_exit_1_when_a_task_ended_otherwise(api: FakeApi, live: FakeLive, status: str) -> None:
    api.change("a", status, errorMessage="bad")
    api.change("b", "COMPLETED")
    code, out, err = invoke("watch", api.url, "a", "b")
    assert (code, err) == (1, "")
    assert len(out.splitlines()) == 2


def test_json_lines_come_at_once_and_are_as_the_api_sends_them(api: FakeApi, live: FakeLive) -> None:
    listed = api.change("a", "PENDING")
    with started("watch", api.url, "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == listed
        peer = live.subscriber()
        for change in ({"status": "PROCESSING"}, {"status": "FAILED", "errorMessage": "ü\n\u2028\x1b"}):
            update = api.change("a", **change)
            peer.push(update)
            line = process.stdout.readline()
            assert json.loads(line) == update
            assert "\x1b" not in line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_time_limit_without_names_is_a_success(api: FakeApi, live: FakeLive) -> None:
    api.change("a", "PENDING")
    code, out, err = invoke("watch", api.url, "--timeout", "0.5")
    assert (code, err, len(out.splitlines())) == (0, "", 1)


def test_a_time_limit_names_what_is_not_finished(api: FakeApi, live: FakeLive) -> None:
    api.change("a", "COMPLETED")
    api.change("b", "PENDING")
    code, out, err = invoke("watch", api.url, "a", "b", "nobody", "--timeout", "0.5")
    assert (code, len(out.splitlines())) == (1, 2)
    assert err.splitlines() == [
        "There is no task nobody yet: waiting for it.",
        "Not finished within 0.5 s: b; nobody",
    ]


def test_a_task_that_comes_later_is_waited_for(api: FakeApi, live: FakeLive) -> None:
    with started("watch", api.url, "late") as process:
        assert next_line(process.stderr) == "There is no task late yet: waiting for it."
        live.subscriber().push(api.change("late", "COMPLETED"))
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, "")
    assert columns(out.splitlines()[0])[0] == "late"


def test_ctrl_c_ends_it_without_a_word(api: FakeApi, live: FakeLive) -> None:
    api.change("a", "PENDING")
    with started("watch", api.url) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (130, "", "")
    live.wait_until(lambda: live.peers[0].gone)


@pytest.mark.parametrize("args", [[], ["--json"], ["a"]])
def test_a_closed_pipe_ends_it_though_nothing_happens(api: FakeApi, live: FakeLive, args: list[str]) -> None:
    api.change("a", "PENDING")
    with started("watch", api.url, *args) as process:
        assert process.stdout is not None
        process.stdout.readline()
        live.subscriber()
        process.stdout.close()
        assert process.wait(SECONDS) == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_pipe_that_closes_amid_much_output_ends_it_quietly(api: FakeApi, live: FakeLive) -> None:
    with started("watch", api.url) as process:
        peer = live.subscriber()
        assert process.stdout is not None
        for number in range(500):
            peer.push(api.change("a", "PROCESSING", attempts=number))
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(SECONDS) == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_file_takes_it_too(api: FakeApi, live: FakeLive, tmp_path: Any) -> None:
    api.change("a", "COMPLETED")
    with (tmp_path / "out").open("w") as file, started("watch", api.url, "a", stdout=file) as process:
        assert process.wait(SECONDS) == 0
    assert len((tmp_path / "out").read_text().splitlines()) == 1


def test_a_terminal_has_colours(api: FakeApi, live: FakeLive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    api.change("a", "FAILED")
    with terminal() as (stdout, shown), started("watch", api.url, "a", stdout=stdout) as process:
        assert process.wait(SECONDS) == 1
    assert "  \x1b[31mFAILED    \x1b[0m  0 attempts" in shown[0]


def test_a_terminal_shows_the_state_of_the_connection(
    api: FakeApi, live: FakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    api.change("a", "PENDING")
    with (
        terminal() as (stderr, said),
        started("watch", api.url, "a", stderr=stderr) as process,
    ):
        next_line(process.stdout)
        api.change("a", "COMPLETED")
        live.subscriber().drop()
        out, _ = process.communicate(timeout=SECONDS)
    assert (process.returncode, len(out.splitlines())) == (0, 1)
    lines = said[0].splitlines()
    assert len(lines) == 3
    assert "connected" in lines[0]
    assert re.search(r"no connection \(reset: .*\), reconnecting in [01]\.\d s\.\.\.", lines[1])
    assert "connected" in lines[2]


def test_nothing_of_the_connection_is_said_where_no_terminal_is(api: FakeApi, live: FakeLive) -> None:
    api.change("a", "PENDING")
    with started("watch", api.url, "a") as process:
        next_line(process.stdout)
        api.change("a", "COMPLETED")
        live.subscriber().drop()
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err, len(out.splitlines())) == (0, "", 1)


def test_exit_3_and_one_line_when_nothing_listens(closed_port: int) -> None:
    code, out, err = invoke("watch", f"http://tasks.execute-api.localhost:{closed_port}")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert err.startswith(f"Error: could not reach http://tasks.execute-api.localhost:{closed_port} (conn")


def test_exit_3_when_nothing_listens_at_the_address_of_live_updates(api: FakeApi, closed_port: int) -> None:
    api.live_url = f"ws://127.0.0.1:{closed_port}/live"
    code, out, err = invoke("watch", api.url)
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert err.startswith(f"Error: could not reach {api.live_url} (connection refused")
    assert "ticket" not in err


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (html(403), "403 Forbidden. Something before the API refuses the call"),
        (html(200), "200 with text/html; charset=utf-8, which is not the address of live updates"),
        (gateway(429, "Too Many Requests"), "raise apiThrottleRate"),
    ],
)
def test_exit_4_for_an_answer_that_ends_it(api: FakeApi, fault: Any, says: str) -> None:
    api.always["POST"] = fault
    code, out, err = invoke("watch", api.url)
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert says in err


def test_exit_4_when_the_connection_is_refused(api: FakeApi, live: FakeLive) -> None:
    live.handshakes.append(403)
    code, out, err = invoke("watch", api.url)
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert err.startswith(
        f"Error: {live.url}, where {api.url} sends for live updates, answered 403 no [31mway. Try again"
    )


@pytest.mark.usefixtures("quick")
def test_exit_4_when_the_subscription_is_refused(api: FakeApi, live: FakeLive) -> None:
    live.always["subscribe"] = say({"problem": {"title": "Service Unavailable", "status": 503}})
    code, out, err = invoke("watch", api.url)
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert "answered 503 Service Unavailable. Try again" in err


def test_an_end_before_everything_was_read_is_an_error_too(api: FakeApi, live: FakeLive) -> None:
    def answer_and_drop(peer: Peer, frame: dict[str, Any]) -> None:
        answer(peer, frame)
        peer.drop()

    live.always["subscribe"] = answer_and_drop
    api.always["GET"] = hang
    code, _, err = invoke("watch", api.url)
    assert (code, err.count("\n")) == (3, 1)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["watch"], "Missing argument"),
        (["watch", "ws://h"], "must start with http:// or https://"),
        (["watch", "http://h", "a/b"], "'a/b' is no task ID"),
        (["watch", "http://h", "--timeout", "0"], "--timeout"),
        (["watch", "http://h", *[f"t{n}" for n in range(101)]], "101 task IDs; 100 can be watched at a time"),
    ],
)
def test_exit_2_for_wrong_usage(args: list[str], says: str) -> None:
    code, out, err = invoke(*args)
    assert (code, out) == (2, "")
    assert says in err.splitlines()[-1]


def test_a_task_named_twice_is_one_of_the_hundred(api: FakeApi, live: FakeLive) -> None:
    api.change("t", "COMPLETED")
    assert invoke("watch", api.url, *["t"] * 101)[0] == 0


def test_the_help_has_an_example() -> None:
    _, out, _ = invoke("watch", "--help")
    assert "    python -m client watch URL order-17 && echo shipped\n" in out
