"""How many requests SQS bills for a call.

Source: https://aws.amazon.com/sqs/pricing/: every action is a request, a batch of up to ten messages is one, and each
64 KB of an action's payload is one.
"""

from collections.abc import Iterable, Mapping
from typing import Any

_CHUNK = 64 * 1024

#: Messages of one call of the SQS API, at most.
MOST_MESSAGES = 10

Json = Mapping[str, Any]


def billed_requests(operation: str, request: Json, answer: Json) -> int:
    """Requests that a call is billed as: those of the messages that it sends or receives, at least one."""
    match operation:
        case "SendMessage":
            payload = _size([request], "MessageBody")
        case "SendMessageBatch":
            payload = _size(request.get("Entries", []), "MessageBody")
        case "ReceiveMessage":
            payload = _size(answer.get("Messages", []), "Body")
        case _:
            payload = 0
    return max(1, -(-payload // _CHUNK))


def _size(messages: Iterable[Json], body: str) -> int:
    """Bytes of messages: their bodies, and the names, types and values of their attributes."""
    total = 0
    for message in messages:
        total += len(message.get(body, "").encode())
        for name, attribute in message.get("MessageAttributes", {}).items():
            total += len(name.encode()) + sum(len(str(part).encode()) for part in attribute.values())
    return total
