"""An OpenAPI document as a page to read: plain HTML that needs no script, with an anchor for each operation and schema.

It shows what `tasklib.openapi` puts into a document, which is less than OpenAPI knows; schemas are shown by
`tasklib.schema_markup`.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from tasklib import web_page
from tasklib.markup import Markup, element, join
from tasklib.schema_markup import (
    Schema,
    aside,
    description_of,
    fields_of,
    kind_of,
    meaning_of,
    name_of,
    required_tag,
    table,
    words_of,
)

_STYLE: Final = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

#: Of the answer that brings the page.
HEADERS: Final = web_page.headers(style=_STYLE)

_PARAMETERS: Final = ("Parameter", "Type", "Meaning")
_ANSWERS: Final = ("Status", "Meaning", "Body")


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
    told = {name_of(schema) for schema in _request_schemas(document) if "$ref" in schema}
    schemas = [
        _card(f"schema-{name}", name, *description_of(schema), *fields_of(name, schema, "h4"))
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
        *description_of(operation),
        element("h4", "Request"),
        *_curls(_curl(document, operation), base_url + _example_path(path, parameters), method, body),
        element("h4", "Parameters"),
        table(f"Parameters: {summary}", _PARAMETERS, map(_parameter, parameters)),
        *_body(document, body, summary),
        element("h4", "Answers"),
        table(
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
    implied = "POST" if body else "GET"
    options = [url] if method == implied else ["-X", method, url]
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
    required = required_tag(parameter.get("required"))
    name = join([element("code", parameter["name"]), _tag(parameter["in"]), *required], " ")
    return name, kind_of(parameter["schema"]), meaning_of(parameter["schema"], *words_of(parameter))


def _body(document: Schema, body: Schema, summary: str) -> Iterator[Markup]:
    """What a request says; a schema of the document's components stands here, and not among the others."""
    for content in body.get("content", {}).values():
        schema: Schema = content["schema"]
        if "$ref" in schema:
            name = name_of(schema)
            heading = element("h4", "Request body: ", name, id=f"schema-{name}")
            yield join([heading, *fields_of(name, _resolved(document, schema), "h5")])
        else:
            yield join([element("h4", "Request body"), *fields_of(f"Request body: {summary}", schema, "h5")])


def _answer(document: Schema, status: str, answer: Schema) -> Sequence[Markup]:
    title = element("code", status)
    phrase: str = HTTPStatus(int(status)).phrase
    if "$ref" in answer:
        phrase_shown = element("a", phrase, href=f"#answer-{name_of(answer)}")
    else:
        phrase_shown = element("span", phrase)
    full = _resolved(document, answer)
    return join([title, phrase_shown], " "), _answer_meaning(document, full), _contents_of(full)


def _answer_meaning(document: Schema, answer: Schema) -> Markup:
    headers = [
        aside("Header ", element("code", name), ": ", _resolved(document, header)["description"])
        for name, header in answer.get("headers", {}).items()
    ]
    return join([answer["description"], *headers])


def _contents_of(answer: Schema) -> Markup:
    return join(
        join([kind_of(content["schema"]), aside(media_type)])
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
    bodies = [
        _figure(
            join([kind_of(content["schema"]), ", ", element("code", media_type)]), _pre(content["example"])
        )
        for media_type, content in answer["content"].items()
    ]
    return _card(
        f"answer-{name}", _answer_title(document, name), element("p", answer["description"]), *bodies
    )


def _pre(value: Any) -> Markup:
    return element("pre", json.dumps(value, indent=2, ensure_ascii=False))


def _tag(words: str) -> Markup:
    return element("span", words, class_="tag")
