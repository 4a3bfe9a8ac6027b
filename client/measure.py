"""Latencies in percentiles."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Latencies:
    """The seconds within which 50, 90, 99 and 100 % of the samples lie.

    Between two samples a percentile is interpolated, so none is larger than the largest sample. Of fewer
    than 100 samples, p99 says little more than the maximum.
    """

    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latencies | None:
        """The percentiles of some samples; None of none."""
        if not seconds:
            return None
        if len(seconds) == 1:
            return cls(*[seconds[0]] * 4)
        cuts = statistics.quantiles(seconds, n=100, method="inclusive")
        return cls(cuts[49], cuts[89], cuts[98], max(seconds))

    def as_json(self) -> dict[str, float]:
        """Seconds by name, to the microsecond."""
        return {name: round(getattr(self, name), 6) for name in ("p50", "p90", "p99", "max")}
