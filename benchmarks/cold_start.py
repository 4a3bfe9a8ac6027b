"""How long a function's imports take, over boto3 alone with the same clients.

Each import runs in a process of its own, the functions' and boto3's in turn. boto3 has its bytecode, as in Lambda's
runtime. The package is measured with bytecode and without: Lambda runs it without.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.package import Package, unpacked

ROUNDS = 7

#: The functions, and the services that each has a client of.
FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "submit_tasks": ("dynamodb", "sqs"),
    "read_tasks": ("dynamodb",),
    "process_tasks": ("dynamodb", "sqs"),
    "monitor_dlq": ("dynamodb", "sqs"),
    "retry_tasks": ("dynamodb", "sqs"),
    "sweep_tasks": ("dynamodb", "sqs"),
}

_TIMED = "import time; begin = time.perf_counter(); {code}; print((time.perf_counter() - begin) * 1000)"


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One function: milliseconds of boto3 alone, and of the function with and without bytecode.

    The ratios are medians of those within one round, whose imports follow each other.
    """

    boto3: float
    with_bytecode: float
    without_bytecode: float
    ratio_with_bytecode: float
    ratio_without_bytecode: float


def measure(package: Package) -> Mapping[str, ColdStart]:
    """The medians for each function."""
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in FUNCTIONS}
    for module in FUNCTIONS:
        package.run("-c", f"import {module}")  # leaves bytecode behind
    with unpacked() as untouched:
        for _ in range(ROUNDS):
            for module, services in FUNCTIONS.items():
                code, clients = (
                    f"import {module}",
                    "; ".join(f"boto3.client({service!r})" for service in services),
                )
                boto3 = _time(package, f"import boto3; {clients}")
                times[module].append((boto3, _time(package, code), _time(untouched, code, bytecode=False)))
    return {name: _medians(each) for name, each in times.items()}


def _medians(times: Sequence[tuple[float, float, float]]) -> ColdStart:
    boto3, with_bytecode, without = map(statistics.median, zip(*times, strict=True))
    return ColdStart(
        boto3,
        with_bytecode,
        without,
        statistics.median(each[1] / each[0] for each in times),
        statistics.median(each[2] / each[0] for each in times),
    )


def _time(package: Package, code: str, *, bytecode: bool = True) -> float:
    return float(package.run("-c", _TIMED.format(code=code), bytecode=bytecode))
