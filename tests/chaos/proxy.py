"""Faults between the functions and the emulator: microburst as a process, its rules set at run time."""

import contextlib
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.chaos.stack import aws_client

#: A rule in microburst's notation.
Rule = Mapping[str, Any]


class FaultProxy:
    """A proxy in front of an AWS endpoint, transparent until it is given rules. Leaving its context ends it."""

    def __init__(self, upstream: str, seed: int, log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, log.open("w") as output:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            descriptor = listener.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.proxy_process", str(descriptor), upstream, str(seed)],
                stdout=output,
                stderr=output,
                cwd=Path(__file__).resolve().parents[2],
                pass_fds=[descriptor],
                start_new_session=True,
            )
        self._control = httpx.Client(base_url=f"{self.url}/_microburst", timeout=60)
        self._kinds: dict[int, str] = {}

    def __enter__(self) -> Self:
        # Its first requests to a service take seconds, because it loads the service's model.
        self.set_rules({})
        for service, operation in (("dynamodb", "list_tables"), ("sqs", "list_queues")):
            getattr(aws_client(service, self.url), operation)()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._control.close()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.kill()
        self._process.wait()

    def set_rules(self, rules: Mapping[str, Rule]) -> None:
        """Replace all rules by these; each has the kind of fault that it makes as its key."""
        answer = self._control.post("/rules", json=list(rules.values())).raise_for_status()
        self._kinds |= {rule["id"]: kind for kind, rule in zip(rules, answer.json(), strict=True)}

    def fired(self) -> Counter[str]:
        """How many faults of each kind were made so far, by rules gone or present."""
        answer = self._control.get("/stats").raise_for_status().json()
        counts: Counter[str] = Counter()
        for entry in answer["by_rule"]:
            counts[self._kinds[entry["id"]]] += entry["fired"]
        return counts
