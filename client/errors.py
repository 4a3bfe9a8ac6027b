"""Everything that can go wrong with a request, as exceptions that a program can tell apart.

Each has a `kind`, a short stable name to count by, and says whether it is `transient`: whether the same
request may succeed when it is sent again. A submission may be, because its task ID makes a repeat safe.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import httpx
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidProxy, InvalidStatus, ProxyError

#: Answers that another attempt may not meet: throttled, or a fault on the other side.
TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})

#: Characters kept of a text that another machine wrote, when it is shown to a person.
EXCERPT_LENGTH = 300


class TasksError(Exception):
    """A request that did not give what it should have.

    Attributes:
        kind: a short stable name to count by.
        transient: whether the same request may succeed when it is sent again.
        live_url: of the WebSocket API, without its query, when the failure was there.
    """

    kind: str
    transient: bool = False
    live_url: str | None = None


class NoAnswerError(TasksError):
    """No whole answer came. Whether the request arrived is not known.

    `kind` is one of "connection refused", "connection failed", "name not found", "tls", "timeout", "reset".
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.transient = kind not in ("name not found", "tls")


class UnsubscribedError(TasksError):
    """The API has removed the subscription of a connection: some updates were not sent to it."""

    kind = "unsubscribed"


class BadAnswerError(TasksError):
    """An answer came that is not one of this API's: HTML, another JSON, not HTTP at all."""

    kind = "bad answer"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field of a request."""

    field: str
    message: str


class StatusError(TasksError):
    """The answer, or that to one task of a batch, has a status other than 2xx; `kind` is "HTTP <status>".

    Attributes:
        status: the HTTP status.
        title: of the problem (RFC 9457), or the message of a gateway, or the status's own phrase.
        detail: what the API says about this occurrence; may be empty.
        errors: every field that was wrong.
        from_api: True when the API itself answered, with `application/problem+json`; False when
            something in front of it did.
        correlation_id: what to look for in the stack's logs, when the API gave one.
        location: where a redirect leads.
    """

    def __init__(
        self,
        status: int,
        title: str,
        *,
        detail: str = "",
        errors: tuple[FieldError, ...] = (),
        from_api: bool = False,
        correlation_id: str | None = None,
        location: str | None = None,
    ) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = errors
        self.from_api = from_api
        self.correlation_id = correlation_id
        self.location = location
        self.kind = f"HTTP {status}"
        self.transient = status in TRANSIENT_STATUSES
        named = "; ".join(f"{error.field}: {error.message}" for error in errors)
        super().__init__(f"{status} {': '.join(part for part in (title, named or detail) if part)}")


def excerpt(text: str) -> str:
    """The start of a text from elsewhere, on one line and without anything that a terminal would obey."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * EXCERPT_LENGTH]).split())
    return line if len(line) <= EXCERPT_LENGTH else f"{line[:EXCERPT_LENGTH]}..."


def from_answer(status: int, headers: httpx.Headers, body: bytes) -> StatusError:
    """The exception for an answer with a status other than 2xx, whoever it is from."""
    from_api = headers.get("content-type", "").partition(";")[0].strip() == "application/problem+json"
    return _status_error(
        status,
        _object(body),
        from_api=from_api,
        correlation_id=headers.get("x-correlation-id"),
        location=headers.get("location"),
    )


def from_problem(status: int, problem: Mapping[str, object], correlation_id: str | None) -> StatusError:
    """The exception for a problem (RFC 9457) that the API tells of one task among many."""
    return _status_error(status, problem, from_api=True, correlation_id=correlation_id)


def from_transport(error: httpx.HTTPError) -> TasksError:
    """The exception for what httpx raised instead of an answer."""
    causes = list(_causes(error))
    reason = excerpt(str(causes[-1]) or str(error) or type(error).__name__)
    match error:
        case httpx.TimeoutException():
            return NoAnswerError("timeout", reason)
        case httpx.ConnectError():
            return NoAnswerError(_connect_kind(causes), reason)
        case httpx.DecodingError():
            return BadAnswerError(reason)
        case httpx.RemoteProtocolError() if "disconnect" not in str(error) and "closed" not in str(error):
            return BadAnswerError(f"not HTTP: {reason}")
        case _:
            return NoAnswerError("reset", f"the connection broke: {reason}")


def from_web_socket(error: Exception) -> TasksError:
    """The exception for what the websockets library raised: no connection, or no longer one."""
    causes = list(_causes(error))
    reason = excerpt(str(causes[-1]) or str(error) or type(error).__name__)
    match error:
        case InvalidStatus():
            headers = httpx.Headers(list(error.response.headers.raw_items()))
            return from_answer(error.response.status_code, headers, bytes(error.response.body or b""))
        case ConnectionClosed():
            return NoAnswerError("reset", f"the connection broke: {excerpt(str(error))}")
        case TimeoutError():
            return NoAnswerError("timeout", excerpt(str(error)))
        case ProxyError() | InvalidProxy() | ImportError():
            return NoAnswerError("connection failed", f"proxy: {excerpt(str(error))}")
        case OSError():
            return NoAnswerError(_connect_kind(causes), reason)
        case InvalidMessage() if any(isinstance(cause, EOFError | OSError) for cause in causes):
            return NoAnswerError("reset", f"the connection broke: {reason}")
        case _:
            return BadAnswerError(f"no WebSocket: {reason}")


def first_of(errors: BaseExceptionGroup[TasksError]) -> TasksError:
    """The first of the errors that a task group ended with."""
    first = errors.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _connect_kind(causes: list[BaseException]) -> str:
    for kind, cause_type in (
        ("tls", ssl.SSLError),
        ("name not found", socket.gaierror),
        ("connection refused", ConnectionRefusedError),
    ):
        if any(isinstance(cause, cause_type) for cause in causes):
            return kind
    return "connection failed"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that led to it, the innermost last."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for member in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _causes(member)
    inner = error.__cause__ or error.__context__
    if inner is not None:
        yield from _causes(inner)


def _status_error(
    status: int,
    fields: Mapping[str, object],
    *,
    from_api: bool,
    correlation_id: str | None,
    location: str | None = None,
) -> StatusError:
    phrase = next((known.phrase for known in HTTPStatus if known == status), "")
    return StatusError(
        status,
        _text(fields, "title") or _text(fields, "message") or phrase,  # a gateway answers {"message"}
        detail=_text(fields, "detail"),
        errors=tuple(_field_errors(fields.get("errors"))),
        from_api=from_api,
        correlation_id=correlation_id,
        location=location,
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return excerpt(value) if isinstance(value, str) else ""


def _field_errors(value: object) -> Iterator[FieldError]:
    for entry in cast("list[object]", value) if isinstance(value, list) else []:
        if isinstance(entry, dict):
            fields = cast("dict[str, Any]", entry)
            yield FieldError(_text(fields, "field"), _text(fields, "message"))
