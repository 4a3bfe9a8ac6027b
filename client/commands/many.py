"""Commands on many tasks: list, retry, cancel; and those that make them: smoke, load."""

from __future__ import annotations

from typing import Annotated

import typer

from client.api import REQUEST_TIMEOUT_SECONDS, TasksClient
from client.batch import MAX_BATCH
from client.conduct import conduct, leave, stream
from client.each import CANCEL, RETRY, EachReport, ask_each, failed, named
from client.listing import ListRun, read_list
from client.load import LoadReport, load
from client.options import AsJson, Payload, TaskType, Timeout, Url, parse_seconds, parse_task_id
from client.report import Advance
from client.smoke import CONCURRENCY, SmokeReport, smoke
from client.task import Status
from client.terminal import TaskTable, counting, print_json
from client.work import Work

Concurrency = Annotated[int, typer.Option(min=1, max=100, help="Tasks at a time.")]


def list_command(
    *,
    url: Url,
    status: Annotated[
        Status | None, typer.Option(case_sensitive=False, help="Only tasks of this status.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Tasks at most; else 20.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All tasks, however many.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every task as a JSON object.")] = False,
) -> None:
    """List tasks, the newest first.

    Data of over about half a KB is left out of lists: `get` has it.

    \b
    For example (URL: the stack's output apiUrl):
        python -m client list URL --status FAILED --limit 100
        python -m client list URL --all --json | jq -r 'select(.attempts > 1) | .taskId'
    """
    if every and limit is not None:
        raise typer.BadParameter("give either --limit or --all")
    run = ListRun(url, status and status.value, None if every else limit or 20)
    table = TaskTable()

    async def work(client: TasksClient) -> None:
        with counting("tasks") as count:
            async for tasks in read_list(client, run):
                count(len(tasks))
                if as_json:
                    for task in tasks:
                        print_json(task.fields)
                else:
                    table.show(tasks)

    stream(work, run)
    if run.complete and not as_json:
        if not run.count:
            typer.echo("There are none.", err=True)
        elif run.more:
            typer.echo(f"These are the newest {run.count}. More: --limit or --all.", err=True)
    leave(run)


def retry_command(
    *,
    url: Url,
    task_ids: Annotated[
        list[str] | None,
        typer.Argument(parser=parse_task_id, metavar="TASK_ID", help="The tasks to start anew."),
    ] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="Start every FAILED task anew.")] = False,
    concurrency: Concurrency = CONCURRENCY,
    as_json: AsJson = False,
) -> None:
    """Start failed tasks anew: a new run, with all of its attempts.

    Prints how many were, and which were not and why: a task that has not failed, or that is not there, is
    left alone. Transient errors are tried again and counted; that is safe, a task gets one new run of it.

    \b
    For example (URL: the stack's output apiUrl):
        python -m client retry URL order-17 order-18
        python -m client retry URL --all-failed
    """
    if all_failed == bool(task_ids):
        raise typer.BadParameter("give either task IDs or --all-failed")
    report = EachReport(url, RETRY)

    async def run(tasks: TasksClient, advance: Advance) -> None:
        names = failed(tasks, report) if all_failed else named(task_ids or [], report)
        await ask_each(tasks, names, report, concurrency=concurrency, advance=advance)

    conduct(run, report, as_json=as_json, connections=concurrency)


def cancel_command(
    *,
    url: Url,
    task_ids: Annotated[
        list[str], typer.Argument(parser=parse_task_id, metavar="TASK_ID", help="The tasks to cancel.")
    ],
    concurrency: Concurrency = CONCURRENCY,
    as_json: AsJson = False,
) -> None:
    """Cancel tasks that no worker has, for good.

    Prints how many are cancelled now, those included that were before, and which are not and why: a task that
    runs or has ended, or that is not there, is left alone. Transient errors are tried again and counted.

    \b
    For example (URL: the stack's output apiUrl):
        python -m client cancel URL reminder-17
    """
    report = EachReport(url, CANCEL)

    async def run(tasks: TasksClient, advance: Advance) -> None:
        await ask_each(tasks, named(task_ids, report), report, concurrency=concurrency, advance=advance)

    conduct(run, report, as_json=as_json, connections=concurrency)


def smoke_command(
    *,
    url: Url,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Tasks to submit.")] = 10,
    timeout: Timeout = 60.0,
    interval: Annotated[
        float, typer.Option(parser=parse_seconds, metavar="SECONDS", help="Between two polls of a task.")
    ] = 0.5,
    task_type: TaskType = None,
    payload: Payload = None,
    as_json: AsJson = False,
) -> None:
    """Submit tasks and wait until each is COMPLETED or FAILED.

    Prints counts by status and attempts, and the percentiles of two latencies: of submission, and from
    submission to the poll that saw the task finished. Transient errors are tried again and counted.

    \b
    For example (URL: the stack's output apiUrl):
        python -m client smoke URL --count 100 --timeout 120
    """
    report = SmokeReport(url, count)

    async def run(tasks: TasksClient, advance: Advance) -> None:
        work = Work(task_type, payload)
        await smoke(tasks, work, report, timeout=timeout, interval=interval, advance=advance)

    conduct(run, report, as_json=as_json, connections=CONCURRENCY)


def load_command(
    *,
    url: Url,
    count: Annotated[int, typer.Option(min=1, help="Tasks to submit.")] = 500,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="Requests at a time.")] = 20,
    batch: Annotated[
        int, typer.Option(min=1, max=MAX_BATCH, help="Tasks in a request; 1 sends each by itself.")
    ] = 1,
    request_timeout: Annotated[
        float, typer.Option(parser=parse_seconds, metavar="SECONDS", help="For one request.")
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

    conduct(run, report, as_json=as_json, request_timeout=request_timeout, connections=concurrency)
