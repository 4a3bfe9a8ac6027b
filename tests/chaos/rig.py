"""Everything that a run needs, put together: the stack, the proxy before it, the diary, the clients, the history."""

import sys
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tasklib.task import Status

from tests.chaos import history
from tests.chaos.chaotic_task import ADDRESS
from tests.chaos.checker import Violation, check
from tests.chaos.damages import Damages
from tests.chaos.diary import Diary
from tests.chaos.history import History, HistoryReader, Snapshot
from tests.chaos.load import Clients
from tests.chaos.program import copy_program
from tests.chaos.proxy import FaultProxy
from tests.chaos.stack import MONITOR, SWEEP, Stack

#: How far the sweep stays behind the present here: longer than the 10 s that a submission can take.
_SWEEP_BEHIND = 15

#: The monitor's time-out, and for how long a dead letter is hidden from other monitors; what the program sets, 60 and
#: 360 s, would only make a run longer. The monitor begins no letter in its last 15 s.
_MONITOR_TIMEOUT = 22
_LETTER_HIDDEN = 22

#: Seconds that a page of the list may take when all is calm.
_PATIENCE = 30

#: Seconds between two looks at how far everything is.
_LOOK = 1.0


@dataclass(frozen=True)
class Rig:
    """A running system with everything around it."""

    stack: Stack
    proxy: FaultProxy
    diary: Diary
    clients: Clients
    damages: Damages
    reader: HistoryReader
    max_attempts: int

    def latest(self) -> dict[str, Snapshot]:
        """Every task's record as it is now."""
        changes = self.reader.read().items()
        return {task_id: each[-1].new for task_id, each in changes if each and each[-1].new}

    def drain(self, patience: float) -> None:
        """Wait until every task is finished and both queues are empty, at most `patience` seconds."""
        end = time.monotonic() + patience
        while time.monotonic() < end and (self.unfinished() or self.stack.messages()):
            self.stack.sweep()
            time.sleep(_LOOK)

    def unfinished(self) -> int:
        """How many tasks are not at their end; a failed one is when its dead letter was seen."""
        tell(self._standing())
        return sum(not is_finished(record) for record in self.latest().values())

    def check(self) -> list[Violation]:
        """Everything that is wrong, also said on standard error."""
        found = check(
            self.history(),
            self.diary.attempts(),
            self.clients.promised,
            self.max_attempts,
            hopeless=self.damages.hopeless,
            listed=self.clients.read_list(patience=_PATIENCE),
        )
        for violation in found[:50]:
            tell(f"{violation.kind}: {violation.task_id}: {violation.what}")
        return found

    def history(self) -> History:
        """Every write of every record."""
        return self.reader.read()

    def save(self, directory: Path) -> None:
        """Keep what was seen, to look at it afterwards."""
        directory.mkdir(parents=True, exist_ok=True)
        self.diary.save(directory / "diary.jsonl")
        history.save(self.history(), directory / "history.jsonl")

    def _standing(self) -> str:
        counts = Counter(record.status.value for record in self.latest().values())
        standing = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        return f"{len(self.clients.promised)} accepted; {standing}; {self.stack.messages()} messages"


def is_finished(record: Snapshot) -> bool:
    """Whether nothing more happens to a task by itself."""
    failed = record.status is Status.FAILED and record.dead_lettered_at is not None
    return failed or record.status is Status.COMPLETED


@contextmanager
def rig(
    evidence: Path, seed: int, config: Mapping[str, str | int], *, max_retries: int = 2
) -> Generator[Rig]:
    """A system with its functions behind the proxy; what it logs goes into the `evidence` directory.

    Args:
        evidence: directory for logs, and for what `Rig.save` keeps.
        seed: of the proxy's dice.
        config: values over the stack's own.
        max_retries: retries that every task has.
    """
    evidence.mkdir(parents=True, exist_ok=True)
    config = {"maxRetries": max_retries, "maxReceiveCount": 1000, "dlqMonitorTrigger": "queue"} | dict(config)
    with TemporaryDirectory(prefix="chaos-") as scratch, Diary(Path(scratch)) as diary:
        program = copy_program(Path(scratch))
        with (
            Stack(program, evidence / "stack.log", config) as stack,
            FaultProxy(stack.endpoint, seed, evidence / "proxy.log") as proxy,
        ):
            stack.configure({"AWS_ENDPOINT_URL": proxy.url, ADDRESS: diary.address})
            stack.configure({"SWEEP_BEHIND_SECONDS": str(_SWEEP_BEHIND)}, only=SWEEP)
            stack.configure({}, only=MONITOR, timeout_seconds=_MONITOR_TIMEOUT)
            stack.sqs.set_queue_attributes(
                QueueUrl=stack.dead_letter_queue, Attributes={"VisibilityTimeout": str(_LETTER_HIDDEN)}
            )
            damages = Damages(stack)
            reader = HistoryReader(stack, stack.open_stream(), damages)
            yield Rig(stack, proxy, diary, Clients(stack), damages, reader, max_retries + 1)


_began = time.monotonic()


def tell(text: str) -> None:
    """A line about the run's progress, for people."""
    sys.stderr.write(f"{time.monotonic() - _began:6.1f} s  {text}\n")
    sys.stderr.flush()
