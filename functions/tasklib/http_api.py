"""The edge to API Gateway: an HTTP API event (payload format 2.0) in, an answer or a problem out.

Errors are RFC 9457 `application/problem+json`. Every answer carries `x-correlation-id`: the client's, if it sent
a sane one, else the gateway's request id.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

from tasklib import aws
from tasklib.clock import Deadline
from tasklib.json_document import Document
from tasklib.record import DamagedRecordError
from tasklib.telemetry import logger
from tasklib.validation import (
    FieldError,
    InvalidInputError,
    TooLargeError,
    bad_task_id,
    field_name,
    is_task_id,
    parse_json,
    shown,
)

#: The largest request body, in bytes. Lambda takes an event of 6,291,456 bytes of JSON. There, a body of text is a
#: string in which quotes, backslashes and line breaks take two bytes, and any other body is Base64, four bytes for
#: three. So 6,000,000 bytes hold each body of this size that is JSON. The rest is for everything else: 10,240 bytes of
#: request line and header values, which is what API Gateway takes, each escaped and there up to three times.
MAX_BODY: Final = 3_000_000

#: A host, with its port if it has one, as a request addresses it.
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")

#: What a correlation id may be: it goes into headers, logs, messages and records as it is.
_CORRELATION_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An answer that says what went wrong."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    @classmethod
    def of(cls, error: Exception) -> "Problem":
        """The problem that an error is to the client; one that is not the client's doing is logged."""
        match error:
            case Problem():
                return error
            case TooLargeError():
                return cls(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error), errors=error.errors)
            case InvalidInputError():
                return cls(HTTPStatus.BAD_REQUEST, str(error), errors=error.errors)
            case DamagedRecordError():
                detail = f"The record of task {error.task_id} is damaged; it has been logged."
                return cls(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
            case _ if isinstance(error, aws.AWS_ERRORS):
                logger.error("no answer from AWS", extra={"reason": aws.reason(error)})
                detail = "A service behind this API does not answer; send the request again."
                return cls(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"retry-after": "1"})
            case _:
                logger.exception("request failed", exc_info=error)
                return cls(HTTPStatus.INTERNAL_SERVER_ERROR, "The request failed; it has been logged.")

    def body(self) -> dict[str, Any]:
        """The problem as JSON."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = [{"field": name, "message": message} for name, message in self.errors]
        return body


class Request(NamedTuple):
    """One request. `route` is the key of the route that it came by, such as `GET /tasks`; by `deadline` the
    function has to have answered it.
    """

    route: str
    method: str
    path: str
    path_parameters: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]  #: names in lower case
    body: bytes
    correlation_id: str
    deadline: Deadline

    @classmethod
    def from_event(cls, event: Mapping[str, Any], correlation_id: str, deadline: Deadline) -> Self:
        """Reads the gateway's event. Raises InvalidInputError when the body is not what it is said to be."""
        http = event["requestContext"]["http"]
        return cls(
            route=event["routeKey"],
            method=http["method"],
            path=event["rawPath"],
            path_parameters=event.get("pathParameters") or {},
            query=event.get("queryStringParameters") or {},
            headers=event.get("headers") or {},
            body=_body(event),
            correlation_id=correlation_id,
            deadline=deadline,
        )

    def json(self) -> Document:
        """The body as JSON. Raises TooLargeError or InvalidInputError."""
        if len(self.body) > MAX_BODY:
            message = f"is {len(self.body)} bytes; at most {MAX_BODY} are allowed"
            raise TooLargeError(FieldError("body", message))
        return parse_json(self.body)

    def task_id(self) -> str:
        """The task ID in the path. Raises InvalidInputError."""
        task_id = self.path_parameters["taskId"]
        if not is_task_id(task_id):
            raise InvalidInputError(bad_task_id("taskId", task_id))
        return task_id

    def base_url(self) -> str:
        """The API's URL as the client addressed it, without a slash at its end. Raises InvalidInputError."""
        host = self.headers.get("host", "")
        if not _HOST.fullmatch(host):
            raise InvalidInputError(
                FieldError("Host", f"is {shown(host)}; it must be a host name or address")
            )
        # The gateway says how it was called; without one in front, it is plain HTTP.
        scheme = "https" if self.headers.get("x-forwarded-proto") == "https" else "http"
        _, _, path = self.route.partition(" ")
        return f"{scheme}://{host}{self.path.removesuffix(path)}"

    def allow_query(self, *names: str) -> None:
        """Raises InvalidInputError for query parameters of other names: a misspelt filter must not go unseen."""
        allowed = f"there are {', '.join(names)}" if names else "this address takes none"
        unknown = [name for name in self.query if name not in names]
        if unknown:
            raise InvalidInputError(
                *(FieldError(field_name(name), f"is not a query parameter; {allowed}") for name in unknown)
            )


class Answer(NamedTuple):
    """An answer with a JSON body; or with text, whose `content-type` is among the headers."""

    status: HTTPStatus
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = MappingProxyType({})


Handler = Callable[[Mapping[str, Any], Any], Mapping[str, Any]]


def endpoint(respond: Callable[[Request], Answer]) -> Handler:
    """Makes a Lambda handler of a function from request to answer.

    The function raises Problem or InvalidInputError for what is the client's doing. AWS not answering is a 503
    that may be sent again; anything else is a 500 that tells nothing and is logged whole.
    """

    def handler(event: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        correlation_id = _correlation_id(event)
        logger.append_keys(correlationId=correlation_id)
        try:
            deadline = Deadline(context.get_remaining_time_in_millis())
            answer = respond(Request.from_event(event, correlation_id, deadline))
        except Exception as error:  # noqa: BLE001 - the last line: every error becomes an answer
            problem = Problem.of(error)
            answer = Answer(problem.status, problem.body(), problem.headers)
        content_type = (
            "application/problem+json" if answer.status >= HTTPStatus.BAD_REQUEST else "application/json"
        )
        return {
            "statusCode": answer.status,
            "headers": {
                "content-type": content_type,
                "x-correlation-id": correlation_id,
                **answer.headers,
            },
            "body": answer.body
            if isinstance(answer.body, str)
            else json.dumps(answer.body, separators=(",", ":"), ensure_ascii=False),
        }

    return handler


def _body(event: Mapping[str, Any]) -> bytes:
    body: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body.encode(errors="surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise InvalidInputError(FieldError("body", "cannot be decoded")) from None


def _correlation_id(event: Mapping[str, Any]) -> str:
    headers: Mapping[str, str] = event.get("headers") or {}
    sent = headers.get("x-correlation-id", "")
    return sent if _CORRELATION_ID.fullmatch(sent) else event["requestContext"]["requestId"]
