"""What the web pages have in common: how they look, and what they may do."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

#: The start of each page's head, with the colours and the few rules that all pages share.
HEAD: Final = Path(__file__).with_name("page_head.html").read_text(encoding="utf-8")


def headers(*, style: str, script: str | None = None, connect: Iterable[str] = ()) -> Mapping[str, str]:
    """The headers of a page: it may wear its own style, run its own script, if it has one, and call `connect`.

    Nothing else, from anywhere; so markup that gets into a page by mistake can do nothing in it. `style` and `script`
    are the text of the page's own elements, `connect` sources in the words of Content-Security-Policy.
    """
    policy = [
        "default-src 'none'",
        *([f"script-src {_digest(script)}"] if script is not None else []),
        f"style-src {_digest(_SHARED_STYLE)} {_digest(style)}",
        "img-src data:",
        *([f"connect-src {' '.join(connect)}"] if connect else []),
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": "; ".join(policy),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        # A new version is seen at once.
        "cache-control": "no-cache",
    }


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_SHARED_STYLE: Final = HEAD.partition("<style>")[2].partition("</style>")[0]
