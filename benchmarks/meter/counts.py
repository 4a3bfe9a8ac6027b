"""What is counted."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Count:
    """What all calls of one operation came to.

    Attributes:
        calls: how many there were, repeated and refused ones included.
        failed: how many of them were answered with an error.
        write_units: DynamoDB write units, those of the indexes included.
        read_units: DynamoDB read units.
        items_read: items and index entries that DynamoDB read.
        billed_requests: requests that SQS bills.
    """

    calls: int = 0
    failed: int = 0
    write_units: float = 0
    read_units: float = 0
    items_read: int = 0
    billed_requests: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Count)))
