"""`GET /`: the web page. Everybody may read it: it holds no data, and asks for a token where the API wants one."""

import os
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tasklib import web_page
from tasklib.http_api import Answer, Request, endpoint

_WEBSOCKET_URL = os.environ["WEBSOCKET_URL"]
_LIVE = urlsplit(_WEBSOCKET_URL)

#: The page's script, in the order in which it runs: `start` needs all that is above it.
_SCRIPTS: Final = (
    *("settings", "elements", "api", "known", "table", "list"),
    *("live", "actions", "detail", "form", "start"),
)


def _text(name: str) -> str:
    return (Path(__file__).with_name("page") / name).read_text(encoding="utf-8")


_STYLE = _text("index.css")
_SCRIPT = "\n".join(['"use strict";\n', *(_text(f"{name}.js") for name in _SCRIPTS)])
_PAGE = (
    _text("index.html")
    .replace("<style></style>", f"<style>{_STYLE}</style>")
    .replace("<script></script>", f"<script>{_SCRIPT}</script>")
    .replace("<!-- page_head.html -->", web_page.HEAD)
)
_HEADERS = web_page.headers(
    style=_STYLE, script=_SCRIPT, connect=["'self'", f"{_LIVE.scheme}://{_LIVE.netloc}"]
)


@endpoint
def handler(_request: Request) -> Answer:
    """200 with the page. A link to it may carry whatever its way adds to addresses."""
    return Answer(HTTPStatus.OK, _PAGE, _HEADERS)
