"""What came back for each request, and what no answer may hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

#: Words that only the inside of the system knows: of Python, of its packages, of AWS's resources.
_INTERNAL: Final = re.compile(
    r"Traceback|most recent call|File \"|, line \d+|\bline \d+, in\b|\w+\.py\b|site-packages|/var/task|/opt/python"
    r"|/tmp/|/home/|/root/"
    r"|\b(botocore|boto3|pydantic|aws_lambda_powertools|tasklib|task_types|ministack|hypercorn|urllib3)\b"
    r"|\b[A-Z]\w*(Error|Exception|Warning)\b|<class |<function |object at 0x|NoneType|has no attribute"
    r"|\bsys\.\w+|\bint\(|\bcodec\b|recursion|positional argument|dict\b|\bbytes-like|datetime\.|Decimal\("
    r"|\barn:aws|(?<![\w-])\d{12}(?![\w-])|tasks-local|dead-letter-queue|amazonaws|DynamoDB|\bSQS\b|AKIA\w{8}"
    r"|ConditionExpression|ExpressionAttribute|contentHash|listShard|createdKey|claimId"
)

#: What an answer's own header may be that says which request it is of.
_CORRELATION_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

_HEADERS: Final = {
    *("content-type", "content-length", "date", "x-correlation-id", "apigw-requestid", "allow", "location"),
    *("cache-control", "content-security-policy", "x-content-type-options", "referrer-policy", "retry-after"),
    *("connection",),
}


class Exchange(NamedTuple):
    """A request as it was sent, and its answer. `request` says in short what it was."""

    request: str
    method: str
    sent: bytes
    status: int
    headers: Sequence[tuple[str, str]]  #: names in lower case
    body: bytes

    def header(self, name: str) -> str:
        """A header of the answer, empty when it has none."""
        return next((value for key, value in self.headers if key == name), "")

    def tasks_taken(self) -> set[str]:
        """The IDs of the tasks that the answer says are stored."""
        if self.method != "POST" or not 200 <= self.status < 300:
            return set()
        body = json.loads(self.body)
        bodies = [result.get("task", {}) for result in body["results"]] if "results" in body else [body]
        return {each["taskId"] for each in bodies if "taskId" in each}

    def tickets_given(self) -> set[str]:
        """The tickets for live updates that are in the answer."""
        if not self.body.startswith(b'{"webSocketUrl"'):
            return set()
        url: str = json.loads(self.body)["webSocketUrl"]
        return {*parse_qs(urlsplit(url).query)["ticket"]}

    def is_refusal(self) -> bool:
        """Whether nothing of the request was done."""
        return 400 <= self.status < 500 or (self.status == 207 and not self.tasks_taken())


def problems(exchanges: Iterable[Exchange], pages: Mapping[str, bytes]) -> list[str]:
    """What is wrong with the answers, each with its request. `pages` are the only HTML there is, by their path."""
    return [
        f"{wrong}\n  request {exchange.request}\n  answer {exchange.status} {exchange.body[:500]!r}"
        for exchange in exchanges
        for wrong in _wrongs(exchange, pages)
    ]


def leaks(said: str, sent: bytes) -> set[str]:
    """Words of the inside in what was said, but for those that the client itself had sent."""
    own = (sent + unquote_to_bytes(sent)).decode(errors="replace")
    return {match[0] for match in _INTERNAL.finditer(said) if match[0] not in own}


def _wrongs(exchange: Exchange, pages: Mapping[str, bytes]) -> Iterable[str]:
    status, body = exchange.status, exchange.body
    if not 200 <= status < 500:
        yield f"status {status}"
    kind = exchange.header("content-type")
    if kind.startswith("text/html"):
        if body not in pages.values():
            yield "HTML that is none of the pages"
        return
    if kind not in ("application/json", "application/problem+json", "") or (body and not kind):
        yield f"content type {kind}"
    if 400 <= status < 500 and exchange.header("x-correlation-id") and exchange.method != "HEAD":
        yield from _no_problem(kind, status, body)
    # The description of the API is public, and the same for all.
    if body != pages.get("/openapi.json"):
        headers = "\n".join(f"{name}: {value}" for name, value in exchange.headers)
        for leak in sorted(leaks(f"{headers}\n{body.decode(errors='replace')}", exchange.sent)):
            yield f"tells {leak!r}"
    for name, value in exchange.headers:
        if name not in _HEADERS:
            yield f"header {name}"
        if name == "x-correlation-id" and not _CORRELATION_ID.fullmatch(value):
            yield f"correlation id {value!r}"


def _no_problem(kind: str, status: int, body: bytes) -> Iterable[str]:
    problem: Any = json.loads(body)
    if kind != "application/problem+json" or not {"type", "title", "status", "detail"} <= problem.keys():
        yield "no problem+json"
    elif problem["status"] != status:
        yield f"a problem of status {problem['status']}"
