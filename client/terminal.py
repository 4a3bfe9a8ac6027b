"""What a person sees: progress on stderr, the report on stdout."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from client.report import Advance, Outcome, Report


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
