"""`GET /openapi.json`: the API's description."""

from http import HTTPStatus

import task_types
from tasklib.http_api import Answer, Request, endpoint
from tasklib.openapi import document
from tasklib.task_type import load_all

_DOCUMENT = document(load_all(task_types).values())


@endpoint
def handler(request: Request) -> Answer:
    """200 with the description, in OpenAPI 3.1."""
    request.allow_query()
    return Answer(HTTPStatus.OK, _DOCUMENT, {"cache-control": "no-cache"})
