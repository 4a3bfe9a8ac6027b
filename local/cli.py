"""The command line: `python -m local up`.

Exit status: 0 after a stack that was ready was told to stop, 1 when it could not be made or its emulator ended, 2 for
a command line that is wrong, 128 + the signal's number when it was told to stop before it was ready.
"""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from local.config import DEFAULT_REGION, REGION_KEY, read_project, stack_config
from local.emulator import Emulator
from local.errors import ConfigError, LocalError
from local.program_files import ProgramFiles
from local.running import told

#: Exit status for a wrong command line.
_USAGE = 2


@dataclass(frozen=True)
class _Options:
    port: int
    stack: str
    config: Sequence[str]
    as_json: bool
    watch: bool
    enforce_roles: bool


class _Stopped(KeyboardInterrupt):
    """A signal to stop, before the stack is ready; asyncio passes on no other kind of exception at once."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(arguments: Sequence[str] | None = None, directory: Path | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: in place of the process's own.
        directory: the Pulumi program's; this project's without it.
    """
    options = _parse(arguments)
    _on_stop_signals(_stop_now)
    try:
        with _reserved_stdout() as out:
            _up(options, directory or Path(__file__).resolve().parents[1], out)
    except LocalError as error:
        _say(f"error: {error}")
        return _USAGE if isinstance(error, ConfigError) else 1
    except _Stopped as stopped:
        return 128 + stopped.number
    except BrokenPipeError:
        # Whoever read the logs is gone; what Python still has to flush must not complain of that.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        return 1
    except OSError as error:  # a closed standard output, a full disk
        _say(f"error: {error.strerror or error}")
        return 1
    return 0


def _up(options: _Options, directory: Path, out: TextIO) -> None:
    project = read_project(directory)
    config = stack_config(project, options.stack, options.config)
    region = config.values.get(REGION_KEY, DEFAULT_REGION)
    files = ProgramFiles(directory, options.stack)  # as they are before the program reads them
    with Emulator(options.port, region, enforce_roles=options.enforce_roles) as emulator:
        # Imported while the emulator starts, because the SDKs take as long to load.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from local.aws import Aws, forget_user_settings  # noqa: PLC0415
        from local.logs import LogFollower, function_logs  # noqa: PLC0415
        from local.program import deploy  # noqa: PLC0415

        forget_user_settings()
        emulator.wait_until_ready()
        aws = Aws(emulator.endpoint_url, region)
        with _blaming_the_emulator(emulator):
            deployment = deploy(project, options.stack, config, aws)
        stop = threading.Event()
        _on_stop_signals(lambda _number, _frame: stop.set())
        known = {**deployment.outputs, "endpointUrl": emulator.endpoint_url, "region": region}
        follower = LogFollower(aws, function_logs(deployment.resources))
        watch = nullcontext()
        if options.watch:
            from local.watch import Watch  # noqa: PLC0415

            watch = Watch(files, config, options.config, aws, deployment, _say)
        with told(directory, emulator.port, known), watch, _blaming_the_emulator(emulator):
            out.write(json.dumps(known) + "\n" if options.as_json else _introduction(deployment.outputs))
            out.flush()
            while not stop.is_set():
                stop.wait(follower.pause_seconds())
                # Once more after the signal: what was logged before it is shown.
                for line in follower.read():
                    _say(f"{line.function} {line.text}")
                for text in emulator.errors():
                    _say(f"emulator {text}")


def _introduction(outputs: Mapping[str, Any]) -> str:
    width = max((len(name) for name in outputs), default=0)
    lines = [f"{name:<{width}}  {_shown(value)}" for name, value in outputs.items()]
    url = outputs.get("apiUrl")
    if isinstance(url, str):
        lines += [
            "",
            "Try it:",
            f"  curl -i {url.rstrip('/')}/tasks -H 'content-type: application/json' -d '{{\"answer\": \"42\"}}'",
        ]
    return "\n".join([*lines, "", "The functions' logs follow. Ctrl-C ends everything.", ""])


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def _blaming_the_emulator(emulator: Emulator) -> Generator[None]:
    """Name the emulator's end as the cause of what failed because of it."""
    try:
        yield
    except LocalError as error:
        cause = emulator.why_it_ended()
        raise LocalError(f"the AWS emulator ended: {cause}") if cause is not None else error from None


@contextmanager
def _reserved_stdout() -> Generator[TextIO]:
    """Standard output for our own lines alone: whatever the program or its child processes print goes to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        yield out


def _on_stop_signals(handler: Callable[[int, FrameType | None], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup and its like have the hang-up ignored on purpose.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _stop_now(number: int, _frame: FrameType | None) -> NoReturn:
    _on_stop_signals(lambda _number, _frame: None)  # a second one must not interrupt the cleaning up
    raise _Stopped(number)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _say(f"error: {message}; see {self.prog} --help")
        sys.exit(_USAGE)


def _parse(arguments: Sequence[str] | None) -> _Options:
    parser = _Parser(prog="python -m local", description="The whole system on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser(
        "up",
        help="create what the Pulumi program declares in an AWS emulator, and follow the functions' logs",
        description="Start an AWS emulator, create in it what the Pulumi program declares, print the outputs and "
        "follow the functions' logs until Ctrl-C (or SIGTERM), which ends everything.",
    )
    up.add_argument(
        "--port", type=_port, default=4566, help="port on 127.0.0.1; 0 takes any free one (default: 4566)"
    )
    up.add_argument("--stack", default="local", help="whose Pulumi.<stack>.yaml to use (default: local)")
    up.add_argument(
        "-c",
        dest="config",
        action="append",
        default=[],
        metavar="KEY[=VALUE]",
        help="a config value over the stack's own, as many as wanted; lists are JSON; without =VALUE it is that of "
        "the environment variable KEY",
    )
    up.add_argument(
        "--json", action="store_true", help="print the outputs as one JSON line when ready, nothing else"
    )
    up.add_argument(
        "--watch",
        action="store_true",
        help="give the running functions their new code whenever a file of theirs changes",
    )
    up.add_argument(
        "--enforce-roles", action="store_true", help="let each function do only what its role allows; slower"
    )
    parsed = parser.parse_args(arguments)
    return _Options(parsed.port, parsed.stack, parsed.config, parsed.json, parsed.watch, parsed.enforce_roles)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)
