"""Runs the emulator and sees to it that nothing of it is left, however the command that wanted it ends.

A process of its own, started by emulator.py with a bare interpreter, so it imports the standard library only. It
holds one end of a pipe: when the other end closes, because the command ended, crashed or was killed, the emulator
is killed with all of its descendants and its files are removed.

    supervisor.py LISTENING_FD COMMAND...

Standard output is the emulator's log, and its last line says how the emulator ended if it did so by itself.
"""

import contextlib
import ctypes
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def supervise(listening_fd: int, command: list[str]) -> int:
    """Run `command` until it ends or standard input closes; return 0 if it was still running then."""
    # Its own pipe wakes the wait below at every signal: a child's end, or a request to stop.
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    stop_requested: list[int] = []
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stop_requested.append(received))
    if _LINUX:
        # Whatever descendant outlives its parent becomes our child, even out of a session of its own.
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft_limit != hard_limit:
        # Every concurrent request and every worker costs the emulator descriptors.
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard_limit, 65536), hard_limit))

    directory = Path(tempfile.mkdtemp(prefix="local-stack-"))
    try:
        # Kept: a Popen that is given up collects its child itself if that has ended already, and nobody learns of it.
        process = _start(command, listening_fd, directory)
        emulator = process.pid
        os.close(listening_fd)
        try:
            while not stop_requested:
                readable, _, _ = select.select([0, wake_read], [], [])
                if 0 in readable and not os.read(0, 1024):
                    break
                if wake_read in readable:
                    os.read(wake_read, 1024)
                    status = _reap(emulator)
                    if status is not None:
                        print(_how_it_ended(status), flush=True)  # noqa: T201 - read by emulator.py
                        return 1
        finally:
            _kill_all(emulator)
        return 0
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _start(command: list[str], listening_fd: int, directory: Path) -> subprocess.Popen[bytes]:
    parent = os.getpid()

    def die_with_parent() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    before_exec: Callable[[], None] | None = die_with_parent if _LINUX else None
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        # Neither the directory nor the home of the user: functions must not find modules or settings there.
        cwd=directory,
        env={**os.environ, "TMPDIR": str(directory), "HOME": str(directory)},
        pass_fds=(listening_fd,),
        process_group=0,
        preexec_fn=before_exec,  # noqa: PLW1509 - this process has no other thread
    )


def _reap(emulator: int) -> int | None:
    """Collect ended children; return the emulator's wait status if it is one of them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == 0:
            return None
        if pid == emulator:
            return status


def _kill_all(emulator: int) -> None:
    """Kill the emulator and everything that descends from it, and wait for the end of each.

    The emulator goes first, so that nothing starts anew. Only our own children that were not yet collected are
    signalled, so no number can have passed to a stranger; their orphans become our children in turn.
    """
    # The group may be gone already; macOS calls that a lack of permission.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(emulator, signal.SIGKILL)
    while True:
        for pid in _children():
            os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    """The process ids of our children; off Linux nothing is known beyond the group that was killed as one."""
    found: list[int] = []
    if _LINUX:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text(errors="replace")
                except OSError:
                    continue
                # pid (name) state parent ...; a name may itself contain brackets and blanks
                if int(stat.rpartition(")")[2].split()[1]) == os.getpid():
                    found.append(int(entry.name))
    return found


def _how_it_ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code >= 0 else f"signal {-code}"


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(supervise(int(sys.argv[1]), sys.argv[2:]))
