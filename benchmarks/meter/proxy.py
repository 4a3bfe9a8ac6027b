"""A proxy in front of an AWS emulator that counts what goes through it and what that would cost.

Functions are put behind it by `AWS_ENDPOINT_URL` in their environment. It changes nothing: requests are forwarded
with their headers as they are (the emulator checks no signatures), answers and errors come back as they are. It is
not made for measuring speed: a write takes two more round trips to the endpoint.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from benchmarks.meter import sqs
from benchmarks.meter.counts import Count
from benchmarks.meter.dynamodb_calls import Answer, Json
from benchmarks.meter.dynamodb_meter import DynamoDbMeter, Units
from benchmarks.meter.errors import MeterError

#: Headers that belong to one connection, and those that the HTTP library writes itself.
_HOP_BY_HOP: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "expect", "content-length"),
    }
)

#: Region and service of a signed request.
_SCOPE: Final = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")

#: What a request or an answer can lack that is not what it should be. Whether that matters, the endpoint says.
_UNREADABLE: Final = (MeterError, LookupError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class _Call:
    """A request on its way."""

    method: str
    url: URL
    headers: CIMultiDictProxy[str]
    body: bytes
    region: str
    service: str
    operation: str


@dataclass(frozen=True, slots=True)
class _Reply:
    """What the endpoint answered."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def failed(self) -> bool:
        return self.status >= HTTPStatus.BAD_REQUEST


class MeterProxy:
    """A running proxy on a port of 127.0.0.1; leaving its context ends it.

    It works in a thread of this process. Its counts may be read and reset at any time, from any thread.

    Args:
        upstream: the emulator's URL, such as http://127.0.0.1:4566.

    Attributes:
        url: the proxy's own URL.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream.rstrip("/")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._counts: dict[str, Count] = {}
        self._failures: list[str] = []
        self._meter = DynamoDbMeter()
        self._stop: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._stop.result()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        loop, stop = self._stop.result()
        loop.call_soon_threadsafe(stop.set)
        self._thread.join()

    def counts(self) -> dict[str, Count]:
        """What went through since the last reset, by service and operation, such as `dynamodb.PutItem`.

        An answer is counted before its client gets it. Raises MeterError when something could not be priced.
        """
        with self._lock:
            if self._failures:
                raise MeterError("; ".join(self._failures))
            return dict(self._counts)

    def reset(self) -> None:
        """Start all counts anew."""
        with self._lock:
            self._counts.clear()
            self._failures.clear()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._stop.done():
                raise
            self._stop.set_exception(error)

    async def _serve(self) -> None:
        stop = asyncio.Event()
        # Long polls keep a connection for themselves, and may take their time.
        session = ClientSession(
            connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None), auto_decompress=False
        )
        async with session:
            self._session = session
            app = web.Application(client_max_size=0)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            await web.SockSite(runner, self._listener).start()
            self._stop.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        call = await self._read(request)
        try:
            reply, count = await self._pass_on(call)
        except ClientError as error:
            return web.Response(
                status=HTTPStatus.BAD_GATEWAY, text=f"no answer from {self._upstream}: {error}"
            )
        name = f"{call.service}.{call.operation}"
        with self._lock:
            self._counts[name] = self._counts.get(name, Count()) + count
        return web.Response(status=reply.status, headers=_end_to_end(reply.headers), body=reply.body)

    async def _read(self, request: web.Request) -> _Call:
        body = await request.read()
        scope = _SCOPE.search(request.headers.get("authorization", ""))
        target, _, operation = request.headers.get("x-amz-target", "").partition(".")
        if not operation:
            action = (
                parse_qs(body.decode(errors="replace")).get("Action") if request.method == "POST" else None
            )
            operation = action[0] if action else f"{request.method} /{request.path.split('/')[1]}"
        return _Call(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            request.headers,
            body,
            scope[1] if scope else "us-east-1",
            scope[2] if scope else target.partition("_")[0].lower() or "unsigned",
            operation,
        )

    async def _pass_on(self, call: _Call) -> tuple[_Reply, Count]:
        if call.service == "dynamodb":
            reply, units = await self._meter_dynamodb(call)
            return reply, Count(1, reply.failed, units.write, units.read, units.items_read)
        reply = await self._forward(call)
        billed = self._billed_by_sqs(call, reply) if call.service == "sqs" else 0
        return reply, Count(1, reply.failed, billed_requests=billed)

    async def _meter_dynamodb(self, call: _Call) -> tuple[_Reply, Units]:
        async def ask(operation: str, request: Json) -> Answer:
            return await self._ask(operation, request, call.region)

        reply: _Reply | None = None
        try:
            async with self._meter.measure(call.operation, json.loads(call.body), ask) as measurement:
                reply = await self._forward(call)
                return reply, await measurement.units(Answer(reply.status, json.loads(reply.body)))
        except _UNREADABLE as error:
            reply = reply or await self._forward(call)
            self._note(call, reply, error)
            return reply, Units()

    def _billed_by_sqs(self, call: _Call, reply: _Reply) -> int:
        try:
            answer: Json = json.loads(reply.body or b"{}")
            return sqs.billed_requests(call.operation, json.loads(call.body), answer)
        except _UNREADABLE as error:
            self._note(call, reply, error)
            return 1

    def _note(self, call: _Call, reply: _Reply, error: Exception) -> None:
        """Remember what could not be priced, unless the endpoint refused it too."""
        if not reply.failed:
            with self._lock:
                self._failures.append(f"{call.service}.{call.operation}: {type(error).__name__}: {error}")

    async def _forward(self, call: _Call) -> _Reply:
        return await self._send(call.method, call.url, _end_to_end(call.headers), call.body)

    async def _ask(self, operation: str, request: Json, region: str) -> Answer:
        """Call DynamoDB for the meter itself."""
        headers = CIMultiDict(
            {
                "content-type": "application/x-amz-json-1.0",
                "x-amz-target": f"DynamoDB_20120810.{operation}",
                "authorization": f"AWS4-HMAC-SHA256 Credential=test/20000101/{region}/dynamodb/aws4_request,"
                " SignedHeaders=host, Signature=0",
            }
        )
        body = json.dumps(request).encode()
        reply = await self._send("POST", URL(self._upstream), headers, body)
        answer: Mapping[str, Any] = json.loads(reply.body)
        return Answer(reply.status, answer)

    async def _send(self, method: str, url: URL, headers: CIMultiDict[str], body: bytes) -> _Reply:
        skipped = ("accept", "accept-encoding", "content-type", "user-agent")
        async with self._session.request(
            method, url, headers=headers, data=body, allow_redirects=False, skip_auto_headers=skipped
        ) as response:
            return _Reply(response.status, response.headers, await response.read())


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)
