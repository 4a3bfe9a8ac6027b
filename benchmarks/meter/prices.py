"""AWS list prices in us-east-1, without free tier and volume discounts, in US dollars.

Each has the page that states it, and the month of the copy of that page, or of a text that quotes it, in which it
was read. Look them up again before relying on them.

Two things have no price: EventBridge rules on a schedule, and the calls by which Lambda reads a DynamoDB stream for
a trigger (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CostOptimization_StreamsUsage.html).
What they invoke is paid for as any invocation.
"""

from dataclasses import dataclass
from typing import Final

_MILLION: Final = 1e6


@dataclass(frozen=True, slots=True)
class Price:
    """What something costs.

    Attributes:
        each: dollars for one unit.
        unit: what the unit is.
        source: the page that states the price.
        seen: year and month for which it was read.
    """

    each: float
    unit: str
    source: str
    seen: str


#: An HTTP API's request is metered in steps of 512 KB.
HTTP_REQUEST: Final = Price(
    1.00 / _MILLION, "request of up to 512 KB", "https://aws.amazon.com/api-gateway/pricing/", "2025-05"
)
INVOCATION: Final = Price(0.20 / _MILLION, "invocation", "https://aws.amazon.com/lambda/pricing/", "2026-05")
#: Duration is rounded up to whole milliseconds and, since August 2025, includes the initialisation of cold starts.
GB_SECOND: Final = Price(
    13.3334 / _MILLION,
    "second of 1,024 MB on arm64",
    "https://aws.amazon.com/lambda/pricing/",
    "2026-05",
)
WRITE_UNIT: Final = Price(
    0.625 / _MILLION,
    "write request unit, on demand",
    "https://aws.amazon.com/dynamodb/pricing/on-demand/",
    "2025-07",
)
READ_UNIT: Final = Price(
    0.125 / _MILLION,
    "read request unit, on demand",
    "https://aws.amazon.com/dynamodb/pricing/on-demand/",
    "2025-07",
)
SQS_REQUEST: Final = Price(
    0.40 / _MILLION,
    "request of up to 64 KB, standard queue",
    "https://aws.amazon.com/sqs/pricing/",
    "2026-06",
)
LOG_GB: Final = Price(
    0.50, "GB of logs taken in, standard class", "https://aws.amazon.com/cloudwatch/pricing/", "2026-06"
)
