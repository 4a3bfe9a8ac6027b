"""What is granted to AWS itself is what AWS's own policies of that purpose grant."""

import json
from typing import Any, cast

import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

from infra.grants import BY_PLATFORM

#: AWS's managed policy for each purpose. Their right to create log groups is left out on purpose.
MANAGED = {
    "write logs": "AWSLambdaBasicExecutionRole",
    "poll a queue": "AWSLambdaSQSQueueExecutionRole",
    "read a stream": "AWSLambdaDynamoDBExecutionRole",
}


def managed(name: str) -> set[str]:
    policies = cast("dict[str, Any]", json.loads(aws_managed_policies_data))
    statements = policies[name]["Document"]["Statement"]
    return {action for statement in statements for action in statement["Action"]}


@pytest.mark.parametrize("purpose", MANAGED)
def test_it_is_what_awss_own_policy_grants_for_it(purpose: str) -> None:
    logs = managed(MANAGED["write logs"])
    granted = managed(MANAGED[purpose]) - (logs if purpose != "write logs" else {"logs:CreateLogGroup"})
    assert set(BY_PLATFORM[purpose]) == granted
