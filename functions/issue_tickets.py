"""`POST /live`: where to connect for live updates, with a ticket that lets one connection in.

The gateway checks tokens of HTTP requests alone, and a browser can send no header when it connects. So whoever may call
the API gets a ticket here; the address that holds it is good once, for seconds, and for nothing else than to connect.
"""

import os
from http import HTTPStatus
from urllib.parse import urlencode

from tasklib import aws
from tasklib.connections import ConnectionStore
from tasklib.http_api import Answer, Request, endpoint

_WEBSOCKET_URL = os.environ["WEBSOCKET_URL"]
_connections = ConnectionStore(aws.dynamodb(), os.environ["CONNECTIONS_TABLE"])


@endpoint
def handler(request: Request) -> Answer:
    """200 with the address."""
    request.allow_query()
    query = urlencode({"ticket": _connections.issue_ticket()})
    return Answer(HTTPStatus.OK, {"webSocketUrl": f"{_WEBSOCKET_URL}?{query}"}, {"cache-control": "no-store"})
