"""Which item a PartiQL statement of DynamoDB is about. Only as much of the language is read as that takes.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html: a write names all key
attributes, an INSERT in its value, the others by equality in WHERE.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.meter.errors import MeterError
from benchmarks.meter.item_size import AttributeValue, Item

_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | [A-Za-z_]\w* | -?\d+(?:\.\d+)?(?:[eE][+-]?\d+)? | <= | >= | <> | \S""",
    re.VERBOSE,
)

#: The word before a table's name, by the word that a statement begins with.
_BEFORE_TABLE = {"INSERT": "INTO", "UPDATE": "UPDATE", "DELETE": "FROM", "SELECT": "FROM"}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement taken apart.

    Attributes:
        verb: INSERT, UPDATE, DELETE or SELECT.
        table: the table's name.
        whole: whether a SELECT asks for whole items.
        text: the statement, for messages.
    """

    verb: str
    table: str
    whole: bool
    text: str
    _tokens: Sequence[str]
    _parameters: Sequence[AttributeValue]

    @classmethod
    def parse(cls, statement: Mapping[str, Any]) -> "Statement":
        """Take apart a statement as it stands in a request, with its parameters. Raises MeterError."""
        text: str = statement.get("Statement", "")
        tokens: list[str] = _TOKEN.findall(text)
        words = [token.upper() for token in tokens]
        verb = words[0] if words else ""
        try:
            place = words.index(_BEFORE_TABLE[verb]) + 1
            table = _unquoted(tokens[place])
        except (KeyError, ValueError, IndexError):
            raise MeterError(f"cannot tell the table of the statement {text!r}") from None
        return cls(verb, table, words[1:2] == ["*"], text, tokens, statement.get("Parameters", []))

    def key(self, names: Sequence[str]) -> Item:
        """The key of the statement's item, given the names of the key attributes. Raises MeterError."""
        values = dict(self._inserted() if self.verb == "INSERT" else self._compared())
        try:
            return {name: values[name] for name in names}
        except KeyError as missing:
            raise MeterError(
                f"cannot tell the key attribute {missing} of the statement {self.text!r}"
            ) from None

    def _inserted(self) -> Iterator[tuple[str, AttributeValue]]:
        depth = 0
        for place, symbol in enumerate(self._tokens):
            depth += (symbol in "{[(") - (symbol in "}])")
            if symbol == ":" and depth == 1:
                yield from self._pair(place)

    def _compared(self) -> Iterator[tuple[str, AttributeValue]]:
        words = [token.upper() for token in self._tokens]
        if "WHERE" in words:
            for place in range(words.index("WHERE"), len(words)):
                if words[place] == "=":
                    yield from self._pair(place)

    def _pair(self, place: int) -> Iterator[tuple[str, AttributeValue]]:
        """The name before and the value after a token, if the value is a parameter, a string or a number."""
        name, value = _unquoted(self._tokens[place - 1]), self._tokens[place + 1 : place + 2]
        match value:
            case ["?"]:
                yield name, self._parameters[self._tokens[:place].count("?")]
            case [str(text)] if text.startswith("'"):
                yield name, {"S": _unquoted(text)}
            case [str(text)] if text.lstrip("-")[:1].isdigit():
                yield name, {"N": text}
            case _:
                return


def _unquoted(token: str) -> str:
    quote = token[0]
    return token[1:-1].replace(quote * 2, quote) if quote in "'\"" else token
