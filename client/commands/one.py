"""Commands on a task, or on a few that are named: submit, get, watch."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from client.api import TasksClient
from client.conduct import leave, stream
from client.live import MAX_WATCHED
from client.options import (
    TaskType,
    Url,
    parse_delay,
    parse_moment,
    parse_payload,
    parse_seconds,
    parse_task_id,
)
from client.reading import GetRun, read_each
from client.report import first
from client.submit import SubmitRun, submit
from client.task import Submission
from client.terminal import (
    TaskTable,
    print_json,
    show_accepted,
    show_event,
    show_result,
    show_task,
    show_update,
)
from client.update import Update
from client.watch import WatchRun, watch


def submit_command(
    *,
    url: Url,
    answer: Annotated[str | None, typer.Option(metavar="TEXT", help="The task's data as a string.")] = None,
    payload: Annotated[
        dict[str, Any] | None,
        typer.Option(
            parser=parse_payload,
            metavar="JSON",
            help="The task's data as an object: JSON, @FILE or - for standard input.",
        ),
    ] = None,
    task_type: TaskType = None,
    task_id: Annotated[
        str | None, typer.Option(parser=parse_task_id, metavar="ID", help="Else one is made.")
    ] = None,
    delay: Annotated[
        float | None,
        typer.Option(parser=parse_delay, metavar="SECONDS", help="Start it so much later, up to a year."),
    ] = None,
    run_at: Annotated[
        datetime | None,
        typer.Option(
            parser=parse_moment, metavar="TIME", help="Start it then: 2027-01-31T18:00:00+01:00, or with Z."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(parser=parse_seconds, metavar="SECONDS", help="For --wait; else there is no end."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the task as one JSON object.")] = False,
) -> None:
    """Submit a task.

    The same ID with the same data is the same task, however often it is sent; so transient errors are tried again.
    With --wait, shows every change of the task and its result.

    \b
    For example (URL: the stack's output apiUrl):
        python -m client submit URL --answer 42
        python -m client submit URL --type invoice --payload @invoice.json --wait && echo sent
        python -m client submit URL --task-id reminder-17 --answer 'call back' --delay 3600
    """
    if (answer is None) == (payload is None):
        raise typer.BadParameter("give either --answer or --payload")
    if delay is not None and run_at is not None:
        raise typer.BadParameter("give either --delay or --run-at")
    if timeout is not None and not wait:
        raise typer.BadParameter("--timeout is for --wait")
    submission = Submission(
        task_id=task_id,
        task_type=task_type,
        answer=answer,
        payload=payload,
        delay_seconds=delay,
        run_at=run_at,
    )
    run = SubmitRun(url, submission, wait=wait)

    def tell(update: Update) -> None:
        if not as_json:
            show_update(update)

    async def work(client: TasksClient) -> None:
        await submit(client, run, timeout=timeout, tell=tell, notify=show_event)

    stream(work, run)
    if run.task is not None:
        if as_json:
            print_json(run.task.fields)
        elif not wait:
            show_accepted(run.task)
        else:
            show_result(run.task)
        if run.error is None and not run.interrupted and wait and not run.task.finished:
            typer.echo(f"Not finished within {timeout:g} s: {run.task.task_id}", err=True)
    leave(run)


def get_command(
    *,
    url: Url,
    task_ids: Annotated[
        list[str], typer.Argument(parser=parse_task_id, metavar="TASK_ID", help="The tasks.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print every task as a JSON object.")] = False,
) -> None:
    """Show where tasks stand: one with all that is known of it, several as a table.

    \b
    For example (URL: the stack's output apiUrl):
        python -m client get URL order-17
        python -m client get URL order-17 order-18 --json | jq .result
    """
    run = GetRun(url, task_ids)

    async def work(client: TasksClient) -> None:
        await read_each(client, run)

    stream(work, run)
    if as_json:
        for task in run.tasks:
            print_json(task.fields)
    elif len(run.task_ids) == 1:
        for task in run.tasks:
            show_task(task)
    else:
        TaskTable().show(run.tasks)
    for name in run.missing:
        typer.echo(f"There is no task {name}.", err=True)
    leave(run)


def watch_command(
    *,
    url: Url,
    task_ids: Annotated[
        list[str] | None,
        typer.Argument(
            parser=parse_task_id, metavar="TASK_ID", help="The tasks, up to 100; else all of them."
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(parser=parse_seconds, metavar="SECONDS", help="For the whole run; else no end."),
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

    def tell(update: Update) -> None:
        if as_json:
            print_json(update.as_json())
        else:
            show_update(update)

    async def work(client: TasksClient) -> None:
        await watch(client, run, timeout=timeout, tell=tell, notify=show_event)

    stream(work, run)
    if run.error is None and not run.interrupted and run.unfinished:
        typer.echo(f"Not finished within {timeout:g} s: {first(run.unfinished)}", err=True)
    leave(run)
