"""Requests by the rules of https://aws.amazon.com/sqs/pricing/."""

from typing import Any

import pytest

from benchmarks.meter.sqs import billed_requests

KB = 1024


def text(size: int) -> str:
    return "." * size


@pytest.mark.parametrize(
    ("operation", "request_", "answer", "requests"),
    [
        ("SendMessage", {"MessageBody": text(100)}, {}, 1),
        ("SendMessage", {"MessageBody": text(64 * KB)}, {}, 1),
        ("SendMessage", {"MessageBody": text(64 * KB + 1)}, {}, 2),
        # "an API action with a 256 KB payload is billed as 4 requests"
        ("SendMessage", {"MessageBody": text(256 * KB)}, {}, 4),
        ("SendMessage", {"MessageBody": "é" * 64 * KB}, {}, 2),
        ("SendMessageBatch", {"Entries": [{"MessageBody": text(100)}] * 10}, {}, 1),
        ("SendMessageBatch", {"Entries": [{"MessageBody": text(20 * KB)}] * 10}, {}, 4),
        ("ReceiveMessage", {}, {}, 1),
        ("ReceiveMessage", {}, {"Messages": [{"Body": text(10 * KB)}] * 10}, 2),
        ("DeleteMessageBatch", {"Entries": [{"ReceiptHandle": text(100)}] * 10}, {}, 1),
        (
            "SendMessage",
            {
                "MessageBody": text(64 * KB - 12),
                "MessageAttributes": {"name": {"DataType": "String", "StringValue": "abc"}},
            },
            {},
            2,
        ),
    ],
)
def test_each_64_kb_of_payload_is_a_request(
    operation: str, request_: dict[str, Any], answer: dict[str, Any], requests: int
) -> None:
    assert billed_requests(operation, request_, answer) == requests
