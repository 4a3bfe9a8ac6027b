"""The fields of JSON that came from elsewhere, each of the type that it must have.

Every function raises ValueError, with the field's name, for what does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import TypeVar, cast

FieldT = TypeVar("FieldT")


def fields_of(value: object) -> Mapping[str, object]:
    """The fields of an object."""
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return cast("dict[str, object]", value)


def required(fields: Mapping[str, object], name: str, kind: type[FieldT]) -> FieldT:
    """The value of a field that must be there and not null."""
    value = optional(fields, name, kind)
    if value is None:
        raise ValueError(f"no {name}")
    return value


def required_object(fields: Mapping[str, object], name: str) -> Mapping[str, object]:
    """An object that must be there, whatever its fields are."""
    return cast("dict[str, object]", required(fields, name, dict))


def required_list(fields: Mapping[str, object], name: str) -> list[object]:
    """A list that must be there, whatever its items are."""
    return cast("list[object]", required(fields, name, list))


def optional(fields: Mapping[str, object], name: str, kind: type[FieldT]) -> FieldT | None:
    """The value of a field that may be missing or null: None then."""
    value = fields.get(name)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{name} is not of type {kind.__name__}")


def required_time(fields: Mapping[str, object], name: str) -> datetime:
    """The moment in a field that must be there, in UTC.

    One without a zone is none, and could not be compared with the others; nor could every zone show one at
    either end of the calendar.
    """
    text = required(fields, name, str)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name} is not a time: {text!r:.50}") from None
    if moment.tzinfo is None or not MINYEAR < moment.year < MAXYEAR:
        raise ValueError(f"{name} is not a moment of any zone: {text!r:.50}")
    return moment.astimezone(UTC)


def optional_time(fields: Mapping[str, object], name: str) -> datetime | None:
    """The moment, in UTC, in a field that may be missing or null: None then."""
    return None if fields.get(name) is None else required_time(fields, name)
