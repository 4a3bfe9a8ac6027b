"""Delivers a JSON document to a URL by HTTP, signed as Standard Webhooks says (standardwebhooks.com).

A status of 2xx is a delivery; 408, 429, 5xx and no answer at all are tried again, after what `Retry-After` asks for if
it does; every other status is final. Where it may deliver to is the stack's to say: `webhookAllowedHosts` and
`webhookAllowedNetworks`. A delivery can be repeated after a crash: its `webhook-id` is the same in all attempts of a
run, and in no other delivery.
"""

import base64
import binascii
import hmac
import http
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from tasklib.payload import Limits
from tasklib.task_type import Attempt, PermanentError, RetryLaterError, task_type

#: Characters of the receiver's answer that the task's result keeps.
MAX_EXCERPT: Final = 1000

_URL = Limits(
    *(1, 2048),
    r"[Hh][Tt][Tt][Pp][Ss]?://[^\x00-\x20\x7f/?#@\\]+([/?#][^\x00-\x20\x7f\\]*)?",
    "an http or https URL without user name",
)
_HEADER_NAME = Limits(1, 100, r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "a header's name")
_HEADER_VALUE = Limits(None, 4096, r"[\x20-\x7e]*", "printable ASCII text")

#: Headers that are ours to set, or that speak of a connection rather than of a request.
_RESERVED: Final = re.compile(
    r"host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|proxy-.*|webhook-.*"
)


class DeliveryError(Exception):
    """It was not delivered, and may be at the next attempt."""


@dataclass(frozen=True)
class Webhook:
    """A JSON document and where to deliver it."""

    url: Annotated[str, _URL, "Where to deliver it."]
    body: Annotated[Any, "The JSON document, which becomes the body of the request."]
    method: Annotated[Literal["POST", "PUT", "PATCH"], "The HTTP method."] = "POST"
    headers: Annotated[
        dict[Annotated[str, _HEADER_NAME], Annotated[str, _HEADER_VALUE]],
        Limits(most=50),
        "Headers to send besides; none that concerns the connection, nor webhook-*. Only the URL's own host gets them.",
    ] = field(default_factory=dict[str, str])
    timeout_seconds: Annotated[
        float, Limits(1, 20), "Seconds for all of it: from the name's resolution to the answer."
    ] = 10

    def check(self) -> Iterator[tuple[str, str]]:
        """No header of our own is set twice."""
        names = [name.lower() for name in self.headers]
        for name, lower in zip(self.headers, names, strict=True):
            if _RESERVED.fullmatch(lower):
                yield f"headers.{name}", "is a header that a task cannot set"
            elif names.count(lower) > 1:
                yield f"headers.{name}", "is there more than once"


@task_type("webhook", payload=Webhook, time_limit_seconds=22, secrets={"signing": "WEBHOOK_SECRET_PARAMETER"})
def webhook(delivery: Webhook, attempt: Attempt) -> dict[str, Any]:
    """Delivers, and returns the answer's status and the start of its body.

    Raises:
        PermanentError: It cannot be delivered to there, or the receiver does not want it.
        RetryLaterError: The receiver asked for a wait.
        DeliveryError: Anything else went wrong.
    """
    # Not above: every cold start of a stack would pay for these 45 ms.
    from tasklib import outbound  # noqa: PLC0415

    body = json.dumps(delivery.body, separators=(",", ":"), ensure_ascii=False).encode()
    own_headers = {name.lower(): value for name, value in delivery.headers.items()}
    headers = {
        "content-type": own_headers.pop("content-type", "application/json"),
        "user-agent": own_headers.pop("user-agent", "tasks-webhook"),
        **signature(attempt, body),
    }
    request = outbound.Request(delivery.method, delivery.url, headers, own_headers, body)
    started = time.monotonic()
    try:
        answer = outbound.send(request, outbound.Rules.from_environment(os.environ), delivery.timeout_seconds)
    except outbound.ForbiddenError as error:
        raise PermanentError(str(error)) from None
    except outbound.NoAnswerError as error:
        raise DeliveryError(str(error)) from None
    if 200 <= answer.status < 300:
        excerpt = answer.text(MAX_EXCERPT)
        return {
            "status": answer.status,
            "excerpt": excerpt,
            "truncated": not answer.is_whole or len(excerpt) == MAX_EXCERPT,
            "durationMs": round((time.monotonic() - started) * 1000),
        }
    said = f"{answer.host} answered {_described(answer.status)}"
    if answer.status not in (408, 429) and not 500 <= answer.status < 600:
        raise PermanentError(f"{said}, which is not followed" if 300 <= answer.status < 400 else said)
    delay = answer.retry_after()
    if delay is None:
        raise DeliveryError(said)
    raise RetryLaterError(f"{said} and asks to wait {delay:.0f} s", delay)


def signature(attempt: Attempt, body: bytes) -> dict[str, str]:
    """The headers that prove to the receiver who sent this, and when.

    The secret is `whsec_` and 24 to 64 bytes in Base64; while it is being replaced, both, with a space between.

    Raises:
        PermanentError: There is no secret, or it is none.
    """
    secrets = attempt.secrets.get("signing", "").split()
    if not secrets:
        raise PermanentError(
            "there is no secret to sign with; set webhookSecret in the stack's configuration"
        )
    identity = f"msg_{attempt.idempotency_key}"
    timestamp = str(int(time.time()))
    return {
        "webhook-id": identity,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(sign(secret, identity, timestamp, body) for secret in secrets),
    }


def sign(secret: str, identity: str, timestamp: str, body: bytes) -> str:
    """One signature of a delivery. Raises PermanentError for a secret that is none."""
    code = hmac.digest(_key(secret), f"{identity}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(code).decode()}"


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise PermanentError("webhookSecret is not whsec_ and 24 to 64 bytes in Base64")
    return key


def _described(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
