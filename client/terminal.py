"""What a person sees: progress on stderr, the report or the updates on stdout."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from client.errors import excerpt
from client.live import Connected, Disconnected, Event, Missing
from client.report import Advance, Outcome, Report
from client.update import Update

#: How a status looks on a terminal; others look like any text.
STATUS_COLOURS = {
    "PROCESSING": typer.colors.CYAN,
    "RETRYING": typer.colors.YELLOW,
    "COMPLETED": typer.colors.GREEN,
    "FAILED": typer.colors.RED,
    "CANCELLED": typer.colors.MAGENTA,
}


@contextmanager
def progress(report: Report) -> Generator[Advance]:
    """The progress bars of a run, on stderr; nothing where that is not a terminal."""
    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    # isatty and not the console's own judgement: FORCE_COLOR asks for colour, not for a moving display.
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as display:
        ids = {name: display.add_task(name, total=steps) for name, steps in report.bars.items()}
        # How many steps there are may have become known meanwhile.
        yield lambda name: display.update(ids[name], advance=1, total=report.bars[name])


def show(report: Report) -> None:
    """Print a report for a person to read."""
    colour = typer.colors.GREEN if report.outcome is Outcome.OK else typer.colors.YELLOW
    typer.secho(report.headline, fg=colour)
    for name, text in report.facts.items():
        if text:
            typer.echo(f"  {name:<14}{text}")
    measured = {name: latencies for name, latencies in report.latencies.items() if latencies is not None}
    if measured:
        typer.echo(f"  {'seconds':<14}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}")
    for name, value in measured.items():
        typer.echo(f"  {name:<14}{value.p50:9.3f}{value.p90:9.3f}{value.p99:9.3f}{value.max:9.3f}")


def show_update(update: Update) -> None:
    """Print where a task stands as one line."""
    time = update.updated_at.astimezone().isoformat(sep=" ", timespec="milliseconds")[:23]
    status = f"{excerpt(update.status):<10}"
    if update.status in STATUS_COLOURS:
        status = typer.style(status, fg=STATUS_COLOURS[update.status])
    attempts = f"{update.attempts} attempt{'' if update.attempts == 1 else 's'}"
    error = excerpt(update.error_message or "")
    line = f"{time}  {excerpt(update.task_id):<36}  {excerpt(update.type):<10}  {status}  {attempts:<10}  {error}"
    typer.echo(line.rstrip())


def show_event(event: Event) -> None:
    """Tell on stderr of a task that is not there, and of the connection where that is a terminal."""
    match event:
        case Missing(task_id):
            typer.echo(f"There is no task {excerpt(task_id)} yet: waiting for it.", err=True)
        case Connected() if sys.stderr.isatty():
            typer.secho("connected", fg=typer.colors.BRIGHT_BLACK, err=True)
        case Disconnected(error, seconds) if sys.stderr.isatty():
            text = f"no connection ({error.kind}: {excerpt(str(error))}), reconnecting in {seconds:.1f} s..."
            typer.secho(text, fg=typer.colors.YELLOW, err=True)
        case _:
            pass


@contextmanager
def reader_of_stdout() -> Generator[None]:
    """Around what goes on without an end: ends it, by BrokenPipeError, when the reader of a pipe has left.

    A write would tell as well, but the next one may be hours away. To be used in a running event loop.
    """
    pipe = _pipe_at_stdout()
    if pipe is None:
        yield
        return
    loop, task, left = asyncio.get_running_loop(), asyncio.current_task(), False
    assert task is not None, "outside of a task"

    def leave() -> None:
        nonlocal left
        left = True
        loop.remove_reader(pipe)
        task.cancel()

    loop.add_reader(pipe, leave)  # a pipe has nothing to read at this end: only its error wakes it
    try:
        yield
    except asyncio.CancelledError:
        if left:
            raise BrokenPipeError from None
        raise
    finally:
        loop.remove_reader(pipe)


def _pipe_at_stdout() -> int | None:
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return None
    return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None


def discard_stdout() -> None:
    """Let what is still buffered go nowhere: nobody reads it, and Python would complain at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
