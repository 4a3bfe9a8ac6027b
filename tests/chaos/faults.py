"""The faults of a run, all at once: bad weather between the functions and AWS, kills, deliveries out of turn, damage.

What is done is drawn from the seed; when exactly it hits is the machine's doing.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from tasklib.queue import TaskMessage
from tasklib.task import Status

from tests.chaos.plans import TASK_TYPE
from tests.chaos.proxy import Rule
from tests.chaos.rig import Rig
from tests.chaos.stack import MONITOR, SUBMIT, SWEEP, WORKER

#: How each service says that it has had enough, and that it has failed.
_ERRORS: Mapping[str, tuple[str, str]] = {
    "dynamodb": ("ProvisionedThroughputExceededException", "InternalServerError"),
    "sqs": ("ThrottlingException", "InternalFailure"),
}
#: Calls whose answer can be lost after they were made: all that change something, and the worker's look at its batch.
_ANSWERS: Mapping[str, Sequence[str]] = {
    "dynamodb": ("PutItem", "UpdateItem", "BatchExecuteStatement", "BatchGetItem"),
    "sqs": (
        *("SendMessage", "SendMessageBatch"),
        *("ChangeMessageVisibility", "ChangeMessageVisibilityBatch"),
    ),
}
#: Milliseconds that a slow call takes longer; past 2000 the caller gives up on a call that is made all the same.
_SLOW = (300, 800, 2_500)


class Faults:
    """Makes faults from entering its context until leaving it. Counts what it did by kind in `made`."""

    def __init__(self, system: Rig, rng: random.Random) -> None:
        self._stack, self._proxy, self._diary = system.stack, system.proxy, system.diary
        self._clients, self._damages = system.clients, system.damages
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor()
        self._seeds = rng
        self._running: list[Future[None]] = []
        self.made: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._often(self._change_weather, 2, 4)
        self._often(self._kill, 2, 5)
        self._often(self._deliver_out_of_turn, 0.1, 0.5)
        self._often(self._damage, 0.3, 1)
        self._often(self._mend, 0.1, 0.2)
        self._often(self._sweep, 3, 6)
        self._often(self._read_list, 2, 4)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._pool.shutdown()
        self._proxy.set_rules({})
        self._damages.mend_all()
        for running in self._running:
            running.result()

    def _often(self, act: Callable[[random.Random], None], least: float, most: float) -> None:
        """Act again and again, so many seconds apart, with dice of its own."""
        rng = random.Random(self._seeds.random())

        def repeat() -> None:
            while not self._stop.is_set():
                act(rng)
                self._stop.wait(rng.uniform(least, most))

        self._running.append(self._pool.submit(repeat))

    def _change_weather(self, rng: random.Random) -> None:
        self._proxy.set_rules(weather(rng))

    def _kill(self, rng: random.Random) -> None:
        function = rng.choices([WORKER, SUBMIT, MONITOR, SWEEP], [8, 2, 1, 1])[0]
        found = self._stack.processes(function)
        if found:
            pid = rng.choice(found)
            self._diary.note_kill(function, pid)
            self._stack.kill(pid)
            self.made[f"killed {function}"] += 1

    def _deliver_out_of_turn(self, rng: random.Random) -> None:
        """Send copies of messages, due in another order than they are sent."""
        known = list(self._clients.promised.items())
        for task_id, run in rng.sample(known, min(1, len(known))):
            message = TaskMessage(task_id, rng.randint(1, run), TASK_TYPE, f"copy-{task_id}")
            self._stack.sqs.send_message(
                QueueUrl=self._stack.task_queue, MessageBody=message.body(), DelaySeconds=rng.randint(0, 10)
            )
            self.made["duplicated delivery"] += 1

    def _damage(self, rng: random.Random) -> None:
        status = self._damages.damage(list(self._clients.promised), rng)
        if status:
            self.made[f"damaged record: {status}"] += 1

    def _mend(self, _rng: random.Random) -> None:
        self._damages.mend_due()

    def _sweep(self, _rng: random.Random) -> None:
        """The sweep runs more often than its clock has it; the runs that it has failed are for the next to make up."""
        self._stack.sweep()

    def _read_list(self, rng: random.Random) -> None:
        """No fault, but a reader that meets damaged records."""
        self._clients.read_list(rng.choice([None, Status.FAILED]))


def weather(rng: random.Random) -> dict[str, Rule]:
    """Rules for the next seconds: most are fair, now and then a service is nearly gone."""
    rules: dict[str, Rule] = {}
    for service, (throttled, failed) in _ERRORS.items():
        storm = rng.random() < 0.15
        share = rng.uniform(0.2, 0.4) if storm else rng.uniform(0, 0.06)
        here: dict[str, Any] = {"service": service, "probability": share}
        rules[f"{service} throttled"] = here | {"error": {"code": throttled, "status": 400}}
        rules[f"{service} failed"] = here | {"error": {"code": failed, "status": 500}}
        rules[f"{service} reset"] = here | {"reset": True}
        for operation in _ANSWERS[service]:
            rules[f"{service} answer lost: {operation}"] = {
                "service": service,
                "operation": operation,
                "probability": share + 0.02,
                "response": {"abort_frac": 0.1},
            }
        rules[f"{service} slow"] = {
            "service": service,
            "probability": rng.uniform(0, 0.05),
            "latency": rng.choice(_SLOW),
        }
    return rules
