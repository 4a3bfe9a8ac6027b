"""Task types that use what a process has: memory, modules, threads, credentials."""

import importlib
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasklib.task_type import Attempt, task_type

_KEPT: dict[str, Any] = {}


@task_type("hungry")
def hungry(data: Any, attempt: Attempt) -> None:
    """Dies as when the system has no memory left."""
    _KEPT["memory"] = b"x" * data["bytes"]
    os.kill(os.getpid(), signal.SIGKILL)


@task_type("too-hungry")
def too_hungry(data: Any, attempt: Attempt) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    return len(bytearray(2**31))


@task_type("first-to-go")
def first_to_go(data: Any, attempt: Attempt) -> list[int]:
    """How much the system prefers to end this process and its children for their memory."""
    path = "/proc/self/oom_score_adj"
    child = subprocess.run(["cat", path], capture_output=True, check=True, text=True)
    return [int(Path(path).read_text()), int(child.stdout)]


@task_type("tidy")
def tidy(data: Any, attempt: Attempt) -> str:
    """Uses what leaves nothing behind."""
    match data["what"]:
        case "modules":
            for name in data["names"]:
                assert name not in sys.modules
                importlib.import_module(name)
        case "memory":
            _KEPT.setdefault("memory", b"x" * 64 * 1024 * 1024)
        case "AWS client":
            importlib.import_module("boto3").client("s3", region_name="eu-west-1")
        case "threads":
            with importlib.import_module("concurrent.futures").ThreadPoolExecutor(10) as pool:
                assert list(pool.map(abs, range(-20, 0))) == [*range(20, 0, -1)]
        case "event loop":
            asyncio = importlib.import_module("asyncio")
            assert asyncio.run(asyncio.to_thread(abs, -1)) == 1
        case "process":
            subprocess.run(["true"], check=True)
        case _:
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
    return "done"


@task_type("environment")
def environment(data: Any, attempt: Attempt) -> list[str | None]:
    """What it finds in these variables."""
    return [os.environ.get(name) for name in data["names"]]


@task_type("signing")
def signing(data: Any, attempt: Attempt) -> str:
    """The credentials by which a client signs that is made once and kept."""
    client = _KEPT.get("client") or importlib.import_module("boto3").client("s3", region_name="eu-west-1")
    _KEPT["client"] = client
    url: str = client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    return url


@task_type("drawing")
def drawing(data: Any, attempt: Attempt) -> float:
    return random.random()
