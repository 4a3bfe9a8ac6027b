"""What an attempt leaves behind in its process, and whether the next attempt may run there.

Most of what a process keeps can be compared: a process that differs from what it was at its start is not used again.
Some of it changes with each attempt and is set again before the next one. What code keeps in its modules, and what it
loads, stays: that is what processes are kept for. `docs/task-types.md` has the list.
"""

import gc
import locale
import os
import random
import resource
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tasklib import platform_variables

#: Attempts that a process runs at most. Leaks that nothing here sees end with it. A new process loads again what its
#: attempts load late: 0.3 s for boto3, which is 0.3 ms an attempt.
MAX_ATTEMPTS: Final = 1000

#: Open files and sockets that a process may keep from its attempts. Lambda's limit is 1,024.
MAX_DESCRIPTORS: Final = 64

#: The memory that a process may gain after its first attempt is this share of the function's: ten of them run side by
#: side.
_SHARE: Final = 10

#: The function's memory in MB where Lambda does not say it: the stack's default.
_DEFAULT_MEMORY: Final = "512"

_HAS_PROC: Final = Path("/proc/self/statm").exists()

_PAGE: Final = resource.getpagesize()
_TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_SIGNALS: Final = sorted(signal.valid_signals())
_LIMITS: Final = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]

#: How long the system may take to remove a thread that has ended, in seconds.
_THREAD_END: Final = 0.01


class Surroundings:
    """What a process was before its first attempt. To be made there and then."""

    def __init__(self) -> None:
        self._settings = _settings()
        self._descriptors = _descriptors()
        self._event_loop_policy = _event_loop_policy()
        self._attempts = 0
        self._memory = 0
        megabytes = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", _DEFAULT_MEMORY))
        self._most_growth = megabytes * 1024 * 1024 // _SHARE

    def prepare(self, variables: Mapping[str, str]) -> None:
        """Before each attempt: sets what no attempt may inherit, and the platform's variables to these values."""
        platform_variables.adopt(variables)
        # An attempt that seeds it would give all later ones the same numbers.
        random.seed()
        if asyncio := sys.modules.get("asyncio"):
            asyncio.set_event_loop_policy(self._event_loop_policy)

    def allow_another_attempt(self) -> bool:
        """After each attempt: whether the process is as it was, and none of the attempt's code runs any more."""
        self._attempts += 1
        try:
            return (
                self._attempts < MAX_ATTEMPTS
                and not _has_children()
                and not _has_threads()
                and not self._has_grown()
                and _settings() == self._settings
            )
        except Exception:  # noqa: BLE001 - what an attempt put in the place of a setting cannot even be read
            return False

    def _has_grown(self) -> bool:
        memory = _memory()
        # What the first attempt loads is loaded once.
        self._memory = self._memory or memory
        return (
            memory - self._memory > self._most_growth or _descriptors() - self._descriptors > MAX_DESCRIPTORS
        )


def _settings() -> tuple[object, ...]:
    return (
        _working_directory(),
        _umask(),
        {name: value for name, value in os.environ.items() if name not in platform_variables.NAMES},
        [signal.getitimer(timer) for timer in _TIMERS],
        [signal.getsignal(number) for number in _SIGNALS],
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        _wakeup_descriptor(),
        [resource.getrlimit(limit) for limit in _LIMITS],
        _scheduling(),
        [_file_of(descriptor) for descriptor in range(3)],
        [_stream(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        (time.tzname, time.timezone, time.altzone, time.daylight),
        locale.setlocale(locale.LC_ALL),
        socket.getdefaulttimeout(),
        (sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits()),
        (sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()),
        (sys.excepthook, sys.unraisablehook, threading.excepthook),
        (sys.displayhook, sys.breakpointhook, sys.get_asyncgen_hooks()),
        threading.stack_size(),
        sys.path[:],
        (gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks[:]),
        _logging(),
        # The others only change what is printed, and many modules add some when they are loaded.
        [rule for rule in warnings.filters if rule[0] == "error"],
    )


def _working_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - a Path would say no more
    except OSError:
        return None


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _wakeup_descriptor() -> int:
    descriptor = signal.set_wakeup_fd(-1)
    if descriptor != -1:
        signal.set_wakeup_fd(descriptor)
    return descriptor


def _scheduling() -> tuple[object, ...]:
    priority = os.getpriority(os.PRIO_PROCESS, 0)
    if sys.platform != "linux":
        return (priority,)
    return priority, os.sched_getscheduler(0), os.sched_getaffinity(0)


def _file_of(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _stream(stream: Any) -> tuple[object, ...]:
    names = ("closed", "encoding", "errors", "line_buffering", "write_through")
    return stream, *(getattr(stream, name, None) for name in names)


def _logging() -> tuple[object, ...]:
    logging = sys.modules.get("logging")
    if logging is None:
        return [], 30, 0  # as it is when it is loaded
    root = logging.getLogger()
    return root.handlers[:], root.level, root.manager.disable


def _event_loop_policy() -> Any:
    """The one that the task types have set when they were imported. None stands for a new one of the default."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    policy = asyncio.get_event_loop_policy()
    return None if type(policy) is asyncio.DefaultEventLoopPolicy else policy


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _has_threads() -> bool:
    """Whether there are threads beside this one; on Linux those of C code count."""
    if threading.active_count() > 1:
        return True
    # One that was joined has ended for Python before it has for the system.
    end = time.monotonic() + _THREAD_END
    while _threads() > 1:
        if time.monotonic() > end:
            return True
        time.sleep(_THREAD_END / 10)
    return False


def _threads() -> int:
    if not _HAS_PROC:
        return len(sys._current_frames())  # pyright: ignore[reportPrivateUsage]
    return os.stat("/proc/self/task").st_nlink - 2  # noqa: PTH116 - a Path would say no more


def _memory() -> int:
    """Resident memory in bytes, 0 where there is no `/proc`."""
    if not _HAS_PROC:
        return 0
    descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(descriptor, 100).split()[1]) * _PAGE
    finally:
        os.close(descriptor)


def _descriptors() -> int:
    """How many files and sockets are open, 0 where there is no `/proc`."""
    return len(os.listdir("/proc/self/fd")) if _HAS_PROC else 0  # noqa: PTH208 - only their number counts
