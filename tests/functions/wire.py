"""What lies between botocore and AWS, and what can go wrong there.

A wire carries every call of every client. Told so, it loses an answer once AWS has done the call, refuses a call or
parts of one, cuts a service off, or lets something happen between a call and its answer.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

#: Where each call with several parts has them.
_PARTS = {
    "BatchExecuteStatement": "Statements",
    "SendMessageBatch": "Entries",
    "ChangeMessageVisibilityBatch": "Entries",
}


#: As often as it comes, and once at least.
FOREVER = sys.maxsize


@dataclass
class Fault:
    """Something that happens to the first `times` calls of an operation, or parts of them, with a text in their body.

    `code` is the error that they are answered; `made`, whether they are carried out all the same.
    """

    operation: str
    text: str
    times: int
    code: str = ""
    made: bool = False
    act: Callable[[], object] = bool
    happened: int = 0


Send = Callable[[AWSPreparedRequest], AWSResponse]


class Wire:
    """Carries calls, of several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._losses: list[Fault] = []
        self._refusals: list[Fault] = []
        self._refused_parts: list[Fault] = []
        self._meanwhile: list[Fault] = []
        self._cuts: dict[tuple[str, str], str] = {}
        self.cut: set[str] = set()  # the services that cannot be reached
        self.made: list[tuple[str, str]] = []  # the calls that AWS carried out, and their bodies

    def lose(self, operation: str, text: str = "", *, times: int) -> None:
        """Lose the first answers to a call; `text` is in its body."""
        self._losses.append(Fault(operation, text, times))

    def refuse(self, operation: str, text: str = "", *, code: str, times: int = 1) -> None:
        """Answer a call with an error, in place of making it."""
        self._refusals.append(Fault(operation, text, times, code))

    def refuse_part(
        self, operation: str, text: str, *, code: str, times: int = 1, made: bool = False
    ) -> None:
        """Answer one statement or entry of a call with an error, inside an answer that is none.

        It is not carried out, unless it is `made`; the others of its call are.
        """
        self._refused_parts.append(Fault(operation, text, times, code, made))

    def postpone(self, text: str, *, times: int = 1) -> None:
        """Leave a key out of what a BatchGetItem reads, and say so, as DynamoDB does when it has too much to do."""
        self._refused_parts.append(Fault("BatchGetItem", text, times))

    def meanwhile(self, operation: str, text: str, act: Callable[[], object]) -> None:
        """Do something once, when AWS has carried out a call and before its answer arrives."""
        self._meanwhile.append(Fault(operation, text, 1, act=act))

    def cut_after(self, operation: str, text: str, *, service: str) -> None:
        """Cut a service off as soon as a call, with a text in its body, has been made."""
        self._cuts[operation, text] = service

    def mend(self) -> None:
        """Every service can be reached again."""
        self.cut.clear()
        self._cuts.clear()

    def calls(self) -> Counter[str]:
        """How many calls of each operation were carried out."""
        return Counter(operation for operation, _ in self.made)

    def bodies(self, operation: str) -> list[Any]:
        """What was asked for by the calls of an operation that were carried out."""
        return [json.loads(body) for name, body in self.made if name == operation]

    def delays(self) -> list[int]:
        """For how long the worker put messages off, in seconds, in the order of its calls."""
        calls = self.bodies("ChangeMessageVisibilityBatch")
        return [entry["VisibilityTimeout"] for call in calls for entry in call["Entries"]]

    def pending(self) -> list[Fault]:
        """What has not happened, or not as often as it should have."""
        faults = (*self._losses, *self._refusals, *self._refused_parts, *self._meanwhile)
        return [fault for fault in faults if fault.happened < (fault.times if fault.times < FOREVER else 1)]

    def send(self, to_aws: Send, request: AWSPreparedRequest) -> AWSResponse:
        """Makes a call by `to_aws`, or does not; returns or raises as it would."""
        target = cast("dict[str, bytes]", request.headers).get("X-Amz-Target")
        if target is None:
            return to_aws(request)  # the WebSocket gateway, whose stand-in does what can go wrong there
        prefix, _, operation = target.decode().rpartition(".")
        body = cast("bytes", request.body).decode()
        if ("dynamodb" if prefix.startswith("DynamoDB") else "sqs") in self.cut:
            raise EndpointConnectionError(endpoint_url=request.url)
        if refusal := self._next(self._refusals, operation, body):
            status = 500 if refusal.code.startswith("Internal") else 400
            return _answer(request, status, {"__type": refusal.code, "message": _quoting(body)})
        answer = self._send_parts(to_aws, operation, request)
        self.made.append((operation, body))
        self.cut |= {cut for (name, text), cut in self._cuts.items() if name == operation and text in body}
        if event := self._next(self._meanwhile, operation, body):
            event.act()
        if self._next(self._losses, operation, body):
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer

    def _send_parts(self, to_aws: Send, operation: str, request: AWSPreparedRequest) -> AWSResponse:
        if not self._refused_parts:
            return to_aws(request)
        fields: dict[str, Any] = json.loads(cast("bytes", request.body))
        if operation == "BatchGetItem":
            return self._read_parts(to_aws, request, fields["RequestItems"])
        name = _PARTS.get(operation, "")
        parts: list[Any] = fields.get(name, [])
        texts = [json.dumps(part) for part in parts]
        refusals = [self._next(self._refused_parts, operation, text) for text in texts]
        if not any(refusals):
            return to_aws(request)
        sent = [
            part for part, refusal in zip(parts, refusals, strict=True) if refusal is None or refusal.made
        ]
        done: dict[str, Any] = {}
        if sent:
            done = json.loads(to_aws(_with_body(request, fields | {name: sent})).content)
        if name == "Statements":
            responses = iter(done.get("Responses", []))
            answers: list[Any] = []
            for refusal, text in zip(refusals, texts, strict=True):
                carried_out = next(responses) if refusal is None or refusal.made else None
                answers.append({"Error": _error(refusal, text)} if refusal else carried_out)
            return _answer(request, 200, {"Responses": answers})
        failed = [
            {"Id": part["Id"], "SenderFault": False} | _error(refusal, text)
            for part, refusal, text in zip(parts, refusals, texts, strict=True)
            if refusal
        ]
        refused = {entry["Id"] for entry in failed}
        successful = [entry for entry in done.get("Successful", []) if entry["Id"] not in refused]
        failed += done.get("Failed", [])
        return _answer(request, 200, {"Successful": successful, "Failed": failed})

    def _read_parts(self, to_aws: Send, request: AWSPreparedRequest, tables: dict[str, Any]) -> AWSResponse:
        ((table, asked),) = tables.items()
        keys: list[Any] = asked["Keys"]
        late = [key for key in keys if self._next(self._refused_parts, "BatchGetItem", json.dumps(key))]
        if not late:
            return to_aws(request)
        answer: dict[str, Any] = {"Responses": {table: []}}
        if soon := [key for key in keys if key not in late]:
            fields = {"RequestItems": {table: asked | {"Keys": soon}}}
            answer = json.loads(to_aws(_with_body(request, fields)).content)
        return _answer(request, 200, answer | {"UnprocessedKeys": {table: asked | {"Keys": late}}})

    def _next(self, faults: Sequence[Fault], operation: str, body: str) -> Fault | None:
        """The fault that happens to this call, counted."""
        with self._lock:
            for fault in faults:
                if fault.operation == operation and fault.text in body and fault.happened < fault.times:
                    fault.happened += 1
                    return fault
        return None


def _error(refusal: Fault, part: str) -> dict[str, Any]:
    return {"Code": refusal.code, "Message": _quoting(part)}


def _quoting(asked: str) -> str:
    """What an error says at its worst: AWS's may quote the values of a call."""
    return f"told to refuse {asked}"


def _with_body(request: AWSPreparedRequest, fields: dict[str, Any]) -> AWSPreparedRequest:
    body = json.dumps(fields).encode()
    headers: Any = {**cast("Any", request.headers), "Content-Length": str(len(body))}
    return AWSPreparedRequest(request.method, request.url, headers, body, stream_output=False)


class _Raw(BytesIO):
    """The body of an answer, as botocore reads it."""

    def stream(self) -> list[bytes]:
        return [self.read()]


def _answer(request: AWSPreparedRequest, status: int, fields: dict[str, Any]) -> AWSResponse:
    headers: Any = {"content-type": "application/x-amz-json-1.0"}
    return AWSResponse(request.url, status, headers, _Raw(json.dumps(fields).encode()))
