"""How fast submissions are answered, by how many clients submit at once: by cold functions, then by warm ones."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.http_load import Reply, post_all
from benchmarks.stack import NO_WORK, Stack

CLIENTS: Sequence[int] = (1, 4, 16)
#: Requests of a burst, for each client.
EACH = 10


@dataclass(frozen=True, slots=True)
class Burst:
    """`clients` clients; submissions a second, and the seconds within which 50 and 99 % were answered."""

    clients: int
    cold: bool
    per_second: float
    p50: float
    p99: float


def measure(stack: Stack, say: Callable[[str], None]) -> list[Burst]:
    """Two bursts for each number of clients; before the first, all processes of the function are given up."""
    bursts: list[Burst] = []
    for clients in CLIENTS:
        stack.configure("submit-tasks", {"BENCHMARK_CLIENTS": str(clients)})
        for cold in (True, False):
            replies = post_all(f"{stack.url}/tasks", [{"payload": NO_WORK}] * (EACH * clients), clients)
            bursts.append(_burst(clients, cold, replies))
            say(f"{clients} clients, {'cold' if cold else 'warm'}: {bursts[-1].per_second:.0f} submissions/s")
    return bursts


def _burst(clients: int, cold: bool, replies: Sequence[Reply]) -> Burst:
    seconds = max(reply.answered for reply in replies) - min(reply.sent for reply in replies)
    cuts = statistics.quantiles((reply.seconds for reply in replies), n=100, method="inclusive")
    return Burst(clients, cold, len(replies) / seconds, cuts[49], cuts[98])
