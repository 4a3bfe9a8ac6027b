"""Live updates, against a real WebSocket server that loses, repeats and breaks things."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from client import backoff
from client import live as client_live
from client.address import web_socket_route
from client.api import TasksClient
from client.backoff import fully_spread_delays
from client.channel import MAX_FRAME_BYTES, Timing
from client.errors import BadAnswerError, NoAnswerError, StatusError, TasksError
from client.live import Connected, Disconnected, Event, Missing
from client.update import Update
from tests.certificates import self_signed
from tests.client.fake_api import FakeApi, gateway, html, problem, reset
from tests.client.fake_live import (
    BAD_FRAME,
    GATEWAY_ERROR,
    UNAVAILABLE,
    FakeLive,
    Peer,
    Reply,
    answer,
    drop,
    say,
    silence,
)

#: Connects again at once; nothing else happens by the clock.
QUICK = Timing(reconnect=0.001, reconnect_longest=0.01)

OLD, LATER = "2020-01-01T00:00:00.000Z", "2030-01-01T00:00:00.000Z"


pytestmark = pytest.mark.usefixtures("quick")


class Reader:
    """What reads the updates, with the server in other threads. Waits for the first from the beginning."""

    def __init__(self, updates: AsyncGenerator[Update], events: list[Event]) -> None:
        self.events = events
        self._updates = updates
        self._next: asyncio.Future[Update] | None = asyncio.ensure_future(anext(updates))

    async def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])

    async def next(self) -> Update:
        waiting, self._next = self._next or asyncio.ensure_future(anext(self._updates)), None
        return await asyncio.wait_for(waiting, 20)

    async def told(self, count: int = 1) -> list[tuple[str, str]]:
        """Task IDs and statuses of the next updates."""
        return [(update.task_id, update.status) for update in [await self.next() for _ in range(count)]]

    def seen(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.002)


def read(
    api: FakeApi,
    script: Callable[[Reader], Awaitable[None]],
    task_ids: list[str] | None = None,
    timing: Timing = QUICK,
) -> list[Event]:
    """Watch these tasks as `script` does. Returns the events."""
    events: list[Event] = []

    async def main() -> None:
        async with (
            TasksClient(api.url) as client,
            aclosing(client.watch(task_ids, timing=timing, notify=events.append)) as updates,
        ):
            reader = Reader(updates, events)
            try:
                await script(reader)
            finally:
                await reader.close()

    asyncio.run(main())
    return events


def failure(api: FakeApi, timing: Timing = QUICK, task_ids: list[str] | None = None) -> TasksError:
    """What watching fails with at once."""

    async def script(reader: Reader) -> None:
        await reader.next()

    with pytest.raises(TasksError) as caught:
        read(api, script, task_ids, timing)
    return caught.value


async def subscriber(live: FakeLive, number: int = 1) -> Peer:
    return await asyncio.to_thread(live.subscriber, number)


def test_it_begins_with_the_newest_tasks_and_goes_on_with_what_changes(api: FakeApi, live: FakeLive) -> None:
    for number in range(30):
        api.change(f"t{number}", "COMPLETED", updatedAt=f"2026-01-01T00:00:{number:02}.000Z")

    async def script(reader: Reader) -> None:
        assert await reader.told(20) == [(f"t{number}", "COMPLETED") for number in range(10, 30)]
        peer = await subscriber(live)
        peer.push(api.change("new", "PENDING"), api.change("t3", "FAILED", errorMessage="x", attempts=3))
        peer.push(api.change("new", "PROCESSING", attempts=1))
        assert await reader.told() == [("new", "PENDING")]
        failed = await reader.next()
        assert (failed.task_id, failed.error_message, failed.attempts) == ("t3", "x", 3)
        assert await reader.told() == [("new", "PROCESSING")]
        assert peer.frames == [{"action": "subscribe"}]

    assert read(api, script) == [Connected()]
    assert [(seen.method, seen.path, seen.body) for seen in api.seen] == [
        ("POST", "/live", {}),
        ("GET", "/tasks?limit=20", None),
    ]


def test_named_tasks_are_read_one_by_one_after_the_subscription(api: FakeApi, live: FakeLive) -> None:
    for name in ("a", "b", "other"):
        api.change(name, "PENDING")
    reads_before: list[int] = []

    def subscribe(peer: Peer, frame: dict[str, Any]) -> None:
        reads_before.append(len(api.requests("GET")))
        peer.push(api.change("b", "PROCESSING"))
        answer(peer, frame)

    live.always["subscribe"] = subscribe

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("b", "PROCESSING")]
        assert await reader.told() == [("a", "PENDING")]
        peer = await subscriber(live)
        peer.push(api.change("other", "FAILED"), api.change("a", "COMPLETED"))
        assert await reader.told() == [("a", "COMPLETED")]
        assert peer.frames == [{"action": "subscribe", "taskIds": ["a", "b"]}]

    read(api, script, ["a", "b", "a"])
    assert reads_before == [0]
    assert sorted(seen.path for seen in api.requests("GET")) == ["/tasks/a", "/tasks/b"]


def test_a_task_that_is_not_there_is_told_of_once_and_waited_for(api: FakeApi, live: FakeLive) -> None:
    async def script(reader: Reader) -> None:
        # Read again and again, as the connection is lost and by the clock.
        await reader.until(lambda: len(api.requests("GET")) >= 3)
        (await subscriber(live)).drop()
        await reader.until(lambda: len(reader.seen(Connected)) == 2)
        (await subscriber(live, 2)).push(api.change("late", "PENDING"))
        assert await reader.told() == [("late", "PENDING")]

    timing = Timing(ping=0.02, reconnect=0.001, reconnect_longest=0.01)
    events = read(api, script, ["late"], timing)
    assert [event for event in events if isinstance(event, Missing)] == [Missing("late")]


@pytest.mark.parametrize("count", [0, 101])
def test_the_number_of_named_tasks_is_checked_by_the_call_itself(count: int, api: FakeApi) -> None:
    async def main() -> None:
        async with TasksClient(api.url) as client:
            client.watch([f"t{number}" for number in range(count)])

    with pytest.raises(ValueError, match=f"{count} task IDs; 1 to 100"):
        asyncio.run(main())


def test_a_hundred_tasks_can_be_named(api: FakeApi, live: FakeLive) -> None:
    names = [f"t{number}" for number in range(100)]
    for name in names:
        api.change(name, "PENDING")

    async def script(reader: Reader) -> None:
        assert {name for name, _ in await reader.told(100)} == set(names)

    read(api, script, names)


def test_only_what_is_newer_is_told(api: FakeApi, live: FakeLive) -> None:
    api.change("t", "PENDING")
    api.change("t", "PROCESSING", attempts=1)

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("t", "PROCESSING")]
        peer = await subscriber(live)
        now = api.change("t", "RETRYING")
        peer.push(now | {"version": 1, "status": "FROM THE PAST"})
        peer.push(now | {"version": 2, "status": "THE SAME VERSION"})
        peer.push(now)
        peer.push(now | {"version": 99, "createdAt": OLD, "status": "OF AN EXPIRED TASK"})
        assert await reader.told() == [("t", "RETRYING")]
        anew = now | {"createdAt": LATER, "version": 1, "status": "PENDING", "attempts": 0}
        peer.push(anew, anew | {"createdAt": now["createdAt"], "version": 50, "status": "OLD"})
        assert await reader.told() == [("t", "PENDING")]
        peer.push(anew | {"version": 2, "status": "UNHEARD OF"})
        assert await reader.told() == [("t", "UNHEARD OF")]

    read(api, script, ["t"])


def test_a_version_that_changes_nothing_to_see_is_not_told_but_counts(api: FakeApi, live: FakeLive) -> None:
    api.change("t", "FAILED", attempts=3)

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("t", "FAILED")]
        peer = await subscriber(live)
        seen = api.change("t", "FAILED")  # its dead letter was noted: version 2
        peer.push(seen, seen | {"status": "OUTDATED"})
        peer.push(seen | {"version": 3, "run": 2, "attempts": 3})
        update = await reader.next()
        assert (update.status, update.version, update.run) == ("FAILED", 3, 2)

    read(api, script, ["t"])


JUNK: list[str | bytes] = [
    "",
    "no JSON",
    "[" * 100_000,
    "null",
    "[]",
    "7",
    "{}",
    '{"updates": 7}',
    '{"updates": [7, null, {}, {"taskId": "t"}]}',
    '{"problem": 7}',
    '{"problem": {"status": "no"}}',
    '{"message": null}',
    '{"n": ' + "9" * 5_000 + "}",
    b"\xff\x00",
    json.dumps(GATEWAY_ERROR),
    json.dumps(UNAVAILABLE),
    json.dumps(BAD_FRAME),
    json.dumps({"subscribed": ["x"]}),
    json.dumps({"pong": True}),
    json.dumps({"pong": True, "isSubscribed": None}),
    json.dumps({"pong": 1, "isSubscribed": 0}),
    json.dumps({"isSubscribed": False}),
]


def test_junk_is_passed_over(api: FakeApi, live: FakeLive) -> None:
    api.change("t", "PENDING")

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("t", "PENDING")]
        peer = await subscriber(live)
        peer.send(*JUNK)
        now = api.change("t", "PROCESSING")
        peer.send(json.dumps({"updates": [now | {"status": "BINARY", "version": 90}]}).encode())
        wrong: list[dict[str, Any]] = [
            now | {"version": version, "status": "WRONG"} for version in ("90", True, None, 90.5)
        ]
        times = ["yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", 7]
        wrong += [now | {"version": 90, "createdAt": time, "status": "WRONG"} for time in times]
        wrong += [now | {"version": 90, "taskId": None}, now | {"version": 90, "errorMessage": 7}]
        peer.push(*wrong, now, *wrong)
        assert await reader.told() == [("t", "PROCESSING")]

    assert read(api, script) == [Connected()]


@pytest.mark.parametrize("way", ["close", "drop", "too large", "not UTF-8"])
def test_a_lost_connection_is_made_anew_and_the_gap_is_read(api: FakeApi, live: FakeLive, way: str) -> None:
    api.change("t", "PENDING")

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("t", "PENDING")]
        peer = await subscriber(live)
        api.change("t", "COMPLETED", attempts=1)  # pushed to nobody
        match way:
            case "close":
                peer.connection.close(1001)
            case "drop":
                peer.drop()
            case "too large":
                peer.send("x" * (MAX_FRAME_BYTES + 1))
            case _:
                peer.connection.send(b"\xff", text=True)
        assert await reader.told() == [("t", "COMPLETED")]
        (await subscriber(live, 2)).push(api.change("u", "PENDING"))
        assert await reader.told() == [("u", "PENDING")]
        assert [peer.path for peer in live.peers] == ["/live?ticket=1", "/live?ticket=2"]

    first, lost, again = read(api, script)
    assert (first, again) == (Connected(), Connected())
    assert isinstance(lost, Disconnected)
    assert (lost.error.kind, lost.error.live_url) == ("reset", live.url)


def test_a_frame_of_the_largest_size_is_taken(api: FakeApi, live: FakeLive) -> None:
    async def script(reader: Reader) -> None:
        peer = await subscriber(live)
        text = json.dumps({"updates": [api.change("t", "PENDING")]})
        peer.send(text + " " * (MAX_FRAME_BYTES - len(text)))
        assert await reader.told() == [("t", "PENDING")]

    assert read(api, script) == [Connected()]


def test_named_tasks_are_read_again_after_a_gap_the_finished_ones_too(api: FakeApi, live: FakeLive) -> None:
    api.change("t", "FAILED")

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("t", "FAILED")]
        api.change("t", "PENDING", run=2)  # somebody retried it
        (await subscriber(live)).drop()
        assert await reader.told() == [("t", "PENDING")]

    read(api, script, ["t"])


def at(number: int) -> dict[str, str]:
    """A time of creation, the later the greater the number."""
    return {"createdAt": f"2026-01-01T00:{number // 60:02}:{number % 60:02}.000Z"}


def test_after_a_gap_a_push_says_nothing_about_the_tasks_before_its_own(api: FakeApi, live: FakeLive) -> None:
    api.change("t0", "COMPLETED", **at(0))

    async def script(reader: Reader) -> None:
        await reader.told()
        peer = await subscriber(live)
        for number in range(1, 251):
            api.change(f"t{number}", "COMPLETED", **at(number))
        newest = api.change("t250", "COMPLETED", attempts=1)
        live.replies["subscribe"].append(say({"updates": [newest]}, {"subscribed": "all"}))
        peer.drop()
        assert {name for name, _ in await reader.told(250)} == {f"t{number}" for number in range(1, 251)}

    read(api, script)


def test_after_a_gap_the_list_is_read_as_far_back_as_something_can_have_changed(
    api: FakeApi, live: FakeLive
) -> None:
    for number in range(400):
        api.change(f"t{number}", "COMPLETED", **at(number))

    async def script(reader: Reader) -> None:
        await reader.told(20)
        peer = await subscriber(live)
        peer.push(api.change("t250", "PROCESSING"))  # unfinished: it can change in the gap
        assert await reader.told() == [("t250", "PROCESSING")]
        api.change("t250", "COMPLETED", attempts=1)
        for number in range(400, 500):
            api.change(f"t{number}", "COMPLETED", **at(number))
        peer.drop()
        while (await reader.next()).task_id != "t499":
            pass
        await reader.until(lambda: len(api.requests("GET")) == 4)

    read(api, script)
    assert [seen.path.partition("&")[0] for seen in api.requests("GET")] == [
        "/tasks?limit=20",
        *["/tasks?limit=100"] * 3,
    ]


def test_the_read_of_a_list_after_a_gap_has_an_end(
    api: FakeApi, live: FakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_live, "PAGE", 2)

    async def script(reader: Reader) -> None:
        await reader.until(
            lambda: len(api.requests("GET")) == 1
        )  # the list is empty: every task is new to us
        peer = await subscriber(live)
        for number in range(30):
            api.change(f"t{number}", "PENDING", updatedAt=f"2026-01-01T00:00:{number:02}.000Z")
        peer.drop()
        assert await reader.told(20) == [(f"t{number}", "PENDING") for number in range(10, 30)]
        (await subscriber(live, 2)).push(api.change("u", "PENDING"))
        assert await reader.told() == [("u", "PENDING")]

    read(api, script)
    assert len(api.requests("GET")) == 1 + client_live.MAX_PAGES


def test_a_lost_update_is_read_though_the_connection_holds(api: FakeApi, live: FakeLive) -> None:
    for name in ("a", "done"):
        api.change(name, "COMPLETED" if name == "done" else "PENDING")

    async def script(reader: Reader) -> None:
        await reader.told(2)
        api.change("a", "COMPLETED")
        assert await reader.told() == [("a", "COMPLETED")]
        reads = len(api.requests("GET"))
        await reader.until(lambda: live.peers[0].count("ping") > 2 + reads)
        assert len(api.requests("GET")) == reads, "a finished task was read again"

    assert read(api, script, ["a", "done"], Timing(ping=0.02)) == [Connected()]


def test_a_lost_update_of_any_task_is_read_though_the_connection_holds(api: FakeApi, live: FakeLive) -> None:
    async def script(reader: Reader) -> None:
        await reader.until(lambda: bool(reader.seen(Connected)))
        api.change("a", "PENDING")
        assert await reader.told() == [("a", "PENDING")]
        api.change("a", "COMPLETED")
        assert await reader.told() == [("a", "COMPLETED")]

    assert read(api, script, timing=Timing(ping=0.02)) == [Connected()]


def test_silence_after_a_ping_ends_the_connection(api: FakeApi, live: FakeLive) -> None:
    live.replies["ping"].append(silence)

    async def script(reader: Reader) -> None:
        await reader.until(lambda: len(reader.seen(Connected)) == 2)
        assert live.peers[0].frames[1:] == [{"action": "ping"}]

    _, lost, _ = read(api, script, timing=Timing(ping=0.05, answer=0.3, reconnect=0.001))
    assert isinstance(lost, Disconnected)
    assert str(lost.error) == "nothing within 0.3 s of a ping"


def test_a_connection_that_is_not_subscribed_any_more_is_replaced_and_the_gap_is_read(
    api: FakeApi, live: FakeLive
) -> None:
    api.change("t", "PENDING")

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("t", "PENDING")]
        api.always["GET"] = gateway(503, "x")  # what the connection itself could read, it does not
        api.change("t", "COMPLETED")  # pushed to nobody
        live.replies["ping"].append(say({"pong": True, "isSubscribed": False}))
        await reader.until(lambda: len(reader.seen(Connected)) == 2)
        del api.always["GET"]
        assert await reader.told() == [("t", "COMPLETED")]
        assert live.peers[0].gone
        (await subscriber(live, 2)).push(api.change("u", "PENDING"))
        assert await reader.told() == [("u", "PENDING")]

    _, lost, _ = read(api, script, timing=Timing(ping=0.05, reconnect=0.001))
    assert isinstance(lost, Disconnected)
    assert (lost.error.kind, lost.error.live_url) == ("unsubscribed", live.url)


def test_a_ping_before_the_subscription_says_nothing(api: FakeApi, live: FakeLive) -> None:
    live.replies["subscribe"].append(
        say({"pong": True, "isSubscribed": False}, {"subscribed": "all"}, {"updates": [api.change("t", "x")]})
    )

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("t", "x")]

    assert read(api, script) == [Connected()]


def test_an_api_that_does_not_say_whether_it_is_subscribed_to_is_believed(
    api: FakeApi, live: FakeLive
) -> None:
    live.always["ping"] = say({"pong": True})

    async def script(reader: Reader) -> None:
        await reader.until(lambda: len(live.peers) > 0 and live.peers[0].count("ping") >= 3)

    assert read(api, script, timing=Timing(ping=0.02)) == [Connected()]


def test_any_frame_answers_a_ping(api: FakeApi, live: FakeLive) -> None:
    live.always["ping"] = say("junk")

    async def script(reader: Reader) -> None:
        await reader.until(lambda: len(live.peers) > 0 and live.peers[0].count("ping") >= 5)

    # The answers are due at once, the next ping only long after they are late.
    timing = Timing(ping=0.3, answer=0.25, reconnect=0.001)
    assert read(api, script, timing=timing) == [Connected()]


def test_pings_are_sent_while_updates_come(api: FakeApi, live: FakeLive) -> None:
    async def script(reader: Reader) -> None:
        peer = await subscriber(live)
        for attempts in range(10_000):
            peer.push(api.change("t", "PROCESSING", attempts=attempts))
            await reader.next()
            if peer.count("ping") >= 2:
                return
        raise AssertionError("no pings")

    assert read(api, script, timing=Timing(ping=0.1)) == [Connected()]


@pytest.mark.parametrize("reply", [UNAVAILABLE, GATEWAY_ERROR])
def test_a_subscription_is_sent_again_when_the_service_behind_does_not_answer(
    api: FakeApi, live: FakeLive, reply: object
) -> None:
    api.change("t", "PENDING")
    live.replies["subscribe"].extend([say(reply)] * (backoff.ATTEMPTS - 1))

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("t", "PENDING")]
        assert live.peers[0].frames == [{"action": "subscribe"}] * backoff.ATTEMPTS

    assert read(api, script) == [Connected()]


def test_a_subscription_that_stays_unavailable_is_given_up(api: FakeApi, live: FakeLive) -> None:
    live.always["subscribe"] = say(UNAVAILABLE)
    error = failure(api)
    assert (error.kind, error.live_url) == ("HTTP 503", live.url)
    assert live.peers[0].count("subscribe") == backoff.ATTEMPTS


def test_a_subscription_that_is_refused_is_not_sent_again(api: FakeApi, live: FakeLive) -> None:
    live.always["subscribe"] = say(BAD_FRAME)
    error = failure(api)
    assert isinstance(error, StatusError)
    assert (error.status, error.errors[0].field, error.live_url) == (400, "taskIds", live.url)
    assert live.peers[0].count("subscribe") == 1


def test_a_subscription_that_is_not_answered_is_given_up(api: FakeApi, live: FakeLive) -> None:
    # Updates are no answer.
    live.always["subscribe"] = say({"updates": []}, {"pong": True})
    error = failure(api, Timing(answer=0.2))
    assert isinstance(error, NoAnswerError)
    assert str(error) == "a subscription was not answered within 0.2 s"
    assert error.live_url == live.url


@pytest.mark.parametrize("reply", [drop, say(BAD_FRAME), say(*[UNAVAILABLE] * 4), silence])
def test_a_subscription_that_fails_later_on_is_made_on_a_new_connection(
    api: FakeApi, live: FakeLive, reply: Reply
) -> None:
    api.change("t", "PENDING")

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("t", "PENDING")]
        live.replies["subscribe"].extend([reply] * (4 if reply not in (drop, silence) else 1))
        (await subscriber(live)).drop()
        await reader.until(lambda: len(reader.seen(Connected)) == 2)
        (await subscriber(live, len(live.peers))).push(api.change("t", "COMPLETED"))
        assert await reader.told() == [("t", "COMPLETED")]

    events = read(api, script, timing=Timing(answer=0.5, reconnect=0.001, reconnect_longest=0.002))
    assert len([event for event in events if isinstance(event, Disconnected)]) >= 2


@pytest.mark.parametrize("status", [403, 404, 410, 429, 500, 503, 302])
def test_a_refused_handshake(api: FakeApi, live: FakeLive, status: int) -> None:
    live.handshakes.append(status)
    error = failure(api)
    assert isinstance(error, StatusError)
    assert (error.status, error.live_url) == (status, live.url)
    assert str(error) == f"{status} no [31mway"


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_handshake_refused_later_on_is_tried_again(api: FakeApi, live: FakeLive, status: int) -> None:
    async def script(reader: Reader) -> None:
        await reader.until(lambda: bool(api.requests("GET")))
        live.handshakes.extend([status] * 3)
        (await subscriber(live)).drop()
        await reader.until(lambda: len(reader.seen(Connected)) == 2)

    events = read(api, script)
    kinds = [event.error.kind for event in events if isinstance(event, Disconnected)]
    assert kinds == ["reset", *[f"HTTP {status}"] * 3]
    assert api.tickets == 5


@pytest.mark.parametrize("fault", [html(200), html(403), gateway(500, "x"), problem(404, "Not Found"), reset])
def test_the_address_is_asked_for_until_it_comes_but_not_the_first_time(
    api: FakeApi, live: FakeLive, fault: Any
) -> None:
    async def script(reader: Reader) -> None:
        await reader.until(lambda: bool(api.requests("GET")))
        api.faults["POST"].append(fault)
        (await subscriber(live)).drop()
        await reader.until(lambda: len(reader.seen(Connected)) == 2)

    assert len(read(api, script)) == 4
    seen = len(api.seen)
    api.faults["POST"].append(fault)
    assert failure(api).live_url is None
    assert len(api.seen) == seen + 1


def test_it_ends_when_the_token_is_no_longer_taken(api: FakeApi, live: FakeLive) -> None:
    async def script(reader: Reader) -> None:
        await reader.until(lambda: bool(api.requests("GET")))
        api.always["POST"] = gateway(401, "Unauthorized")
        (await subscriber(live)).drop()
        with pytest.raises(StatusError, match="401 Unauthorized"):
            await reader.next()

    events = read(api, script)
    assert len([event for event in events if isinstance(event, Disconnected)]) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/live", "", "ws://", "ws://127.0.0.1:99999/", "ws://[::1", "/live"]
)
def test_an_address_that_is_no_web_socket_is_a_bad_answer(api: FakeApi, url: str) -> None:
    api.live_url = url
    assert isinstance(failure(api), BadAnswerError)


def test_another_service_at_the_address_is_a_bad_answer(api: FakeApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def main() -> TasksError:
            def speak() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"* OK IMAP4rev1 ready\r\n\r\n")

            speaking = asyncio.create_task(asyncio.to_thread(speak))
            api.live_url = f"ws://127.0.0.1:{server.getsockname()[1]}"
            async with TasksClient(api.url) as client:
                with pytest.raises(TasksError) as caught:
                    await anext(client.watch(timing=QUICK))
                await speaking
            return caught.value

        assert isinstance(asyncio.run(main()), BadAnswerError)


def test_nothing_at_the_address_says_where_without_the_ticket(api: FakeApi) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        api.live_url = f"ws://127.0.0.1:{unused.getsockname()[1]}/live"
        error = failure(api)
    assert (error.kind, error.live_url) == ("connection refused", api.live_url)


def test_a_server_that_says_nothing_at_all_is_given_up(api: FakeApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        api.live_url = f"ws://127.0.0.1:{server.getsockname()[1]}/live"
        error = failure(api, Timing(answer=0.2))
    assert (error.kind, error.live_url) == ("timeout", api.live_url)


@pytest.mark.parametrize("task_ids", [None, ["t"]])
def test_a_first_read_that_fails_is_an_error_of_the_api(
    api: FakeApi, live: FakeLive, task_ids: list[str] | None
) -> None:
    api.always["GET"] = gateway(503, "x")
    error = failure(api, task_ids=task_ids)
    assert (error.kind, error.live_url) == ("HTTP 503", None)
    assert len(api.seen) == 1 + backoff.ATTEMPTS


def test_a_later_read_is_repeated_while_updates_come(api: FakeApi, live: FakeLive) -> None:
    api.change("a", "PENDING")
    api.change("b", "PENDING")

    async def script(reader: Reader) -> None:
        await reader.told(2)
        api.change("a", "COMPLETED")
        api.always["GET"] = gateway(503, "x")
        (await subscriber(live)).drop()
        peer = await subscriber(live, 2)
        reads = len(api.requests("GET"))
        await reader.until(lambda: len(api.requests("GET")) > reads + backoff.ATTEMPTS)
        peer.push(api.change("b", "COMPLETED"))
        assert await reader.told() == [("b", "COMPLETED")]
        del api.always["GET"]
        assert await reader.told() == [("a", "COMPLETED")]

    assert len(read(api, script)) == 3


def test_a_reader_that_is_late_misses_nothing(api: FakeApi, live: FakeLive) -> None:
    count = client_live.MAX_WAITING + 500

    async def script(reader: Reader) -> None:
        peer = await subscriber(live)

        def push() -> None:
            for number in range(count):
                peer.push(api.change(f"t{number}", "PENDING"))

        pushing = asyncio.create_task(asyncio.to_thread(push))
        # Every ping and its answer are behind what nobody reads; their time is over long before it is read.
        await asyncio.sleep(0.3)
        assert await reader.told(count) == [(f"t{number}", "PENDING") for number in range(count)]
        await pushing

    api.always["GET"] = lambda handler: handler.send(200, {"tasks": []})
    assert read(api, script, timing=Timing(ping=0.05, answer=0.2, reconnect=0.001)) == [Connected()]


def test_what_a_slow_reader_was_not_told_is_told_after_the_connection_broke(
    api: FakeApi, live: FakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_live, "MAX_WAITING", 1)
    names = [f"t{number}" for number in range(5)]
    for name in names:
        api.change(name, "PENDING")

    async def script(reader: Reader) -> None:
        await reader.told(5)
        peer = await subscriber(live)
        peer.push(*[api.change(name, "COMPLETED") for name in names])
        peer.drop()
        await reader.until(lambda: len(reader.seen(Connected)) == 2 or len(live.peers) == 1)
        assert sorted(await reader.told(5)) == [(name, "COMPLETED") for name in names]

    read(api, script, names)


def test_tasks_that_changed_longest_ago_are_forgotten(
    api: FakeApi, live: FakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_live, "MAX_KNOWN", 2)

    async def script(reader: Reader) -> None:
        await reader.until(lambda: bool(api.requests("GET")))
        peer = await subscriber(live)
        a, b = api.change("a", "PENDING"), api.change("b", "PENDING")
        peer.push(a, b, api.change("a", "PROCESSING"), api.change("c", "PENDING"), a, b)
        told = await reader.told(5)
        assert told[-2:] == [("c", "PENDING"), ("b", "PENDING")]

    read(api, script)


def test_leaving_closes_the_connection(api: FakeApi, live: FakeLive) -> None:
    async def script(reader: Reader) -> None:
        await reader.until(lambda: bool(api.requests("GET")))
        await reader.close()
        assert await asyncio.to_thread(live.wait_until, lambda: live.peers[0].gone) is None
        assert live.peers[0].connection.close_code == 1000

    read(api, script)


def test_delays_grow_up_to_the_longest_and_start_anew_with_a_subscription(
    api: FakeApi, live: FakeLive
) -> None:
    timing = Timing(reconnect=0.0001, reconnect_longest=0.2)

    async def script(reader: Reader) -> None:
        await reader.until(lambda: bool(api.requests("GET")))
        for number in (1, 2):
            live.handshakes.extend([503] * 16)
            (await subscriber(live, number)).drop()
            await reader.until(lambda number=number: len(reader.seen(Connected)) == number + 1)

    waits = [event.seconds for event in read(api, script, timing=timing) if isinstance(event, Disconnected)]
    for start in (0, 17):
        assert all(wait <= 0.0001 * 2**n for n, wait in enumerate(waits[start : start + 17]))
        assert 0.001 < max(waits[start : start + 17]) <= 0.2


def test_fully_spread_delays_are_anything_up_to_the_doubled_base() -> None:
    rows = [list(islice(fully_spread_delays(1, 30), 7)) for _ in range(300)]
    for column, longest in zip(zip(*rows, strict=True), [1, 2, 4, 8, 16, 30, 30], strict=True):
        assert 0 <= min(column) < 0.1 * longest
        assert 0.9 * longest < max(column) <= longest


def test_the_usual_timing_is_what_the_api_asks_for() -> None:
    assert Timing() == Timing(ping=60, answer=10, reconnect=1, reconnect_longest=30)


@pytest.mark.parametrize("name", ["tasks.execute-api.localhost", "a.LOCALHOST", "localhost"])
def test_names_under_localhost_are_this_machine(
    api: FakeApi, live: FakeLive, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    api.live_url = f"ws://{name}:{live.port}/live"
    api.change("t", "PENDING")

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("t", "PENDING")]

    read(api, script)
    assert live.peers[0].host.lower() == f"{name.lower()}:{live.port}"


def test_a_proxy_for_everything_else(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", api.url)
    api.live_url = "ws://live.example/live"
    error = failure(api)
    assert error.kind == "connection failed"
    assert "proxy" in str(error)
    assert "501" in str(error)  # this one knows no CONNECT


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("ws://h.example/", {}, None),
        ("ws://h.example/", {"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "http://p:1"),
        ("wss://h.example/", {"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "http://q:1"),
        ("wss://h.example/", {"HTTP_PROXY": "http://p:1"}, None),
        ("wss://h.example/", {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ("wss://h.example/", {"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ("wss://h.example/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example"}, None),
        ("wss://h.example/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("wss://h.example/", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "elsewhere"}, "http://p:1"),
        ("wss://127.0.0.1/", {"HTTPS_PROXY": "http://p:1"}, None),
        ("wss://[::1]/", {"HTTPS_PROXY": "http://p:1"}, None),
    ],
)
def test_the_proxy_is_the_one_of_http(
    url: str, environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert web_socket_route(url).proxy == proxy


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of its own for localhost names, with its key."""
    path = tmp_path / "certificate.pem"
    path.write_bytes(b"".join(self_signed("tasks.localhost")))
    return path


@pytest.fixture
def secure_live(api: FakeApi, certificate: Path) -> Iterator[FakeLive]:
    """Live updates over TLS."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    server = FakeLive(tls)
    api.live_url = f"wss://tasks.localhost:{server.port}/live"
    yield server
    server.close()


def test_a_certificate_that_the_environment_trusts_is_trusted(
    api: FakeApi, secure_live: FakeLive, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    api.change("t", "PENDING")

    async def script(reader: Reader) -> None:
        assert await reader.told() == [("t", "PENDING")]

    read(api, script)


def test_another_certificate_is_not(api: FakeApi, secure_live: FakeLive) -> None:
    error = failure(api)
    assert (error.kind, error.live_url) == ("tls", api.live_url)
