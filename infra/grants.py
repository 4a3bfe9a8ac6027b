"""What a function may do: actions on exact resources, and the IAM policy that says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

#: What AWS does in a function's name, by what for; the function's own code does none of it. It may create no log
#: group: that would keep logs for ever.
BY_PLATFORM: Mapping[str, tuple[str, ...]] = {
    "write logs": ("logs:CreateLogStream", "logs:PutLogEvents"),
    "poll a queue": ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
    "read a stream": (
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
    ),
    "send traces": ("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    # No managed policy has it: https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
    "report what failed": ("sqs:SendMessage",),
}


@dataclass(frozen=True)
class Grant:
    """Permission to perform some actions on some resources.

    Attributes:
        actions: IAM actions with their service, such as ``sqs:SendMessage``.
        resources: ARNs of the resources.
    """

    actions: tuple[str, ...]
    resources: tuple[pulumi.Input[str], ...]


def policy_document(grants: Sequence[Grant]) -> pulumi.Output[str]:
    """The IAM policy, as JSON, that allows these grants and nothing else."""
    return pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": list(grant.actions), "Resource": list(grant.resources)}
                for grant in grants
            ],
        }
    )
