"""How often a failed task is tried again and how long it waits before."""

import math
import random
from collections.abc import Mapping
from typing import NamedTuple, Self


class RetryPolicy(NamedTuple):
    """At most `max_retries` more attempts after the first, with exponential backoff.

    `backoff_base_seconds` is the wait before the first retry; it doubles with each one up to
    `backoff_max_seconds`; `backoff_jitter` spreads it by a random factor in 1 +- jitter, so that tasks that
    failed together do not come back together.
    """

    max_retries: int
    backoff_base_seconds: float
    backoff_max_seconds: float
    backoff_jitter: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The stack's defaults."""
        return cls(
            max_retries=int(environment["MAX_RETRIES"]),
            backoff_base_seconds=float(environment["BACKOFF_BASE_SECONDS"]),
            backoff_max_seconds=float(environment["BACKOFF_MAX_SECONDS"]),
            backoff_jitter=float(environment["BACKOFF_JITTER"]),
        )

    @property
    def max_attempts(self) -> int:
        """Attempts in one run, the first included."""
        return self.max_retries + 1

    def overridden_by(self, overrides: Mapping[str, float]) -> Self:
        """This policy with what a task type states for itself; keys are field names."""
        return self._replace(**overrides)

    def delay(self, retry: int, asked: float | None = None) -> int:
        """Milliseconds to wait before the n-th retry, n from 1: min(max, base * 2^(n-1)) * (1 +- jitter).

        A wait of `asked` seconds takes the place of the backoff, capped like it; the jitter then never shortens it.
        """
        if asked is not None:
            spread = random.uniform(1, 1 + self.backoff_jitter)  # noqa: S311 - no secret
            return math.ceil(min(asked, self.backoff_max_seconds) * spread * 1000)
        # 2^n of a hostile n would not fit a float; the cap is reached long before 2^64.
        seconds = min(self.backoff_max_seconds, self.backoff_base_seconds * 2.0 ** min(retry - 1, 64))
        spread = random.uniform(1 - self.backoff_jitter, 1 + self.backoff_jitter)  # noqa: S311 - no secret
        return round(seconds * spread * 1000)
