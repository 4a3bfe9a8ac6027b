"""`GET /`: the web page; and `POST /live`: where it, or any client, connects for live updates."""

import os
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from tasklib import web_page
from tasklib.http_api import Answer, Problem, Request, endpoint

_WEBSOCKET_URL = os.environ["WEBSOCKET_URL"]
_LIVE = urlsplit(_WEBSOCKET_URL)
_OWN = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
_PAGE = _OWN.replace("<!-- page_head.html -->", web_page.HEAD)
_HEADERS = web_page.headers(
    style=web_page.text_of("style", _OWN),
    script=web_page.text_of("script", _OWN),
    connect=["'self'", f"{_LIVE.scheme}://{_LIVE.netloc}"],
)


@endpoint
def handler(request: Request) -> Answer:
    """The answer of the route that the request came by."""
    match request.route:
        case "GET /":
            # A link to the page may carry whatever its way adds to addresses.
            return Answer(HTTPStatus.OK, _PAGE, _HEADERS)
        case "POST /live":
            request.allow_query()
            return Answer(HTTPStatus.OK, {"webSocketUrl": _WEBSOCKET_URL}, {"cache-control": "no-store"})
        case _:
            raise Problem(HTTPStatus.NOT_FOUND, "There is nothing here.")
