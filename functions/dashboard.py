"""`GET /`: the web page; and `POST /live`: where it, or any client, connects for live updates."""

import base64
import hashlib
import os
import re
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from tasklib.http_api import Answer, Problem, Request, endpoint

_WEBSOCKET_URL = os.environ["WEBSOCKET_URL"]
_PAGE = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")


def _policy() -> str:
    """What the page may do: run its own script, wear its own style, talk to this API; nothing else from anywhere."""
    hashes = {
        tag: f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
        for tag, content in re.findall(r"<(script|style)>(.*?)</\1>", _PAGE, re.DOTALL)
    }
    live = urlsplit(_WEBSOCKET_URL)
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {hashes['script']}",
            f"style-src {hashes['style']}",
            "img-src data:",
            f"connect-src 'self' {live.scheme}://{live.netloc}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": _policy(),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # A new version is seen at once.
    "cache-control": "no-cache",
}


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
