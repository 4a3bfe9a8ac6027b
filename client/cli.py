"""The command line: options in, report and exit code out."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NoReturn, cast

import typer

from client.address import base_url
from client.advice import explain
from client.api import REQUEST_TIMEOUT_SECONDS, TasksClient
from client.batch import MAX_BATCH
from client.live import MAX_WATCHED
from client.load import LoadReport, load
from client.report import Advance, Report, Run, first
from client.retry import RetryReport, failed, named, retry
from client.smoke import CONCURRENCY, SmokeReport, smoke
from client.terminal import discard_stdout, progress, reader_of_stdout, show, show_event, show_update
from client.update import Update
from client.watch import WatchRun, watch
from client.work import Work

#: What the API takes as a task ID.
TASK_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

#: The longest time that an option takes, in seconds.
LONGEST_SECONDS = 86_400

#: What a shell sees of a program that a closed pipe has ended.
BROKEN_PIPE = 141

EXIT_CODES = """
Exit codes: 0 every task finished (load: was accepted, retry: was started anew, watch: is COMPLETED), 1 not
every one, 2 wrong usage, 3 the URL could not be reached, 4 it answered with an error or is another service,
130 interrupted, 141 nobody reads the output (watch).
"""

app = typer.Typer(
    help="Try, measure and watch a deployed stack, and start its failed tasks anew.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _url(text: str) -> str:
    try:
        return base_url(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= LONGEST_SECONDS:
        raise typer.BadParameter(f"{text!r} is not a number of seconds above 0 and up to {LONGEST_SECONDS}")
    return value


def _payload(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("it must be a JSON object, such as '{\"n\": 1}'")
    return cast("dict[str, Any]", value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _task_id(text: str) -> str:
    if not TASK_ID.fullmatch(text):
        raise typer.BadParameter(f"{text!r:.150} is no task ID: 1 to 128 of A-Z a-z 0-9 . _ : -")
    return text


Url = Annotated[str, typer.Argument(parser=_url, help="Of the API: the stack's output apiUrl.")]
TaskType = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="Of the tasks; else the API's default type.")
]
Payload = Annotated[
    dict[str, Any] | None,
    typer.Option(
        parser=_payload, metavar="JSON", help="Every task's payload, an object; else a short answer."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")]


@app.command("smoke", epilog=EXIT_CODES)
def smoke_command(
    *,
    url: Url,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Tasks to submit.")] = 10,
    timeout: Annotated[
        float, typer.Option(parser=_seconds, metavar="SECONDS", help="For the whole run.")
    ] = 60.0,
    interval: Annotated[
        float, typer.Option(parser=_seconds, metavar="SECONDS", help="Between two polls of a task.")
    ] = 0.5,
    task_type: TaskType = None,
    payload: Payload = None,
    as_json: AsJson = False,
) -> None:
    """Submit tasks and wait until each is COMPLETED or FAILED.

    Prints counts by status and attempts, and the percentiles of two latencies: of submission, and from
    submission to the poll that saw the task finished. Transient errors are tried again and counted.
    """
    report = SmokeReport(url, count)

    async def run(tasks: TasksClient, advance: Advance) -> None:
        work = Work(task_type, payload)
        await smoke(tasks, work, report, timeout=timeout, interval=interval, advance=advance)

    _conduct(run, report, as_json=as_json, request_timeout=REQUEST_TIMEOUT_SECONDS, connections=CONCURRENCY)


@app.command("load", epilog=EXIT_CODES)
def load_command(
    *,
    url: Url,
    count: Annotated[int, typer.Option(min=1, help="Tasks to submit.")] = 500,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="Requests at a time.")] = 20,
    batch: Annotated[
        int, typer.Option(min=1, max=MAX_BATCH, help="Tasks in a request; 1 sends each by itself.")
    ] = 1,
    request_timeout: Annotated[
        float, typer.Option(parser=_seconds, metavar="SECONDS", help="For one request.")
    ] = REQUEST_TIMEOUT_SECONDS,
    task_type: TaskType = None,
    payload: Payload = None,
    as_json: AsJson = False,
) -> None:
    """Submit many tasks, some at a time, and measure how the API takes them.

    Prints throughput, the percentiles of the latency of requests of which a task was accepted, and every
    kind of error with the number of tasks that met it. Nothing is sent twice, and whether the tasks finish
    is not awaited.

    \b
    For example, 10,000 tasks in requests of 100 (URL: the stack's output apiUrl):
        python -m client load URL --count 10000 --batch 100
    """
    report = LoadReport(url, count, concurrency, batch)

    async def run(tasks: TasksClient, advance: Advance) -> None:
        await load(tasks, Work(task_type, payload), report, advance=advance)

    _conduct(run, report, as_json=as_json, request_timeout=request_timeout, connections=concurrency)


@app.command("retry", epilog=EXIT_CODES)
def retry_command(
    *,
    url: Url,
    task_ids: Annotated[
        list[str] | None,
        typer.Argument(parser=_task_id, metavar="TASK_ID", help="The tasks to start anew."),
    ] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="Start every FAILED task anew.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=100, help="Tasks at a time.")] = CONCURRENCY,
    as_json: AsJson = False,
) -> None:
    """Start failed tasks anew: a new run, with all of its attempts.

    Prints how many were, and which were not and why: a task that has not failed, or that is not there, is
    left alone. Transient errors are tried again and counted; that is safe, a task gets one new run of it.
    """
    if all_failed == bool(task_ids):
        raise typer.BadParameter("give either task IDs or --all-failed")
    report = RetryReport(url)

    async def run(tasks: TasksClient, advance: Advance) -> None:
        names = failed(tasks, report) if all_failed else named(task_ids or [], report)
        await retry(tasks, names, report, concurrency=concurrency, advance=advance)

    _conduct(run, report, as_json=as_json, request_timeout=REQUEST_TIMEOUT_SECONDS, connections=concurrency)


@app.command("watch", epilog=EXIT_CODES)
def watch_command(
    *,
    url: Url,
    task_ids: Annotated[
        list[str] | None,
        typer.Argument(parser=_task_id, metavar="TASK_ID", help="The tasks, up to 100; else all of them."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(parser=_seconds, metavar="SECONDS", help="For the whole run; else no end.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every update as a JSON object.")] = False,
) -> None:
    """Watch tasks live: one line for every change.

    Begins with where the tasks stand, of all tasks the newest 20. Ends by itself when all of the named ones
    are COMPLETED, FAILED or CANCELLED; when none is named, at Ctrl-C. One that is not there yet is waited for.
    A lost connection is made anew, and what was missed meanwhile is shown late.

    \b
    For example (URL: the stack's output apiUrl):
        python -m client watch URL order-17 && echo shipped
        python -m client watch URL --json | jq --unbuffered 'select(.status == "FAILED")'
    """
    names = list(dict.fromkeys(task_ids or []))
    if len(names) > MAX_WATCHED:
        raise typer.BadParameter(f"{len(names)} task IDs; {MAX_WATCHED} can be watched at a time")
    run = WatchRun(url, names)
    client = _client(url)

    async def main() -> None:
        tell = _print_json if as_json else show_update
        with reader_of_stdout():
            async with client:
                await watch(client, run, timeout=timeout, tell=tell, notify=show_event)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        run.interrupted = True
    except BrokenPipeError:
        discard_stdout()
        raise typer.Exit(BROKEN_PIPE) from None
    if run.error is None and not run.interrupted and run.unfinished:
        typer.echo(f"Not finished within {timeout:g} s: {first(run.unfinished)}", err=True)
    _leave(run)


def _print_json(update: Update) -> None:
    typer.echo(json.dumps(update.as_json(), ensure_ascii=False))


def _client(
    url: str, *, timeout: float = REQUEST_TIMEOUT_SECONDS, connections: int = CONCURRENCY
) -> TasksClient:
    try:
        return TasksClient(url, timeout=timeout, connections=connections)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _conduct(
    run: Callable[[TasksClient, Advance], Awaitable[None]],
    report: Report,
    *,
    as_json: bool,
    request_timeout: float,
    connections: int,
) -> NoReturn:
    """Let a run go to its end or to Ctrl-C, print its report, exit with its outcome."""
    client = _client(report.url, timeout=request_timeout, connections=connections)

    async def main(advance: Advance) -> None:
        async with client:
            await run(client, advance)

    try:
        with progress(report) as advance:
            asyncio.run(main(advance))
    except KeyboardInterrupt:
        report.interrupted = True
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    elif report.error is None or report.has_content:
        show(report)
    _leave(report)


def _leave(run: Run) -> NoReturn:
    """Say what ended a run before its time, if anything did, and exit with its outcome."""
    if run.error is not None:
        typer.echo(f"Error: {explain(run.error, run.url)}", err=True)
    raise typer.Exit(run.outcome.exit_code)
