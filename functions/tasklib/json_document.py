"""Reads JSON text so that nothing of it is changed without a word.

`json.loads` rounds numbers and keeps the last of several fields of one name. RFC 8259 leaves both to the receiver; for
a client they are losses that it does not hear of. Here such a value is read as an `Unkept`, and `faults` names its
place.
"""

import json
import math
import sys
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast

from tasklib.payload import FieldError, field_name, shown

#: The longest place that is named, in characters; for what is further inside, the last one that is short enough.
_MAX_PLACE: Final = 200

#: In place of a fault that is not told.
_UNTOLD: Final = FieldError("body", "has one more error")


class NotJsonError(Exception):
    """The text is not JSON in UTF-8; the message says why."""


class Document(NamedTuple):
    """What a JSON text says. Without `is_kept`, at least one value in it is an `Unkept`."""

    value: Any
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Unkept:
    """Stands for a value that cannot be kept: for a number, or for an object with the names that it has more than
    once and its members.
    """

    message: str
    names: tuple[str, ...] = ()
    members: dict[str, Any] | None = None


#: What can be unkept, or hold something that is.
_INNER: Final = (dict, list, Unkept)

# One of each for all numbers: a body has room for half a million.
_ROUNDED: Final = Unkept("is a number that would be stored as another one; send it as a string")
_TOO_LONG: Final = Unkept(
    f"is a number of more than {sys.get_int_max_str_digits()} digits; send it as a string"
)


def read(text: bytes) -> Document:
    """Reads a JSON text. Raises NotJsonError."""
    # No JSON text has a null byte; one in UTF-16 or UTF-32 has one among its first four, or a mark that is not UTF-8.
    if b"\0" in text[:4]:
        raise NotJsonError("it is not UTF-8")
    values = _Values()
    decoder = json.JSONDecoder(
        parse_float=values.float_of,
        parse_int=values.int_of,
        parse_constant=values.refuse,
        object_pairs_hook=values.object_of,
    )
    try:
        # With or without a byte order mark, which RFC 8259 lets a receiver ignore.
        value = decoder.decode(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        # The words of Python about this one and the next would tell a client nothing that it can use.
        raise NotJsonError("it is not UTF-8") from None
    except RecursionError:
        raise NotJsonError("it nests too deep") from None
    except json.JSONDecodeError as error:
        raise NotJsonError(shown(str(error))) from None  # the decoder's own words name the place
    return Document(value, values.are_kept)


def faults(value: Any, whole: str, *, deepest: int, most: int) -> list[FieldError]:
    """What is unkept in a value, down to so many levels inside it. `whole` is what the value itself is called.

    All are counted, and at most so many have a place and a message of their own.
    """
    found: list[FieldError] = []

    def collect(value: Any, at: str, deepest: int) -> None:
        if isinstance(value, Unkept):
            for place in [_place(at, name) for name in value.names] or [at]:
                told = len(found) < most
                found.append(FieldError(place or whole, value.message) if told else _UNTOLD)
            value = value.members
        if deepest == 0:
            return
        if isinstance(value, dict):
            for name, member in cast("dict[str, Any]", value).items():
                if isinstance(member, _INNER):
                    collect(member, _place(at, name), deepest - 1)
        elif isinstance(value, list):
            for number, item in enumerate(cast("list[Any]", value)):
                if isinstance(item, _INNER):
                    collect(item, _short(f"{at}[{number}]", at), deepest - 1)

    collect(value, "", deepest)
    return found


def _place(at: str, name: str) -> str:
    return _short(f"{at}.{field_name(name)}" if at else field_name(name), at)


def _short(place: str, around: str) -> str:
    return place if len(place) <= _MAX_PLACE else around


class _Values:
    """Makes the values of one text."""

    def __init__(self) -> None:
        self.are_kept = True

    def float_of(self, text: str) -> float | int | Unkept:
        value = float(text)
        if _is_kept(value, text):
            return value
        if value and math.isfinite(value) and (exact := Decimal(text)) == int(exact):
            return int(exact)  # whole, and too long for a double
        return self._unkept(_ROUNDED)

    def int_of(self, text: str) -> int | float | Unkept:
        if text == "-0":
            return -0.0  # no int has that sign
        try:
            return int(text)
        except ValueError:
            return self._unkept(_TOO_LONG)

    def object_of(self, members: list[tuple[str, Any]]) -> dict[str, Any] | Unkept:
        value = dict(members)
        if len(value) == len(members):
            return value
        times = Counter(name for name, _ in members)
        repeated = tuple(name for name, count in times.items() if count > 1)
        return self._unkept(Unkept("is there more than once", repeated, value))

    def refuse(self, name: str) -> None:
        raise NotJsonError(f"{name} is no JSON value")

    def _unkept(self, stand_in: Unkept) -> Unkept:
        self.are_kept = False
        return stand_in


def _is_kept(value: float, text: str) -> bool:
    """Whether a double says what the text says, in one of the two ways in which programs write doubles: in as few
    digits as tell it from its neighbours, or in 17. In the second way, two whole numbers can be the same double.
    """
    if len(text) <= 16 and "e" not in text and "E" not in text:
        return True  # a double holds 15 digits, and the 16th character is the point
    if not math.isfinite(value):
        return False
    if value == 0:
        return not text.lower().partition("e")[0].strip("-0.")
    shortest = repr(value)
    if shortest == text or Decimal(text) == Decimal(shortest):
        return True
    return not value.is_integer() and Decimal(text) == Decimal(f"{value:.17g}")
