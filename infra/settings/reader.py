"""How a value of the configuration is read, and refused with what is allowed. The only place that reads it."""

import difflib
import json
import re
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import pulumi
import pulumi.runtime.config

T = TypeVar("T")


class Reader:
    """The configuration of one project, read key by key; what is wrong is collected instead of raised.

    A wrong value reads as some allowed one, or as an empty one, so that reading goes on. What each method calls
    ``allowed`` is what a person is told of a value that it refuses.

    Attributes:
        problems: One line for each thing that is wrong.
    """

    def __init__(self, project: str) -> None:
        self.problems: list[str] = []
        self._bag = pulumi.Config(project)
        self._read: set[str] = set()
        self._wrong: set[str] = set()

    def integer(self, key: str, low: int, high: int) -> int:
        def parse(text: str) -> int:
            value = _whole_number(text)
            if not low <= value <= high:
                raise ValueError
            return value

        return self._value(key, parse, f"a whole number from {low} to {high}", instead=low)

    def integer_of(self, key: str, allowed: Sequence[int]) -> int:
        def parse(text: str) -> int:
            return allowed[allowed.index(_whole_number(text))]

        return self._value(key, parse, f"one of {', '.join(map(str, allowed))}", instead=allowed[0])

    def fraction(self, key: str) -> float:
        def parse(text: str) -> float:
            value = float(text)
            if not 0 <= value <= 1:
                raise ValueError
            return value

        return self._value(key, parse, 'a number from 0 to 1 as a string, such as "0.3"', instead=0)

    def boolean(self, key: str) -> bool:
        return self._value(
            key, lambda text: {"true": True, "false": False}[text], "true or false", instead=False
        )

    def choice(self, key: str, allowed: Sequence[T]) -> T:
        def parse(text: str) -> T:
            return next(value for value in allowed if value == text)

        return self._value(key, parse, " or ".join(map(str, allowed)), instead=allowed[0])

    def text(self, key: str, is_good: Callable[[str], object], allowed: str) -> str:
        def parse(text: str) -> str:
            if not is_good(text):
                raise ValueError
            return text

        return self._value(key, parse, allowed, instead="")

    def texts(self, key: str, are_good: Callable[[tuple[str, ...]], bool], allowed: str) -> tuple[str, ...]:
        """An array of strings."""

        def parse(text: str) -> tuple[str, ...]:
            items: object = json.loads(text)
            if not isinstance(items, list):
                raise ValueError
            texts = tuple(item for item in cast("list[object]", items) if isinstance(item, str))
            if len(texts) < len(cast("list[object]", items)) or not are_good(texts):
                raise ValueError
            return texts

        return self._value(key, parse, allowed, instead=())

    def secret(self, key: str, is_good: Callable[[str], bool], allowed: str) -> str | None:
        """A secret, or None when it is not set. Its value is never shown, even where it stands in plain text."""
        self._read.add(key)
        text = self._bag.get(key)
        if text is None:
            return None
        if not pulumi.runtime.is_config_secret(self._bag.full_key(key)):
            self.problems.append(
                f"{key}: [plain text]; allowed: a secret, set with pulumi config set --secret {key}"
            )
        if not is_good(text):
            self.problems.append(f"{key}: [secret]; allowed: {allowed}")
        return text

    def check(self, keys: Sequence[str], holds: bool, problem: str) -> None:
        """Record the problem unless it holds; wrong values among the keys are reported already."""
        if not holds and self._wrong.isdisjoint(keys):
            self.problems.append(problem)

    def check_unknown_keys(self) -> None:
        """Report each key of the project that nothing has read: the CLI lets them pass."""
        for full_key in sorted(pulumi.runtime.config.CONFIG.get()):
            namespace, _, key = full_key.partition(":")
            if namespace == self._bag.name and key not in self._read:
                similar = difflib.get_close_matches(key, self._read, n=1)
                hint = f"; did you mean {similar[0]}?" if similar else ""
                self.problems.append(f"{key}: not a key of this project{hint}")

    def _value(self, key: str, parse: Callable[[str], T], allowed: str, *, instead: T) -> T:
        self._read.add(key)
        text = self._bag.get(key)
        if text is None:
            shown = "not set"
        else:
            try:
                return parse(text)
            except (ValueError, LookupError, StopIteration):
                secret = pulumi.runtime.is_config_secret(self._bag.full_key(key))
                shown = "[secret]" if secret else json.dumps(text)
        self._wrong.add(key)
        self.problems.append(f"{key}: {shown}; allowed: {allowed}")
        return instead


def _whole_number(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError
    return int(text)
