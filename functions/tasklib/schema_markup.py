"""A JSON Schema as markup: a table of an object's fields, and in words what a value may be.

It shows what `tasklib.openapi` and `tasklib.payload` put into a schema, which is less than JSON Schema knows.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tasklib.markup import Markup, element, join

Schema = Mapping[str, Any]

_FIELDS: Final = ("Field", "Type", "Meaning")

#: How bounds are said, by their keywords in JSON Schema: the lower, the upper, and of what.
_BOUNDS: Final = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", "character"),
    ("minItems", "maxItems", "item"),
    ("minProperties", "maxProperties", "member"),
)


def fields_of(name: str, schema: Schema, heading: str) -> Iterator[Markup]:
    """A schema's fields; of alternatives first what they share, then under a heading what each has of its own."""
    alternatives = _alternatives(schema)
    if not alternatives:
        yield from _fields(name, schema, schema.get("properties", {}))
        yield from _rules(_rules_of(schema))
        return
    first = alternatives[0]
    shared = {
        field: value
        for field, value in first.get("properties", {}).items()
        if all(_field(each, field) == _field(first, field) for each in alternatives)
    }
    links = [element("a", title, href=f"#{_anchor(name, title)}") for title in _titles(alternatives)]
    intro = "These fields, and those of one of " if shared else "The fields of one of "
    yield element("p", intro, _either(links), ".")
    shared_rules = [
        rule for rule in _rules_of(first) if all(rule in _rules_of(each) for each in alternatives)
    ]
    yield from _fields(f"{name}, all", first, shared)
    yield from _rules(shared_rules)
    for title, each in zip(_titles(alternatives), alternatives, strict=True):
        yield element(heading, title, id=_anchor(name, title))
        yield from description_of(each)
        own = {field: value for field, value in each.get("properties", {}).items() if field not in shared}
        yield from _fields(f"{name}: {title}", each, own)
        yield from _rules([rule for rule in _rules_of(each) if rule not in shared_rules])


def _titles(alternatives: Iterable[Schema]) -> list[str]:
    return [each.get("title", f"alternative {number}") for number, each in enumerate(alternatives, 1)]


def _anchor(name: str, title: str) -> str:
    return f"schema-{name}-{title}".replace(" ", "-")


def _alternatives(schema: Schema) -> Sequence[Schema]:
    """The objects of which a value is one."""
    found: Sequence[Schema] = schema.get("anyOf") or schema.get("oneOf") or []
    return found if all("properties" in each for each in found) else []


def _field(schema: Schema, name: str) -> tuple[Any, bool]:
    return schema.get("properties", {}).get(name), name in _required_of(schema)


def _choice(schema: Schema) -> list[str]:
    """The fields of which an object has exactly one."""
    names = [name for each in schema.get("oneOf", ()) for name in each.get("required", ())]
    return names if "properties" in schema else []


def _required_of(schema: Schema) -> list[str]:
    choice = _choice(schema)
    return [*schema.get("required", ()), *(choice if len(choice) == 1 else [])]


def _rules_of(schema: Schema) -> list[str]:
    """What an object has to keep to besides its fields."""
    rules: list[str] = []
    choice = _choice(schema)
    if len(choice) > 1:
        rules.append(f"Exactly one of {' and '.join(choice)}.")
    if forbidden := schema.get("not", {}).get("required"):
        rules.append(f"Not both {' and '.join(forbidden)}.")
    if schema.get("additionalProperties") is False:
        rules.append("No other fields.")
    return rules


def _rules(rules: Sequence[str]) -> Iterator[Markup]:
    if rules:
        yield element("p", " ".join(rules), class_="rules")


def _fields(name: str, schema: Schema, properties: Schema) -> Iterator[Markup]:
    if properties:
        yield table(f"Fields: {name}", _FIELDS, _rows(properties, _required_of(schema), ""))


def _rows(properties: Schema, required: Sequence[str], at: str) -> Iterator[Sequence[Markup]]:
    """A row for each field, and below it rows for the fields of what it holds."""
    for name, schema in properties.items():
        shown = join([element("code", at + name), *required_tag(name in required)], " ")
        yield shown, kind_of(schema), meaning_of(schema, *words_of(schema))
        inner, path = _inside(schema, at + name)
        if "properties" in inner:
            yield from _rows(inner["properties"], _required_of(inner), f"{path}.")


def _inside(schema: Schema, at: str) -> tuple[Schema, str]:
    """The object that a field holds, itself or in arrays, maps or beside null; and where that stands."""
    match schema:
        case {"items": items}:
            return _inside(items, f"{at}[]")
        case {"additionalProperties": values} if values not in (True, False):
            return _inside(values, f"{at}.*")
        case {"anyOf": [first, {"type": "null"}]}:
            return _inside(first, at)
        case _:
            return schema, at


def kind_of(schema: Schema) -> Markup:
    """The type of a value, with its limits."""
    match schema:
        case {"$ref": _}:
            return element("a", name_of(schema), href=f"#schema-{name_of(schema)}")
        case {"const": value}:
            return _code(value)
        case {"enum": values}:
            return _either(map(_code, values))
        case {"anyOf": alternatives} | {"oneOf": alternatives} if "type" not in schema:
            return _either(map(kind_of, alternatives))
        case {"type": "array"}:
            return join(["array", *_limits(schema), aside("each: ", kind_of(schema.get("items", {})))])
        case {"type": "object", "additionalProperties": values} if values not in (True, False):
            names = schema.get("propertyNames")
            each = [
                *([aside("each name: ", kind_of(names))] if names else []),
                aside("each value: ", kind_of(values)),
            ]
            return join(["object", *_limits(schema), *each])
        case {"type": "integer"}:
            return join(["whole number", *_limits(schema)])
        case {"type": kind}:
            return join([kind, *_limits(schema)])
        case _:
            return join(["any JSON value"])


def _limits(schema: Schema) -> Iterator[str]:
    if "format" in schema:
        yield f" ({schema['format']})"
    for least, most, unit in _BOUNDS:
        match schema.get(least), schema.get(most):
            case None, int() | float() as upper:
                yield f", at most {_count(upper, unit)}"
            case int() | float() as lower, None:
                yield f", at least {_count(lower, unit)}"
            case int() | float() as lower, int() | float() as upper:
                yield f", {lower:,} to {_count(upper, unit)}"
            case _:
                pass
    if "pattern" in schema:
        yield aside("matches ", element("code", schema["pattern"]))
    if unwanted := schema.get("not", {}).get("enum"):
        yield aside("not ", _either(map(_code, unwanted)))


def _count(number: float, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}" if unit else f"{number:,}"


def _either(choices: Iterable[Markup]) -> Markup:
    *others, last = choices
    return join([join(others, ", "), last], " or ") if others else last


def meaning_of(schema: Schema, *words: str) -> Markup:
    """What a value is for, its default and an example."""
    more: list[Markup] = []
    if "default" in schema:
        more.append(aside("Default: ", _code(schema["default"])))
    if "examples" in schema:
        more.append(aside("Example: ", join(map(_code, schema["examples"]), ", ")))
    return join([*words, *more])


def words_of(schema: Schema) -> Sequence[str]:
    """Its description, if it has one."""
    return [schema["description"]] if "description" in schema else []


def description_of(schema: Schema) -> Iterator[Markup]:
    """The same as a paragraph."""
    yield from (element("p", words) for words in words_of(schema))


def _code(value: Any) -> Markup:
    return element(
        "code", value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    )


def name_of(reference: Schema) -> str:
    """The name of the component that a reference stands for."""
    return reference["$ref"].rpartition("/")[2]


# -- parts, of the page as well


def required_tag(is_required: object) -> list[Markup]:
    """What marks a required value; nothing for another."""
    return [element("span", "required", class_="tag required")] if is_required else []


def aside(*content: str) -> Markup:
    """A line of its own, of less weight than what is above it."""
    return element("span", *content, class_="more")


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Markup]]) -> Markup:
    """A table; its roles are stated because on a phone it is laid out as blocks, which would lose them."""
    heads = [element("th", name, scope="col", role="columnheader") for name in columns]
    lines = [
        element(
            "tr",
            element("th", first, scope="row", role="rowheader"),
            *(element("td", cell, role="cell") for cell in others),
            role="row",
        )
        for first, *others in rows
    ]
    return element(
        "table",
        element("caption", caption, class_="unseen"),
        element("thead", element("tr", *heads, role="row"), role="rowgroup"),
        element("tbody", *lines, role="rowgroup"),
        role="table",
        class_=columns[0].lower(),
    )
