"""`GET /openapi.json`: the API's description; and `GET /docs`: the same as a page to read."""

import os
from http import HTTPStatus

import task_types
from tasklib import openapi_page
from tasklib.http_api import Answer, Problem, Request, endpoint
from tasklib.openapi import document
from tasklib.task_type import load_all

_DOCUMENT = document(load_all(task_types).values(), with_token=os.environ["AUTH"] == "jwt")


@endpoint
def handler(request: Request) -> Answer:
    """The answer of the route that the request came by."""
    match request.route:
        case "GET /openapi.json":
            request.allow_query()
            return Answer(HTTPStatus.OK, _DOCUMENT, {"cache-control": "no-cache"})
        case "GET /docs":
            # A link to the page may carry whatever its way adds to addresses.
            page = openapi_page.render(_DOCUMENT, request.base_url())
            return Answer(HTTPStatus.OK, page, openapi_page.HEADERS)
        case "OPTIONS /{proxy+}":
            # A browser asks what a page may send; the gateway adds what it lets those of other origins do.
            return Answer(HTTPStatus.NO_CONTENT, "")
        case _:
            raise Problem(HTTPStatus.NOT_FOUND, "There is nothing here.")
