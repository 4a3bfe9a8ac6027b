"""HTML, made of elements: whatever is not markup already is text, and escaped."""

from collections.abc import Iterable
from html import escape


class Markup(str):
    """Well-formed HTML. Text becomes part of it by `element` and `join` alone, which escape it.

    Made otherwise only of files of this project.
    """

    __slots__ = ()


def element(name: str, *content: str, **attributes: str) -> Markup:
    """An element with its content and attributes; a Python keyword's `_` at the end of a name is left out."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{shown}>{join(content)}</{name}>")


def join(parts: Iterable[str], separator: str = "") -> Markup:
    """The parts, one after the other."""
    shown = (part if isinstance(part, Markup) else escape(part) for part in parts)
    return Markup(escape(separator).join(shown))
