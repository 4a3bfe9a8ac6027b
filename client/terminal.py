"""What a person sees: progress on stderr; reports, tasks and updates on stdout, and JSON for scripts."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from client.errors import excerpt
from client.live import Connected, Disconnected, Event, Missing
from client.report import Advance, Outcome, Report
from client.task import PastAttempt, Task
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


@contextmanager
def counting(what: str) -> Generator[Callable[[int], None]]:
    """How much was read so far, on stderr; nothing where that is not a terminal, or where stdout is one as well."""
    columns = (TextColumn("{task.completed:,.0f} {task.description}"), TimeElapsedColumn())
    hidden = not sys.stderr.isatty() or sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=hidden, transient=True) as display:
        shown = display.add_task(what, total=None)
        yield lambda number: display.update(shown, advance=number)


@contextmanager
def waiting(text: str) -> Generator[None]:
    """Something that moves while nothing is to be seen, on stderr; nothing where that is not a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(text):
        yield


def print_json(value: object) -> None:
    """Print a value for a script to read, as one line."""
    typer.echo(json.dumps(value, ensure_ascii=False))


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
    attempts = f"{update.attempts} attempt{'' if update.attempts == 1 else 's'}"
    error = excerpt(update.error_message or "")
    head = f"{local_time(update.updated_at)}  {excerpt(update.task_id):<36}  {excerpt(update.type):<10}"
    line = f"{head}  {status_text(update.status)}  {attempts:<10}  {error}"
    typer.echo(line.rstrip())


def show_accepted(task: Task) -> None:
    """Print that a task is there, in one line."""
    start = f", to start at {local_time(task.run_at)}" if task.run_at and not task.finished else ""
    typer.echo(f"Task {excerpt(task.task_id)} is {status_text(task.status, width=0)}{start}.")


def show_result(task: Task) -> None:
    """Print what the function of a task returned, if it ended and returned anything."""
    if task.result is not None:
        typer.echo(f"result  {as_text(task.result)}")


def show_task(task: Task) -> None:
    """Print all that is known of a task, one line for each thing."""
    for name, text in _rows(task):
        typer.echo(f"{name:<10}{text}")


def _rows(task: Task) -> Iterator[tuple[str, str]]:
    yield "task", excerpt(task.task_id)
    yield "type", excerpt(task.type)
    yield "status", status_text(task.status, width=0)
    yield "attempts", str(task.attempts)
    yield "run", str(task.run)
    yield "created", local_time(task.created_at)
    yield "updated", local_time(task.updated_at)
    if task.run_at is not None:
        yield "run at", local_time(task.run_at)
    if task.answer is not None:
        yield "answer", as_text(task.answer)
    if task.payload is not None:
        yield "payload", as_text(task.payload)
    if task.result is not None:
        yield "result", as_text(task.result)
    if task.error_message is not None:
        yield "error", excerpt(task.error_message)
    for number, attempt in enumerate(task.history):
        yield "" if number else "history", _attempt(attempt)


def _attempt(attempt: PastAttempt) -> str:
    seconds = "its worker died" if attempt.duration_seconds is None else f"{attempt.duration_seconds:.3f} s"
    error = excerpt(attempt.error_message) if attempt.error_message else "succeeded"
    return (
        f"{local_time(attempt.started_at)}  run {attempt.run}, attempt {attempt.attempt}  {seconds}  {error}"
    )


class TaskTable:
    """Tasks as a table that grows: a line for each, as wide as the first ones need, cut at a terminal's edge."""

    def __init__(self) -> None:
        self._widths: Sequence[int] = ()

    def show(self, tasks: Iterable[Task]) -> None:
        """Print further lines, and a heading above the first."""
        rows = [_columns(task) for task in tasks]
        if not rows:
            return
        if not self._widths:
            heading = ("CREATED", "TASK", "TYPE", "STATUS", "ATTEMPTS", "NOTE")
            self._widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)][:-1]
            typer.secho(self._line(heading), bold=True)
        for row in rows:
            typer.echo(self._line(row))

    def _line(self, row: Sequence[str]) -> str:
        cells = [f"{text:<{width}}" for text, width in zip(row, self._widths, strict=False)]
        note = row[-1]
        if sys.stdout.isatty():
            note = _cut(note, shutil.get_terminal_size().columns - sum(len(cell) + 2 for cell in cells))
        cells[3] = _coloured(row[3], cells[3])
        return "  ".join([*cells, note]).rstrip()


def _columns(task: Task) -> Sequence[str]:
    created = local_time(task.created_at, "seconds")
    attempts = str(task.attempts) if task.run == 1 else f"{task.attempts}, run {task.run}"
    starts = f"to start at {local_time(task.run_at, 'seconds')}" if task.run_at and not task.attempts else ""
    note = excerpt(task.error_message) if task.error_message else "" if task.finished else starts
    return (created, excerpt(task.task_id), excerpt(task.type), excerpt(task.status), attempts, note)


def _cut(text: str, columns: int) -> str:
    return text if cell_len(text) <= columns else set_cell_size(text, max(columns - 1, 0)) + "…"


def show_facts(facts: Mapping[str, str]) -> None:
    """Print things with their names, one a line and the names in a column of their own."""
    width = max(map(len, facts), default=0)
    for name, text in facts.items():
        typer.echo(f"  {name:<{width}}  {text}")


def local_time(moment: datetime, precision: str = "milliseconds") -> str:
    """A moment where this machine is."""
    return moment.astimezone().replace(tzinfo=None).isoformat(sep=" ", timespec=precision)


def status_text(status: str, width: int = 10) -> str:
    """A status in its colour."""
    text = excerpt(status)
    return _coloured(text, f"{text:<{width}}")


def _coloured(status: str, text: str) -> str:
    return typer.style(text, fg=STATUS_COLOURS[status]) if status in STATUS_COLOURS else text


def as_text(value: object) -> str:
    """JSON from elsewhere on one line, whole, without anything that a terminal would obey."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


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
