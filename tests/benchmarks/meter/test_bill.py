"""From usage to dollars."""

import pytest

from benchmarks.meter.bill import (
    Usage,
    api_calls,
    dollars_per_million,
    http_requests,
    invocations,
    logs,
    polls,
)
from benchmarks.meter.counts import Count

KB = 1024


def test_usages_add_up() -> None:
    total = Usage(http_requests=1, log_bytes=5) + Usage(http_requests=2, gb_seconds=0.5) + Usage()
    assert total == Usage(http_requests=3, gb_seconds=0.5, log_bytes=5)


def test_a_request_is_metered_in_steps_of_512_kb() -> None:
    # https://aws.amazon.com/api-gateway/pricing/: "HTTP APIs are metered in 512 KB increments"
    assert http_requests([0, 100, 512 * KB]) == Usage(http_requests=3)
    assert http_requests([513 * KB, 5 * KB * KB]) == Usage(http_requests=2 + 10)


def test_a_duration_is_rounded_up_to_whole_milliseconds() -> None:
    # https://aws.amazon.com/blogs/aws/new-for-aws-lambda-1ms-billing-granularity-adds-cost-savings/: 27.55 ms is 28 ms
    assert invocations([27.55], 1024) == Usage(invocations=1, gb_seconds=0.028)
    assert invocations([1000, 0.2], 512) == Usage(invocations=2, gb_seconds=1.001 / 2)


def test_a_log_event_is_its_text_and_26_bytes() -> None:
    assert logs(["héllo", ""]) == Usage(log_bytes=6 + 26 + 26)


@pytest.mark.parametrize(
    ("messages", "batch_size", "requests"),
    [
        (0, 10, 0),
        (1, 10, 2),
        (10, 10, 2),
        (11, 10, 4),
        (100, 10, 20),
        (100, 1, 200),
        (100, 100, 20),
        (105, 50, 22),
    ],
)
def test_lambda_receives_and_deletes_each_batch(messages: int, batch_size: int, requests: int) -> None:
    assert polls(messages, batch_size) == Usage(sqs_requests=requests)


def test_counted_calls_become_usage() -> None:
    counts = {
        "dynamodb.PutItem": Count(calls=3, write_units=6),
        "dynamodb.Query": Count(calls=1, read_units=0.5, items_read=9),
        "sqs.SendMessage": Count(calls=2, billed_requests=3),
        "lambda.GET /2015-03-31": Count(calls=1),
    }
    assert api_calls(counts) == Usage(write_units=6, read_units=0.5, sqs_requests=3)


def test_a_million_tasks_of_one_request_each() -> None:
    # The arithmetic of a task that is submitted by a request of its own and succeeds at once, in batches of 10:
    # a quarter of a GB for 24 ms, 4 write units, a message sent, and received and deleted with nine others.
    one_by_one = (
        http_requests([300] * 10)
        + invocations([24] * 10, 256)
        + Usage(write_units=40)
        + Usage(sqs_requests=10)
        + polls(10, 10)
        + logs(["." * 174] * 10)
    )
    assert dollars_per_million(one_by_one, 10) == pytest.approx(
        {
            "API Gateway": 1.00,
            "Lambda": 0.20 + 0.0800004,
            "DynamoDB": 2.50,
            "SQS": 0.40 * 1.2,
            "CloudWatch Logs": 0.10,
        }
    )
