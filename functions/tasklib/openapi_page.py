"""An OpenAPI document as a page to read: plain HTML that needs no script, with an anchor for each operation and schema.

It shows what `tasklib.openapi` and `tasklib.payload` put into a document, which is less than OpenAPI knows.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from tasklib import web_page
from tasklib.markup import Markup, element, join

Schema = Mapping[str, Any]

_STYLE: Final = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

#: Of the answer that brings the page.
HEADERS: Final = web_page.headers(style=_STYLE)

_FIELDS: Final = ("Field", "Type", "Meaning")
_PARAMETERS: Final = ("Parameter", "Type", "Meaning")
_ANSWERS: Final = ("Status", "Meaning", "Body")

#: How bounds are said, by their keywords in JSON Schema: the lower, the upper, and of what.
_BOUNDS: Final = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", "character"),
    ("minItems", "maxItems", "item"),
    ("minProperties", "maxProperties", "member"),
)


def render(document: Schema, base_url: str) -> str:
    """The page of a document, whose requests to copy go to this URL (without a slash at its end)."""
    title = f"{document['info']['title']} API"
    body = element(
        "body",
        element("a", "Skip to the operations", class_="skip", href="#operations"),
        element(
            "header",
            element("h1", title, " ", element("span", document["info"]["version"], class_="tag")),
            element("p", document["info"]["description"]),
            element("p", "All addresses below start with ", element("code", base_url), "."),
            element(
                "p",
                element("a", "The task list", href="./"),
                " · ",
                element("a", "This description in OpenAPI", href="openapi.json"),
            ),
        ),
        element("div", _contents(document), _main(document, base_url), class_="body"),
    )
    head = element("head", Markup(web_page.HEAD), element("title", title), element("style", Markup(_STYLE)))
    return f'<!doctype html>\n<html lang="en">{head}{body}</html>\n'


def _contents(document: Schema) -> Markup:
    operations = [
        element("li", element("a", _badge(method), " ", path, href=f"#{operation['operationId']}"))
        for path, method, operation in _operations(document)
    ]
    components = document["components"]
    answers = [
        element("li", element("a", _answer_title(document, name), href=f"#answer-{name}"))
        for name in components["responses"]
    ]
    schemas = [element("li", element("a", name, href=f"#schema-{name}")) for name in components["schemas"]]
    return element(
        "nav",
        *(element("h2", "Operations"), element("ul", *operations)),
        *(element("h2", "Shared answers"), element("ul", *answers)),
        *(element("h2", "Schemas"), element("ul", *schemas)),
        aria_label="Contents",
    )


def _main(document: Schema, base_url: str) -> Markup:
    components = document["components"]
    operations = [_operation(document, base_url, *each) for each in _operations(document)]
    answers = [_shared_answer(document, name, answer) for name, answer in components["responses"].items()]
    told = {_name(schema) for schema in _request_schemas(document) if "$ref" in schema}
    schemas = [
        _card(f"schema-{name}", name, *_description(schema), *_schema(name, schema, "h4"))
        for name, schema in components["schemas"].items()
        if name not in told
    ]
    return element(
        "main",
        _section("operations", "Operations", operations),
        _section("answers", "Shared answers", answers),
        _section("schemas", "Schemas", schemas),
    )


def _section(anchor: str, title: str, cards: Iterable[Markup]) -> Markup:
    heading = element("h2", title, id=anchor)
    return element("section", heading, *cards, aria_labelledby=anchor)


def _card(anchor: str, title: str, *content: Markup) -> Markup:
    link = element("a", title, href=f"#{anchor}")
    heading = element("h3", link, id=f"{anchor}-title")
    return element("article", heading, *content, class_="card", id=anchor, aria_labelledby=f"{anchor}-title")


def _badge(method: str) -> Markup:
    return element("span", method, class_="method", data_method=method)


# -- operations


def _operations(document: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Path, method and description of each operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _request_schemas(document: Schema) -> Iterator[Schema]:
    for _, _, operation in _operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            yield content["schema"]


def _operation(document: Schema, base_url: str, path: str, method: str, operation: Schema) -> Markup:
    summary: str = operation["summary"]
    parameters = [_resolved(document, each) for each in operation["parameters"]]
    body: Schema = operation.get("requestBody", {})
    return _card(
        operation["operationId"],
        summary,
        element("p", _badge(method), " ", element("code", path), class_="route"),
        *_description(operation),
        element("h4", "Request"),
        *_curls(_curl(document, operation), base_url + _example_path(path, parameters), method, body),
        element("h4", "Parameters"),
        _table(f"Parameters: {summary}", _PARAMETERS, map(_parameter, parameters)),
        *_body(document, body, summary),
        element("h4", "Answers"),
        _table(
            f"Answers: {summary}",
            _ANSWERS,
            (_answer(document, *each) for each in operation["responses"].items()),
        ),
        *_examples(operation["responses"]),
    )


def _resolved(document: Schema, schema: Schema) -> Schema:
    """What a reference stands for; anything else is itself."""
    while "$ref" in schema:
        target: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = target
    return schema


def _example_path(path: str, parameters: Iterable[Schema]) -> str:
    for each in parameters:
        path = path.replace(f"{{{each['name']}}}", str(each["schema"].get("examples", ["..."])[0]))
    return path


def _curl(document: Schema, operation: Schema) -> str:
    """How a request to copy begins; the token is the shell's variable."""
    wants_token = operation.get("security", document.get("security"))
    return 'curl -H "authorization: Bearer $TOKEN"' if wants_token else "curl"


def _curls(curl: str, url: str, method: str, body: Schema) -> Iterator[Markup]:
    """Requests to copy, one for each example of a body."""
    options = [
        *(["-X", method] if method not in ("GET", "POST") or not (body or method == "GET") else []),
        url,
    ]
    if not body:
        yield element("pre", f"{curl} {shlex.join(options)}")
    for media_type, content in body.get("content", {}).items():
        for name, example in content["examples"].items():
            data = json.dumps(example["value"], ensure_ascii=False)
            full = shlex.join([*options, "-H", f"content-type: {media_type}", "-d", data])
            yield _figure(example.get("summary", name.capitalize()), element("pre", f"{curl} {full}"))


def _figure(caption: str, content: Markup) -> Markup:
    return element("figure", element("figcaption", caption), content)


def _parameter(parameter: Schema) -> Sequence[Markup]:
    required = _required(parameter.get("required"))
    name = join([element("code", parameter["name"]), _tag(parameter["in"]), *required], " ")
    meaning = [parameter["description"]] if "description" in parameter else []
    return name, _kind(parameter["schema"]), _meaning(parameter["schema"], *meaning)


def _body(document: Schema, body: Schema, summary: str) -> Iterator[Markup]:
    """What a request says; a schema of the document's components stands here, and not among the others."""
    for content in body.get("content", {}).values():
        schema: Schema = content["schema"]
        if "$ref" in schema:
            name = _name(schema)
            heading = element("h4", "Request body: ", name, id=f"schema-{name}")
            yield join([heading, *_schema(name, _resolved(document, schema), "h5")])
        else:
            yield join([element("h4", "Request body"), *_schema(f"Request body: {summary}", schema, "h5")])


def _answer(document: Schema, status: str, answer: Schema) -> Sequence[Markup]:
    title = element("code", status)
    phrase: str = HTTPStatus(int(status)).phrase
    if "$ref" in answer:
        phrase_shown = element("a", phrase, href=f"#answer-{_name(answer)}")
    else:
        phrase_shown = element("span", phrase)
    full = _resolved(document, answer)
    return join([title, phrase_shown], " "), _answer_meaning(document, full), _contents_of(full)


def _answer_meaning(document: Schema, answer: Schema) -> Markup:
    headers = [
        _more("Header ", element("code", name), ": ", _resolved(document, header)["description"])
        for name, header in answer.get("headers", {}).items()
    ]
    return join([answer["description"], *headers])


def _contents_of(answer: Schema) -> Markup:
    return join(
        join([_kind(content["schema"]), _more(media_type)])
        for media_type, content in answer["content"].items()
    )


def _examples(answers: Schema) -> Iterator[Markup]:
    """The bodies of an operation's own answers."""
    for status, answer in answers.items():
        for content in answer.get("content", {}).values():
            if "example" in content:
                title = f"Example of {status} {HTTPStatus(int(status)).phrase}"
                yield element("details", element("summary", title), _pre(content["example"]))


def _answer_title(document: Schema, name: str) -> str:
    """Status and phrase of an answer that operations share."""
    reference = {"$ref": f"#/components/responses/{name}"}
    statuses = {
        status
        for _, _, operation in _operations(document)
        for status, each in operation["responses"].items()
        if each == reference
    }
    return " ".join(f"{status} {HTTPStatus(int(status)).phrase}" for status in sorted(statuses)) or name


def _shared_answer(document: Schema, name: str, answer: Schema) -> Markup:
    bodies = [_figure_of(media_type, content) for media_type, content in answer["content"].items()]
    return _card(
        f"answer-{name}", _answer_title(document, name), element("p", answer["description"]), *bodies
    )


def _figure_of(media_type: str, content: Schema) -> Markup:
    caption = element("figcaption", _kind(content["schema"]), ", ", element("code", media_type))
    return element("figure", caption, _pre(content["example"]))


def _pre(value: Any) -> Markup:
    return element("pre", json.dumps(value, indent=2, ensure_ascii=False))


# -- schemas


def _schema(name: str, schema: Schema, heading: str) -> Iterator[Markup]:
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
        yield from _description(each)
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
        yield _table(f"Fields: {name}", _FIELDS, _rows(properties, _required_of(schema), ""))


def _rows(properties: Schema, required: Sequence[str], at: str) -> Iterator[Sequence[Markup]]:
    """A row for each field, and below it rows for the fields of what it holds."""
    for name, schema in properties.items():
        shown = join([element("code", at + name), *_required(name in required)], " ")
        yield shown, _kind(schema), _meaning(schema, *_words(schema))
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


def _kind(schema: Schema) -> Markup:
    """The type of a value, with its limits."""
    match schema:
        case {"$ref": _}:
            return element("a", _name(schema), href=f"#schema-{_name(schema)}")
        case {"const": value}:
            return join([_code(value)])
        case {"enum": values}:
            return _either(map(_code, values))
        case {"anyOf": alternatives} | {"oneOf": alternatives} if "type" not in schema:
            return _either(map(_kind, alternatives))
        case {"type": "array"}:
            return join(["array", *_limits(schema), _more("each: ", _kind(schema.get("items", {})))])
        case {"type": "object", "additionalProperties": values} if values not in (True, False):
            names = schema.get("propertyNames")
            each = [
                *([_more("each name: ", _kind(names))] if names else []),
                _more("each value: ", _kind(values)),
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
        yield _more("matches ", element("code", schema["pattern"]))
    if unwanted := schema.get("not", {}).get("enum"):
        yield _more("not ", _either(map(_code, unwanted)))


def _count(number: float, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}" if unit else f"{number:,}"


def _either(choices: Iterable[Markup]) -> Markup:
    *others, last = choices
    return join([join(others, ", "), last], " or ") if others else last


def _meaning(schema: Schema, *words: str) -> Markup:
    """What a value is for, its default and an example."""
    more: list[Markup] = []
    if "default" in schema:
        more.append(_more("Default: ", _code(schema["default"])))
    if "examples" in schema:
        more.append(_more("Example: ", join(map(_code, schema["examples"]), ", ")))
    return join([*words, *more])


def _words(schema: Schema) -> Sequence[str]:
    return [schema["description"]] if "description" in schema else []


def _description(schema: Schema) -> Iterator[Markup]:
    yield from (element("p", words) for words in _words(schema))


def _code(value: Any) -> Markup:
    return element(
        "code", value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    )


def _name(reference: Schema) -> str:
    return reference["$ref"].rpartition("/")[2]


# -- parts


def _tag(words: str) -> Markup:
    return element("span", words, class_="tag")


def _required(is_required: object) -> list[Markup]:
    return [element("span", "required", class_="tag required")] if is_required else []


def _more(*content: str) -> Markup:
    """A line of its own, of less weight than what is above it."""
    return element("span", *content, class_="more")


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Markup]]) -> Markup:
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
