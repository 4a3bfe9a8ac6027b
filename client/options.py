"""What the commands' arguments and options mean, each checked before anything is sent."""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer

from client.address import base_url
from client.stack import stack_names

#: What the API takes as a task ID.
TASK_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,128}")

#: The longest time that an option takes, in seconds.
LONGEST_SECONDS = 86_400


def parse_url(text: str) -> str:
    """The URL of an API."""
    try:
        return base_url(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_seconds(text: str) -> float:
    """A time that something may take."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= LONGEST_SECONDS:
        raise typer.BadParameter(f"{text!r} is not a number of seconds above 0 and up to {LONGEST_SECONDS}")
    return value


def parse_delay(text: str) -> float:
    """A number of seconds to wait; how many is the API's to judge."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise typer.BadParameter(f"{text!r} is not a number of seconds from 0")
    return int(value) if value.is_integer() else value


def parse_moment(text: str) -> datetime:
    """A moment with its zone."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        moment.astimezone(UTC)  # which has no place for it at either end of the calendar
    except (ValueError, OverflowError):
        example = "2027-01-31T18:00:00+01:00"
        raise typer.BadParameter(
            f"{text!r:.50} is not a time with its offset, such as {example} or one with Z"
        ) from None
    return moment


def parse_payload(text: str) -> dict[str, Any]:
    """A JSON object: itself, from a file, or from standard input."""
    try:
        value = json.loads(
            _content(text),
            parse_float=_same_float,
            parse_int=_same_integer,
            parse_constant=_no_constant,
            object_pairs_hook=_members,
        )
    except OSError as error:
        raise typer.BadParameter(f"{error.filename}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("it must be a JSON object, such as '{\"n\": 1}'")
    return cast("dict[str, Any]", value)


def _content(text: str) -> str | bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if text.startswith("@"):
        return Path(text[1:]).read_bytes()
    return text


def _same_float(text: str) -> float:
    """A number that is sent as it is written; a double may be written with 17 digits, as many programs do."""
    value = float(text)
    try:
        if Decimal(text) in (Decimal(repr(value)), Decimal(f"{value:.17g}")):
            return value
    except InvalidOperation:
        pass  # its exponent has a score of digits
    raise typer.BadParameter(f"{text:.50} is a number that cannot be sent as it is; write it as a string")


def _same_integer(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)  # no int has that sign


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise typer.BadParameter(f"{name!r:.100} is there more than once")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def parse_task_id(text: str) -> str:
    """A task ID."""
    if not TASK_ID.fullmatch(text):
        raise typer.BadParameter(
            f"{text!r:.150} is no task ID: 1 to 128 of A-Z a-z 0-9 . _ : -, but not . or .."
        )
    return text


Url = Annotated[str, typer.Argument(parser=parse_url, help="Of the API: the stack's output apiUrl.")]
Stack = Annotated[
    str,
    typer.Argument(
        metavar="STACK",
        help="A stack's name, as Pulumi knows it; local is the newest that runs here, local:PORT another.",
        autocompletion=stack_names,
    ),
]
TaskType = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Else the API's default type.")]
Payload = Annotated[
    dict[str, Any] | None,
    typer.Option(
        parser=parse_payload,
        metavar="JSON",
        help="Every task's payload, an object: JSON, @FILE or - for standard input; else a short answer.",
    ),
]
Timeout = Annotated[float, typer.Option(parser=parse_seconds, metavar="SECONDS", help="For the whole run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")]
