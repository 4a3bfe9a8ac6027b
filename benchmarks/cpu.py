"""Who used the CPU of this machine, by what the process is. Linux only."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KINDS = ("emulator", "functions", "task processes", "clients", "others")

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Process:
    command: str
    seconds: float


class Clock:
    """The CPU that processes have used since it was made."""

    def __init__(self) -> None:
        self._before = _processes()

    def used(self) -> Mapping[str, float]:
        """Seconds by kind of process. One that has ended meanwhile counts nothing."""
        total: dict[str, float] = dict.fromkeys(KINDS, 0.0)
        for pid, process in _processes().items():
            before = self._before.get(pid)
            seconds = process.seconds - (before.seconds if before else 0)
            total["clients" if pid == os.getpid() else _kind(process)] += max(0, seconds)
        return total


def _processes() -> dict[int, _Process]:
    processes: dict[int, _Process] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            command = (entry / "cmdline").read_text(errors="replace").replace("\0", " ")
        except OSError:
            continue  # it has ended
        processes[int(entry.name)] = _Process(command, (int(fields[11]) + int(fields[12])) / _TICKS)
    return processes


def _kind(process: _Process) -> str:
    if "ministack_app" in process.command:
        return "emulator"
    if "fork_server" in process.command:
        return "task processes"
    if "ministack-lambda" in process.command:
        return "functions"
    return "others"
