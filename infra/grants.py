"""What a function may do: actions on exact resources, and the IAM policy that says so."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi


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
