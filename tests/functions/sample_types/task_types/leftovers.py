"""Two task types: one leaves something behind in its process, the other says what it finds of it there."""

import _thread
import contextvars
import ctypes
import gc
import importlib
import io
import json
import locale
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tasklib.task_type import Attempt, task_type


class Leftover(NamedTuple):
    """How it is left behind, and how it is looked for."""

    leave: Callable[[], object]
    find: Callable[[], object]


#: What attempts keep in this module.
KEPT: list[Any] = []

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def _late(module: str) -> Any:
    """A module that nothing has loaded before the attempt."""
    return importlib.import_module(module)


def _set_variable(name: str, value: str) -> None:
    os.environ[name] = value


def _change_time_zone() -> None:
    os.environ["TZ"] = "Etc/GMT+7"
    time.tzset()
    del os.environ["TZ"]


def _enter_a_directory_and_remove_it() -> None:
    directory = tempfile.mkdtemp()
    os.chdir(directory)
    Path(directory).rmdir()


def _directory() -> str:
    try:
        return str(Path.cwd())
    except OSError as error:
        return type(error).__name__


def _set_signal(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)


def _wake_up_by_a_socket() -> None:
    KEPT.extend(socket.socketpair())
    KEPT[-1].setblocking(False)
    signal.set_wakeup_fd(KEPT[-1].fileno())


def _wakeup() -> int:
    number = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(number)
    return number


def _stdout() -> Any:
    return sys.stdout


def _replace(name: str, stream: object) -> None:
    setattr(sys, name, stream)


def _replace_descriptor(number: int) -> None:
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), number)


def _stream() -> list[str]:
    """Standard output, as the next one finds it."""
    stream = sys.stdout
    try:
        return [
            type(stream).__name__,
            str(stream.closed),
            stream.encoding,
            str(os.fstat(stream.fileno()).st_ino),
        ]
    except (OSError, ValueError, AttributeError) as error:
        return [type(error).__name__]


def _inode(number: int) -> int | None:
    try:
        return os.fstat(number).st_ino
    except OSError:
        return None


def _sleep_in_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def _threads() -> int:
    return len([*Path("/proc/self/task").iterdir()])


def _fork() -> None:
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _lower_limit(kind: int, to: int) -> None:
    resource.setrlimit(kind, (to, resource.getrlimit(kind)[1]))


def _schedule_as_batch() -> None:
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _trace(*_: object) -> None:
    return None


def _open_files(count: int) -> None:
    KEPT.extend(Path(os.devnull).open() for _ in range(count))  # noqa: SIM115 - they stay open


def _open_descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def _keep_memory() -> None:
    KEPT.append(b"x" * 64 * 1024 * 1024)


def _kept_bytes() -> int:
    return sum(len(kept) for kept in KEPT if isinstance(kept, bytes))


def _keep_an_event_loop() -> None:
    asyncio = _late("asyncio")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.close()


def _event_loop_is_closed() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop = _late("asyncio").get_event_loop_policy().get_event_loop()
    is_closed: bool = loop.is_closed()
    loop.close()
    return is_closed


def _set_policy() -> None:
    asyncio = _late("asyncio")
    asyncio.set_event_loop_policy(type("Left", (asyncio.DefaultEventLoopPolicy,), {})())


def _set_decimals() -> None:
    _late("decimal").getcontext().prec = 3


def _patch() -> None:
    json.dumps.__doc__ = "patched"


def _change_offset() -> None:
    """The zone of another place under the names of this one, and nothing of it in the environment."""
    os.environ["TZ"] = f"{time.tzname[0]}+3"
    time.tzset()
    del os.environ["TZ"]


def _on_collection(phase: str, info: dict[str, int]) -> None:
    """Does nothing."""


def _getenv(name: bytes) -> str:
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    return str(getenv(name))


LEFTOVERS: dict[str, Leftover] = {
    # What the operating system keeps of a process.
    "umask": Leftover(lambda: os.umask(0o777), lambda: os.umask(os.umask(0o22))),
    "working directory": Leftover(lambda: os.chdir("/"), _directory),
    "removed working directory": Leftover(_enter_a_directory_and_remove_it, _directory),
    # Not SIGINT, which a shell ignores for what it starts in the background.
    "signal handler": Leftover(
        lambda: _set_signal(signal.SIGUSR2), lambda: str(signal.getsignal(signal.SIGUSR2))
    ),
    "ignored signal": Leftover(
        lambda: _set_signal(signal.SIGTERM), lambda: str(signal.getsignal(signal.SIGTERM))
    ),
    "signal mask": Leftover(
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]),
        lambda: str(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    ),
    "wakeup descriptor": Leftover(_wake_up_by_a_socket, _wakeup),
    "real timer": Leftover(lambda: signal.alarm(60), lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0),
    "virtual timer": Leftover(
        lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 60),
        lambda: signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0,
    ),
    "profiling timer": Leftover(
        lambda: signal.setitimer(signal.ITIMER_PROF, 60), lambda: signal.getitimer(signal.ITIMER_PROF)[0] > 0
    ),
    "limit of files": Leftover(
        lambda: _lower_limit(resource.RLIMIT_NOFILE, 200), lambda: resource.getrlimit(resource.RLIMIT_NOFILE)
    ),
    "limit of memory": Leftover(
        lambda: _lower_limit(resource.RLIMIT_AS, 2**40), lambda: resource.getrlimit(resource.RLIMIT_AS)
    ),
    "priority": Leftover(lambda: os.nice(1), lambda: os.getpriority(os.PRIO_PROCESS, 0)),
    "scheduler": Leftover(_schedule_as_batch, lambda: os.sched_getscheduler(0)),
    "thread": Leftover(_sleep_in_a_thread, threading.active_count),
    "thread without an object": Leftover(lambda: _thread.start_new_thread(time.sleep, (60,)), _threads),
    "thread of C code": Leftover(lambda: _late("faulthandler").dump_traceback_later(60), _threads),
    "child process": Leftover(_fork, _has_children),
    # Standard streams.
    "replaced stdout": Leftover(lambda: _replace("stdout", io.StringIO()), _stream),
    "no stdout": Leftover(lambda: _replace("stdout", None), _stream),
    "closed stdout": Leftover(lambda: _stdout().close(), _stream),
    "detached stdout": Leftover(lambda: _stdout().detach(), _stream),
    "stdout in another encoding": Leftover(lambda: _stdout().reconfigure(encoding="ascii"), _stream),
    "replaced stderr": Leftover(lambda: _replace("stderr", io.StringIO()), lambda: type(sys.stderr).__name__),
    "replaced stdin": Leftover(lambda: _replace("stdin", io.StringIO()), lambda: type(sys.stdin).__name__),
    "closed descriptor": Leftover(lambda: os.close(1), lambda: _inode(1)),
    "replaced descriptor": Leftover(lambda: _replace_descriptor(2), lambda: _inode(2)),
    # Settings of the interpreter and its libraries.
    "environment": Leftover(
        lambda: _set_variable("FAILURE_RATE", "1"), lambda: os.environ.get("FAILURE_RATE")
    ),
    "removed variable": Leftover(
        lambda: os.environ.pop("MAX_RETRIES"), lambda: os.environ.get("MAX_RETRIES")
    ),
    "time zone": Leftover(_change_time_zone, lambda: time.tzname),
    "time zone of the process alone": Leftover(_change_offset, lambda: time.localtime(0).tm_hour),
    "locale": Leftover(
        lambda: locale.setlocale(locale.LC_NUMERIC, "C.UTF-8"), lambda: locale.setlocale(locale.LC_ALL)
    ),
    "socket time-out": Leftover(lambda: socket.setdefaulttimeout(0.001), socket.getdefaulttimeout),
    "recursion limit": Leftover(lambda: sys.setrecursionlimit(500), sys.getrecursionlimit),
    "switch interval": Leftover(lambda: sys.setswitchinterval(1), sys.getswitchinterval),
    "digits of integers": Leftover(lambda: sys.set_int_max_str_digits(0), sys.get_int_max_str_digits),
    "module path": Leftover(lambda: sys.path.append("/left"), lambda: "/left" in sys.path),
    "trace function": Leftover(lambda: sys.settrace(_trace), lambda: sys.gettrace() is _trace),
    "profile function": Leftover(lambda: sys.setprofile(_trace), lambda: sys.getprofile() is _trace),
    "trace function of threads": Leftover(
        lambda: threading.settrace(_trace), lambda: threading.gettrace() is _trace
    ),
    "profile function of threads": Leftover(
        lambda: threading.setprofile(_trace), lambda: threading.getprofile() is _trace
    ),
    "exception hook": Leftover(lambda: _replace("excepthook", _trace), lambda: sys.excepthook is _trace),
    "unraisable hook": Leftover(
        lambda: _replace("unraisablehook", _trace), lambda: sys.unraisablehook is _trace
    ),
    "exception hook of threads": Leftover(
        lambda: setattr(threading, "excepthook", _trace), lambda: threading.excepthook is _trace
    ),
    "hook of async generators": Leftover(
        lambda: sys.set_asyncgen_hooks(_trace, _trace), lambda: sys.get_asyncgen_hooks()[0] is _trace
    ),
    "display hook": Leftover(lambda: _replace("displayhook", _trace), lambda: sys.displayhook is _trace),
    "breakpoint hook": Leftover(
        lambda: _replace("breakpointhook", _trace), lambda: sys.breakpointhook is _trace
    ),
    "stack size of threads": Leftover(lambda: threading.stack_size(2**20), threading.stack_size),
    "callback of garbage collection": Leftover(
        lambda: gc.callbacks.append(_on_collection), lambda: _on_collection in gc.callbacks
    ),
    "garbage collection": Leftover(gc.disable, gc.isenabled),
    "thresholds of garbage collection": Leftover(lambda: gc.set_threshold(9), gc.get_threshold),
    "log handler": Leftover(
        lambda: _late("logging").basicConfig(), lambda: len(_late("logging").getLogger().handlers)
    ),
    "log level": Leftover(
        lambda: _late("logging").getLogger().setLevel(1), lambda: _late("logging").getLogger().level
    ),
    "disabled logs": Leftover(
        lambda: _late("logging").disable(50), lambda: _late("logging").root.manager.disable
    ),
    "warnings as errors": Leftover(
        lambda: warnings.simplefilter("error"), lambda: any(rule[0] == "error" for rule in warnings.filters)
    ),
    # What grows.
    "many open files": Leftover(lambda: _open_files(100), _open_descriptors),
    "memory": Leftover(_keep_memory, _kept_bytes),
    # What each attempt has of its own.
    "random seed": Leftover(lambda: random.seed(1), lambda: random.random() == random.Random(1).random()),
    "decimal context": Leftover(_set_decimals, lambda: _late("decimal").getcontext().prec),
    "context variable": Leftover(lambda: VARIABLE.set("set"), VARIABLE.get),
    "event loop": Leftover(_keep_an_event_loop, _event_loop_is_closed),
    "event loop policy": Leftover(
        _set_policy, lambda: type(_late("asyncio").get_event_loop_policy()).__name__
    ),
    "credentials": Leftover(
        lambda: _set_variable("AWS_ACCESS_KEY_ID", "left"), lambda: os.environ.get("AWS_ACCESS_KEY_ID")
    ),
    # What is not looked for.
    "variable of a module": Leftover(lambda: KEPT.append("left"), lambda: "left" in KEPT),
    "patched function": Leftover(_patch, lambda: json.dumps.__doc__ == "patched"),
    "open file": Leftover(
        lambda: _open_files(1), lambda: [kept.name for kept in KEPT if hasattr(kept, "name")]
    ),
    "file": Leftover(
        lambda: Path(tempfile.gettempdir(), f"left-{os.getpid()}").touch(),
        lambda: Path(tempfile.gettempdir(), f"left-{os.getpid()}").exists(),
    ),
    "ignored warnings": Leftover(
        lambda: warnings.simplefilter("ignore", ResourceWarning),
        lambda: warnings.filters[0][0] == "ignore" and warnings.filters[0][2] is ResourceWarning,
    ),
    "variable set in C": Leftover(lambda: os.putenv("LEFT", "left"), lambda: _getenv(b"LEFT")),
    "module loaded late": Leftover(lambda: __import__("wave"), lambda: "wave" in sys.modules),
}


@task_type("leftovers")
def leftovers(data: Any, attempt: Attempt) -> list[str]:
    return [*LEFTOVERS]


@task_type("leaving-behind")
def leaving_behind(data: Any, attempt: Attempt) -> None:
    LEFTOVERS[data["what"]].leave()


@task_type("finding")
def finding(data: Any, attempt: Attempt) -> str:
    return repr(LEFTOVERS[data["what"]].find())
