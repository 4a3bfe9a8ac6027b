"""How long a change takes to reach those who watch: from the write of the record to the frame at the client."""

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.http_load import post_all
from benchmarks.stack import NO_WORK, Stack

#: Clients that watch all tasks, and tasks submitted to be watched: one after another, and all at once.
WATCHERS, TASKS = 50, 200
ONE_BY_ONE = 20

_PATIENCE = 120


@dataclass(frozen=True, slots=True)
class Delay:
    """From writes to watching clients: how many watched how many tasks, and seconds over all updates."""

    watchers: int
    tasks: int
    p50: float
    p99: float
    worst: float


def measure(stack: Stack, say: Callable[[str], None]) -> list[Delay]:
    """One client and tasks one by one; then fifty and a burst of tasks."""
    _watch(stack, 1, 2, concurrency=1)  # warm
    delays = [
        _watch(stack, 1, ONE_BY_ONE, concurrency=1),
        _watch(stack, WATCHERS, TASKS, concurrency=16),
    ]
    for delay in delays:
        say(f"{delay.watchers} watching {delay.tasks} tasks: p50 {delay.p50:.2f} s, p99 {delay.p99:.2f} s")
    return delays


def _watch(stack: Stack, watchers: int, tasks: int, concurrency: int) -> Delay:
    seconds = asyncio.run(_delays(stack, watchers, tasks, concurrency))
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return Delay(watchers, tasks, cuts[49], cuts[98], max(seconds))


async def _delays(stack: Stack, watchers: int, tasks: int, concurrency: int) -> Sequence[float]:
    replies = [post_all(f"{stack.url}/live", [{}], 1)[0] for _ in range(watchers)]
    urls = [json.loads(reply.body)["webSocketUrl"] for reply in replies]
    seconds: list[float] = []

    async def watch(client: ClientConnection) -> None:
        ended: set[str] = set()
        while len(ended) < tasks:
            frame = await client.recv()
            now = time.time()
            for update in json.loads(frame)["updates"]:
                seconds.append(now - _seconds(update["updatedAt"]))
                if update["status"] == "COMPLETED":
                    ended.add(update["taskId"])

    def submit() -> None:
        if concurrency > 1:
            post_all(f"{stack.url}/tasks", [{"payload": NO_WORK}] * tasks, concurrency)
            return
        for _ in range(tasks):
            post_all(f"{stack.url}/tasks", [{"payload": NO_WORK}], 1)
            time.sleep(0.5)  # until it has ended: each is watched by itself

    async with AsyncExitStack() as connections, asyncio.timeout(_PATIENCE):
        clients = [await connections.enter_async_context(connect(url)) for url in urls]
        for client in clients:
            await client.send('{"action": "subscribe"}')
            await client.recv()
        watching = [asyncio.create_task(watch(client)) for client in clients]
        await asyncio.to_thread(submit)
        await asyncio.gather(*watching)
    return seconds


def _seconds(iso: str) -> float:
    """Seconds since 1970 of a time as the API writes it."""
    return datetime.fromisoformat(iso).timestamp()
