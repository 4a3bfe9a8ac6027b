"""A line of a function's log: what it says, who wants it, how a person reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self, cast

import typer

from client.errors import excerpt
from client.fields import required_time
from client.terminal import as_text, local_time


class Level(StrEnum):
    """Levels, the least important first."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


#: How a level looks on a terminal; others look like any text.
LEVEL_COLOURS = {
    "DEBUG": typer.colors.BRIGHT_BLACK,
    "WARNING": typer.colors.YELLOW,
    "ERROR": typer.colors.RED,
    "CRITICAL": typer.colors.RED,
}

#: Levels that Lambda itself, and others, write differently.
_OTHER_NAMES = {"TRACE": "DEBUG", "WARN": "WARNING", "FATAL": "CRITICAL"}

#: Characters of a field's value that a person is shown.
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line.

    Attributes:
        function: who logged it, without the stack's prefix.
        moment: when.
        text: the line itself.
        fields: what it says, if it is a JSON object.
    """

    function: str
    moment: datetime
    text: str
    fields: Mapping[str, object] | None

    @classmethod
    def of(cls, function: str, milliseconds: int, text: str) -> Self:
        """The line that CloudWatch has of a function at a time since 1970, in milliseconds.

        The line's own time, if it bears one, is the better one: that of CloudWatch can be the invocation's end.
        """
        fields: Mapping[str, object] | None = None
        if text.startswith("{"):
            try:
                value: object = json.loads(text)
                fields = cast("dict[str, object]", value) if isinstance(value, dict) else None
            except (ValueError, RecursionError):
                pass
        try:
            moment = required_time(fields or {}, "timestamp")
        except ValueError:
            moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
        return cls(function, moment, text, fields)

    @property
    def level(self) -> str | None:
        """Its level by the usual name; None where it has none, as metrics and what is no JSON have."""
        level = (self.fields or {}).get("level")
        return _OTHER_NAMES.get(level, level) if isinstance(level, str) else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are wanted; what is None says nothing.

    Attributes:
        level: the least important level. What is no JSON has none, and is wanted: it may be a crash.
        task_id: of what caused it.
        correlation_id: of what caused it.
    """

    level: Level | None = None
    task_id: str | None = None
    correlation_id: str | None = None

    def wants(self, line: LogLine) -> bool:
        """Whether a line is one of them."""
        fields = line.fields or {}
        for name, value in self.fields().items():
            if fields.get(name) != value:
                return False
        if self.level is None or line.fields is None:
            return True
        levels = list(Level)
        return line.level in levels[levels.index(self.level) :]

    def fields(self) -> dict[str, str]:
        """The fields that a line must have."""
        given = {"taskId": self.task_id, "correlationId": self.correlation_id}
        return {name: value for name, value in given.items() if value is not None}


def for_script(line: LogLine) -> str:
    """A line as JSON on one line: as it was logged; what was no JSON object, as one with time, function and message."""
    text = line.text.strip()
    if line.fields is None:
        told = {
            "timestamp": line.moment.isoformat(timespec="milliseconds"),
            "function": line.function,
            "message": text,
        }
        return json.dumps(told, ensure_ascii=False)
    return json.dumps(line.fields, ensure_ascii=False) if "\n" in text else text


def readable(line: LogLine, width: int) -> str:
    """A line for a person, coloured: time, function (in so many characters), level, message, the other fields."""
    head = f"{local_time(line.moment)}  {line.function:<{width}}"
    if line.fields is None:
        return f"{head}  {'':<8}  {_printable(line.text)}"
    if "_aws" in line.fields:
        level, message = "METRICS", ""
    else:
        level, message = line.level or "", excerpt(str(line.fields.get("message", "")))
    styled = typer.style(f"{excerpt(level):<8}", fg=LEVEL_COLOURS.get(level))
    told = {"level", "message", "timestamp", "service", "_aws"}
    rest = [f"{excerpt(name)}={_value(value)}" for name, value in line.fields.items() if name not in told]
    return "  ".join(part for part in (head, styled, message, " ".join(rest)) if part)


def _value(value: object) -> str:
    lines = value.strip().splitlines() if isinstance(value, str) else []
    if len(lines) > 1:
        value = f"... {lines[-1]}"  # of a traceback, what was raised
    plain = isinstance(value, str) and value and value.isprintable() and not set(value) & set(' "=')
    text = cast("str", value) if plain else as_text(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
