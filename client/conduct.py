"""How a command runs: its client, its end by Ctrl-C or a closed pipe, its exit code."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import NoReturn

import typer

from client.advice import explain
from client.api import REQUEST_TIMEOUT_SECONDS, TasksClient
from client.report import Advance, Report, Run
from client.smoke import CONCURRENCY
from client.terminal import progress, reader_of_stdout, show

#: The environment variable with the token that is sent to the API.
TOKEN_VARIABLE = "TASKS_TOKEN"  # noqa: S105 - its name

#: What a shell sees of a program that Ctrl-C, or a closed pipe, has ended.
INTERRUPTED = 130
BROKEN_PIPE = 141

#: What sysexits.h has for output that could not be written.
UNWRITTEN = 74

EXIT_CODES = """
Exit codes: 0 every task finished (load: was accepted; submit: was accepted, with --wait is COMPLETED; watch: is
COMPLETED; retry, cancel: was started anew, was cancelled; get: is there; info: all that could be checked is
fine), 1 not every one, 2 wrong usage, or the stack is not known, 3 the URL could not be reached, 4 it answered
with an error or is another service, 74 the output could not be written, 130 interrupted, 141 nobody reads it.
"""


def connect(
    url: str, *, timeout: float = REQUEST_TIMEOUT_SECONDS, connections: int = CONCURRENCY
) -> TasksClient:
    """A client of the API at `url`, with the token of the environment; timeout in seconds.

    Raises:
        typer.BadParameter: something about it cannot be used.
    """
    try:
        token = os.environ.get(TOKEN_VARIABLE) or None
        return TasksClient(url, timeout=timeout, connections=connections, token=token)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def conduct(
    work: Callable[[TasksClient, Advance], Awaitable[None]],
    report: Report,
    *,
    as_json: bool,
    request_timeout: float = REQUEST_TIMEOUT_SECONDS,
    connections: int,
) -> NoReturn:
    """Let work go to its end or to Ctrl-C, print its report, exit with its outcome."""
    client = connect(report.url, timeout=request_timeout, connections=connections)

    async def main(advance: Advance) -> None:
        async with client:
            await work(client, advance)

    try:
        with progress(report) as advance:
            asyncio.run(main(advance))
    except KeyboardInterrupt:
        report.interrupted = True
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    elif report.error is None or report.has_content:
        show(report)
    leave(report)


def stream(work: Callable[[TasksClient], Awaitable[None]], run: Run) -> None:
    """Let work that prints as it goes come to its end, to Ctrl-C, or to where nobody reads it any more."""
    client = connect(run.url)

    async def main() -> None:
        async with client:
            with run.running():
                await work(client)

    try:
        until_unread(main)
    except KeyboardInterrupt:
        run.interrupted = True


def until_unread(main: Callable[[], Awaitable[None]]) -> None:
    """Run what prints as it goes; raises BrokenPipeError when the reader of a pipe at standard output has left."""

    async def guarded() -> None:
        with reader_of_stdout():
            await main()

    asyncio.run(guarded())


def leave(run: Run) -> NoReturn:
    """Say what ended a run before its time, if anything did, and exit with its outcome."""
    if run.error is not None:
        typer.echo(f"Error: {explain(run.error, run.url)}", err=True)
    raise typer.Exit(run.outcome.exit_code)
