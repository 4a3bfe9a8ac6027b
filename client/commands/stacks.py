"""Commands on a stack: info, logs."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, NoReturn

import typer

from client.aws import AwsError, Fault
from client.conduct import INTERRUPTED, connect, until_unread
from client.health import ANSWER_SECONDS, Check, Condition, examine
from client.log_line import Level, LogLine, Wanted, for_script, readable
from client.logs import LogFollower, functions
from client.options import Stack as StackName
from client.options import parse_moment, parse_task_id, parse_url
from client.stack import Stack, StackError, find
from client.terminal import as_text, print_json, show_facts, waiting

#: Seconds between two readings of logs. AWS allows an account a few readings in a second.
PAUSE_SECONDS = 2.0
LOCAL_PAUSE_SECONDS = 0.5

_CONDITION_COLOURS = {
    Condition.OK: typer.colors.GREEN,
    Condition.FAILED: typer.colors.RED,
    Condition.UNCHECKED: typer.colors.YELLOW,
}

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def info_command(
    *,
    stack: StackName,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as one JSON object.")] = False,
) -> None:
    """Show a stack's outputs, and whether it is well.

    STACK may also be the API's URL: then the outputs, and with them the queues, are not known. Asks the API for
    a task, live updates for the answer to a ping, and, if your AWS credentials allow, the queues for how much is
    in them. Of a deployed stack the outputs come from the Pulumi CLI.

    \b
    For example:
        python -m client info local
        python -m client info prod --json | jq -r .outputs.apiUrl
    """
    known = Stack(stack, {"apiUrl": parse_url(stack)}) if "://" in stack else _find(stack)
    url = known.output("apiUrl")
    if url is None:
        _fail(f"the stack {known.name} has no output apiUrl")
    client = connect(url, timeout=ANSWER_SECONDS)

    async def main() -> list[Check]:
        async with client:
            return await examine(client, known)

    try:
        with waiting("asking each part"):
            checks = asyncio.run(main())
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        health = [check.as_json() for check in checks]
        print_json({"stack": known.name, "outputs": dict(known.outputs), "health": health})
    else:
        _show(known, checks)
    raise typer.Exit(int(any(check.condition is Condition.FAILED for check in checks)))


def _show(stack: Stack, checks: list[Check]) -> None:
    typer.secho(f"outputs of {stack.name}", bold=True)
    show_facts({name: v if isinstance(v, str) else as_text(v) for name, v in stack.outputs.items()})
    typer.secho("health", bold=True)
    facts: dict[str, str] = {}
    for check in checks:
        condition = typer.style(f"{check.condition:<9}", fg=_CONDITION_COLOURS[check.condition])
        seconds = "" if check.seconds is None else f"{1000 * check.seconds:.0f} ms"
        facts[check.part] = f"{condition}  {seconds:>8}  {check.detail}".rstrip()
    show_facts(facts)


def _since(text: str) -> datetime:
    duration = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if duration is None:
        return parse_moment(text)
    try:
        return datetime.now(UTC) - timedelta(**{_UNITS[duration[2]]: int(duration[1])})
    except OverflowError:
        raise typer.BadParameter(f"{text} is further back than the calendar") from None


def logs_command(
    *,
    stack: StackName,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="FUNCTION", help="Functions, such as process-tasks; else all of them."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=_since, metavar="TIME", help="Begin 90s, 10m, 2h or 7d ago, or at a time; else 10m ago."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on with what comes, until Ctrl-C.")
    ] = True,
    level: Annotated[
        Level | None, typer.Option(case_sensitive=False, help="Only what is at least as important.")
    ] = None,
    task_id: Annotated[
        str | None, typer.Option(parser=parse_task_id, metavar="ID", help="Only what this task caused.")
    ] = None,
    correlation_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what this request caused.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each line as a JSON object.")] = False,
) -> None:
    """Follow the logs of a stack's functions, one line each.

    Shows time, function, level, message and the other fields. Lines that are not JSON have no level, and are not
    left out for it; --json makes objects of them, and prints the others as they were logged. Of a deployed stack it
    takes the Pulumi CLI and AWS credentials that may read its logs.

    \b
    For example:
        python -m client logs local --task-id order-17
        python -m client logs prod process-tasks --since 2h --level WARNING --no-follow
        python -m client logs dev --json | jq --unbuffered 'select(.eventType == "DLQ_MESSAGE")'
    """
    known = _find(stack)
    wanted = Wanted(level, task_id, correlation_id)
    pause = PAUSE_SECONDS if known.endpoint_url is None else LOCAL_PAUSE_SECONDS

    async def main() -> None:
        with waiting("reading"):
            until = None if follow else datetime.now(UTC)  # or what comes meanwhile would be followed
            follower, width = await asyncio.to_thread(_follower, known, names or [], wanted, since, until)
            lines = await asyncio.to_thread(follower.read)
        while lines or follow:
            for line in lines:
                _print(line, width, as_json=as_json)
            if follow:
                await asyncio.sleep(pause)
            lines = await asyncio.to_thread(follower.read)

    try:
        until_unread(main)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except StackError as error:
        _fail(str(error))
    except AwsError as error:
        code = {Fault.SETTINGS: 2, Fault.UNREACHED: 3}.get(error.fault, 4)
        _fail(f"the logs cannot be read: {error}", code)


def _follower(
    stack: Stack, names: list[str], wanted: Wanted, since: datetime | None, until: datetime | None
) -> tuple[LogFollower, int]:
    """A follower, and how many characters the longest name of its functions has."""
    groups = functions(stack)
    unknown = [name for name in names if name not in groups]
    if unknown:
        raise StackError(f"{', '.join(unknown)}: no such function; there are {', '.join(groups)}")
    chosen = {name: groups[name] for name in names or groups}
    since = since or datetime.now(UTC) - timedelta(minutes=10)
    return LogFollower(stack, chosen, wanted, since, until), max(map(len, chosen))


def _print(line: LogLine, width: int, *, as_json: bool) -> None:
    typer.echo(for_script(line) if as_json else readable(line, width))


def _find(name: str) -> Stack:
    try:
        return find(name)
    except StackError as error:
        _fail(str(error))


def _fail(text: str, code: int = 2) -> NoReturn:
    typer.echo(f"Error: {text}", err=True)
    raise typer.Exit(code)
