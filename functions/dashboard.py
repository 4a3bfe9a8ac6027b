"""`GET /`: the web page. Everybody may read it: it holds no data, and asks for a token where the API wants one."""

import os
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from tasklib import web_page
from tasklib.http_api import Answer, Request, endpoint

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
def handler(_request: Request) -> Answer:
    """200 with the page. A link to it may carry whatever its way adds to addresses."""
    return Answer(HTTPStatus.OK, _PAGE, _HEADERS)
