"""Typed payloads: one frozen dataclass validates a payload, is what the task's function gets, and gives its schema.

    @dataclass(frozen=True)
    class Resize:
        url: Annotated[str, Limits(1, 2048), "Where the picture is."]
        widths: Annotated[list[Annotated[int, Limits(1, 4000)]], Limits(1, 10), "Widths in pixels."]
        file_format: Literal["png", "webp"] = "webp"

A field is a `str`, `int`, `float`, `bool`, `Literal`, `list[T]`, `dict[str, T]`, `Any`, another such dataclass, or one
of them `| None`. `Annotated` adds `Limits` and a line that describes it. Clients write its name in camelCase; a field
with a default may be left out. Numbers are finite, and whole ones exact in every JSON parser; 1.0 is the whole number
1, as in JSON Schema; a boolean is no number. What types cannot say, a method `check` may: it yields the wire name of a
field and what is wrong with it, and is asked when all fields are good by themselves. A ValueError of the dataclass
itself (`__post_init__`) says what is wrong with the whole.

Standard library only: apischema and marshmallow add about 87 ms each to a cold start.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

#: The largest whole number that every JSON parser reads exactly.
MAX_INTEGER: Final = 2**53 - 1

_HALF_PAIR: Final = "holds half of a surrogate pair, which is no character"


class FieldError(NamedTuple):
    """One thing that is wrong, and where."""

    field: str
    message: str


class Limits(NamedTuple):
    """Bounds, both included: of a number, of a string's characters, of the items of an array or an object.

    A string matches `pattern` as a whole, in what regular expressions of Python and JavaScript have in common; `words`
    say in messages what that makes of it ("a host name").
    """

    least: float | None = None
    most: float | None = None
    pattern: str | None = None
    words: str = ""

    def hold(self, size: float) -> bool:
        """Whether a number or a size is within the bounds."""
        too_little = self.least is not None and size < self.least
        return not too_little and (self.most is None or size <= self.most)

    def span(self, unit: str = "") -> str:
        """The bounds in words, to be put behind a noun."""
        least, most = (None if bound is None else f"{bound:.15g}{unit}" for bound in (self.least, self.most))
        if least is None or most is None:
            return f" of at most {most}" if most else f" of at least {least}" if least else ""
        return f" {'of' if unit else 'from'} {self.least:.15g} to {most}"

    def schema(self, least: str, most: str) -> dict[str, Any]:
        """The bounds under these keywords of JSON Schema."""
        stated = {least: self.least, most: self.most}
        return {keyword: bound for keyword, bound in stated.items() if bound is not None}


#: Reads the value at a place; what it returns means nothing when it added to the problems.
_Read = Callable[[Any, str, list[FieldError]], Any]


class _Kind(NamedTuple):
    """A type of value: its name in messages, its JSON Schema, what reads it and, of text, its limits."""

    wanted: str
    schema: dict[str, Any]
    read: _Read
    text_limits: Limits | None = None


class Model:
    """A payload's type, made from its dataclass. Raises TypeError for a field of a type that no payload can have, for
    a default that does not fit its field, for two fields of one name, and for a dataclass that holds itself."""

    def __init__(self, cls: type[Any]) -> None:
        try:
            self._kind = _record(cls)
        except RecursionError:
            raise TypeError(f"{cls.__name__} holds itself, which no payload can") from None
        #: The fields as clients write them.
        self.fields: tuple[str, ...] = tuple(self._kind.schema["properties"])

    def without_names(self, problems: Sequence[FieldError], at: str = "payload") -> str:
        """The problems of `parse` in words for a log, without the names that only a client knows."""
        own = {f"{at}.{name}" for name in self.fields}
        told: dict[str, None] = {}
        for place, message in problems:
            field = ".".join(re.split(r"[.[]", place)[:2])
            if place == field and (field in own or "." not in field):
                told[f"{place} {message}"] = None
            elif field in own:
                told[f"{field} holds what does not fit"] = None
            else:
                told[f"{at} has a field that it must not have"] = None
        return "; ".join(told)

    def parse(self, value: Any, at: str = "payload") -> tuple[Any, list[FieldError]]:
        """An instance of the dataclass and no problems, or None and all problems. `at` is where the value stands."""
        problems: list[FieldError] = []
        instance = self._kind.read(value, at, problems)
        return (None if problems else instance), problems

    def schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12, as in OpenAPI 3.1), a new one each time."""
        return deepcopy(self._kind.schema)


def _kind_of(hint: Any, limits: Limits | None = None) -> _Kind:
    """The kind of what a type hint allows; `limits` come from around it."""
    arguments, bounds = get_args(hint), limits or Limits()
    match get_origin(hint) or hint:
        case kind if kind is Annotated:
            own = [note for note in arguments[1:] if isinstance(note, Limits)]
            return _kind_of(arguments[0], own[0] if own else limits)
        case kind if kind is str:
            return _text(bounds)
        case kind if kind in (int, float):
            return _number(bounds, is_whole=kind is int)
        case kind if kind is bool:
            return _checked("true or false", {"type": "boolean"}, lambda value: isinstance(value, bool))
        case kind if kind is Any:
            return _Kind("any JSON value", {}, _read_anything)
        case kind if kind is Literal:
            # True is equal to 1 and must not pass for it.
            allowed = [(value.__class__, value) for value in arguments]
            return _checked(
                f"one of {', '.join(map(str, arguments))}",
                {"enum": [*arguments]},
                lambda value: (type(value), value) in allowed,
            )
        case kind if kind is list and arguments:
            return _array(bounds, _kind_of(arguments[0]))
        case kind if kind is dict and arguments and (key := _kind_of(arguments[0])).text_limits is not None:
            return _map(bounds, key, _kind_of(arguments[1]))
        case kind if kind in (Union, UnionType) and len(arguments) == 2 and NoneType in arguments:
            (other,) = (argument for argument in arguments if argument is not NoneType)
            return _nullable(_kind_of(other, limits))
        case kind if is_dataclass(kind):
            return _record(cast("type[Any]", kind))
        case _:
            raise TypeError(f"{hint} is no type that a payload can have")


def _checked(wanted: str, schema: dict[str, Any], is_good: Callable[[Any], bool]) -> _Kind:
    """A kind whose values are good as they are, or not at all."""

    def read(value: Any, at: str, problems: list[FieldError]) -> Any:
        if not is_good(value):
            problems.append(_wrong(value, at, wanted))
        return value

    return _Kind(wanted, schema, read)


def _text(limits: Limits) -> _Kind:
    pattern = None if limits.pattern is None else re.compile(limits.pattern)
    words = limits.words or (f"a string like {limits.pattern}" if pattern else "a string")
    wanted = words + limits.span(" characters")

    def read(value: Any, at: str, problems: list[FieldError]) -> Any:
        if not isinstance(value, str):
            problems.append(_wrong(value, at, wanted))
        elif not limits.hold(len(value)):
            problems.append(FieldError(at, f"is {len(value)} characters long; it must be {wanted}"))
        elif not value.isascii() and _has_half_pair(value):
            problems.append(FieldError(at, _HALF_PAIR))
        elif pattern and not pattern.fullmatch(value):
            problems.append(_wrong(value, at, wanted))
        return value

    schema = {"type": "string"} | limits.schema("minLength", "maxLength")
    return _Kind(wanted, schema | ({"pattern": f"^(?:{limits.pattern})$"} if pattern else {}), read, limits)


def _number(limits: Limits, *, is_whole: bool) -> _Kind:
    wanted = f"a {'whole ' if is_whole else ''}number{limits.span()}"
    if is_whole:
        least, most = limits.least, limits.most
        limits = Limits(-MAX_INTEGER if least is None else least, MAX_INTEGER if most is None else most)

    def read(value: Any, at: str, problems: list[FieldError]) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if math.isfinite(number) and limits.hold(value) and (number.is_integer() or not is_whole):
                return int(value) if is_whole else number
        problems.append(_wrong(value, at, wanted))
        return None

    schema = {"type": "integer" if is_whole else "number"} | limits.schema("minimum", "maximum")
    return _Kind(wanted, schema, read)


def _read_anything(value: Any, at: str, problems: list[FieldError]) -> Any:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        problems.append(FieldError(at, _HALF_PAIR))
    except ValueError:
        problems.append(FieldError(at, "holds a number that is too large"))
    except RecursionError:
        problems.append(FieldError(at, "nests too deep"))
    return value


def _nullable(kind: _Kind) -> _Kind:
    def read(value: Any, at: str, problems: list[FieldError]) -> Any:
        return None if value is None else kind.read(value, at, problems)

    return _Kind(f"{kind.wanted} or null", {"anyOf": [kind.schema, {"type": "null"}]}, read)


def _array(limits: Limits, item: _Kind) -> _Kind:
    wanted = "an array" + limits.span(" items")

    def read(value: Any, at: str, problems: list[FieldError]) -> Any:
        if _is_sized(value, list, limits, wanted, at, problems):
            return [item.read(each, f"{at}[{place}]", problems) for place, each in enumerate(value)]
        return None

    schema = {"type": "array", "items": item.schema} | limits.schema("minItems", "maxItems")
    return _Kind(wanted, schema, read)


def _map(limits: Limits, key: _Kind, item: _Kind) -> _Kind:
    wanted = "an object" + limits.span(" items")

    def read(value: Any, at: str, problems: list[FieldError]) -> Any:
        if not _is_sized(value, dict, limits, wanted, at, problems):
            return None
        for name in value:
            bad_name: list[FieldError] = []
            key.read(name, at, bad_name)
            if bad_name:
                message = f"has a name that does not fit; it must be {key.wanted}"
                problems.append(FieldError(f"{at}.{field_name(name)}", message))
        return {name: item.read(each, f"{at}.{field_name(name)}", problems) for name, each in value.items()}

    names = {"propertyNames": key.schema} if key.text_limits != Limits() else {}
    bounds = limits.schema("minProperties", "maxProperties")
    return _Kind(wanted, {"type": "object", "additionalProperties": item.schema} | names | bounds, read)


def _record(cls: type[Any]) -> _Kind:
    if not isinstance(cls, type) or not is_dataclass(cls):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{cls!r} is no dataclass")
    hints = get_type_hints(cls, include_extras=True)
    members: dict[str, tuple[Field[Any], _Kind]] = {}
    for field in fields(cls):
        if not field.init:  # the class makes it
            continue
        wire, kind = _camel_case(field.name), _kind_of(hints[field.name])
        if wire in members:
            raise TypeError(f"two fields of {cls.__name__} are {wire} to clients")
        unfit: list[FieldError] = []
        for default in _defaults(field).values():
            kind.read(default, wire, unfit)
        if unfit:
            raise TypeError(f"the default of {cls.__name__}.{field.name} does not fit: {unfit[0].message}")
        members[wire] = field, kind
    required = [wire for wire, (field, _) in members.items() if not _defaults(field)]
    known = f"there {'is' if len(members) == 1 else 'are'} {', '.join(members) or 'none'}"

    def read(value: Any, at: str, problems: list[FieldError]) -> Any:
        if not isinstance(value, dict):
            problems.append(_wrong(value, at, "an object"))
            return None
        given = cast("dict[str, Any]", value)
        found = [
            FieldError(f"{at}.{field_name(name)}", f"is not a field of {at}; {known}")
            for name in given
            if name not in members
        ]
        values: dict[str, Any] = {}
        for wire, (field, kind) in members.items():
            if wire in given:
                values[field.name] = kind.read(given[wire], f"{at}.{wire}", found)
            elif wire in required:
                found.append(FieldError(f"{at}.{wire}", f"is missing; it must be {kind.wanted}"))
        problems += found
        if found:
            return None
        try:
            instance = cls(**values)
        except ValueError as error:  # of its __post_init__
            problems.append(FieldError(at, str(error)))
            return None
        check: Iterable[tuple[str, str]] = instance.check() if hasattr(cls, "check") else ()
        problems += [FieldError(f"{at}.{wire}", message) for wire, message in check]
        return instance

    properties = {
        wire: kind.schema | _description(hints[field.name]) | _defaults(field)
        for wire, (field, kind) in members.items()
    }
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return _Kind("an object", schema, read)


def _description(hint: Any) -> dict[str, str]:
    notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    words = [note for note in notes if isinstance(note, str)]
    return {"description": words[0]} if words else {}


def _defaults(field: Field[Any]) -> dict[str, Any]:
    if field.default_factory is not MISSING:
        return {"default": _plain(field.default_factory())}
    return {} if field.default is MISSING else {"default": _plain(field.default)}


def _plain(value: Any) -> Any:
    """A default as JSON has it."""
    if is_dataclass(value):
        return {_camel_case(field.name): _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in cast("dict[str, Any]", value).items()}
    return [_plain(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _has_half_pair(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_sized(
    value: Any, kind: type[Any], limits: Limits, wanted: str, at: str, problems: list[FieldError]
) -> bool:
    if not isinstance(value, kind):
        problems.append(_wrong(value, at, wanted))
    elif not limits.hold(len(value)):
        problems.append(FieldError(at, f"holds {len(value)} items; it must be {wanted}"))
    else:
        return True
    return False


def _wrong(value: Any, at: str, wanted: str) -> FieldError:
    # Not the value itself: what is in a payload is shown by nothing but the task.
    return FieldError(at, f"is {kind_name(value)}; it must be {wanted}")


def field_name(name: str) -> str:
    """A client's own name for a field, short and in ASCII."""
    return ascii(name[:100])[1:-1]


def shown(value: object) -> str:
    """A client's value for a message: short, and in ASCII so that it fits into any answer and log."""
    if isinstance(value, str):
        return ascii(value[:100])
    return kind_name(cast("object", value)) if isinstance(value, dict | list) else json.dumps(value)[:100]


def kind_name(value: object) -> str:
    """What JSON calls such a value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case "":
            return "an empty string"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
