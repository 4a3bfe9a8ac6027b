"""What the sweep itself costs: CPU for a hundred entries of the listing, AWS stubbed."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from benchmarks.package import Package

STRIDES = 30
RUNS = 5

_PROCESS = Path(__file__).with_name("sweep_process.py")


@dataclass(frozen=True, slots=True)
class SweepCost:
    """Milliseconds of CPU for a hundred entries."""

    claimed: float  #: whose tasks all have been claimed: read and passed
    waiting: float  #: whose tasks all still wait, as in a backlog: each is sent one more message


def measure(package: Package) -> SweepCost:
    """Run the sweep in processes of its own."""
    return SweepCost(_cpu(package, "COMPLETED"), _cpu(package, "PENDING"))


def _cpu(package: Package, status: str) -> float:
    reports = [json.loads(package.run(_PROCESS, str(STRIDES), status)) for _ in range(RUNS)]
    return 1000 * statistics.median(report["cpuPerStride"] for report in reports)
