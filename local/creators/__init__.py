"""How each resource type of the program is created in the emulator: one module per AWS service.

The fidelity rule: a creator passes on every input property of its resource, nested ones included, or lists it with
the reason why it has no meaning locally. A type or a property that is not written down here is an error.
"""

from collections.abc import Mapping

from local.creators import apigatewayv2, cloudwatch, dynamodb, events, iam, kms, lambda_, logs, sns, sqs, ssm
from local.creators.resource_type import ResourceType

#: Every resource type that a local run knows, by its Pulumi type token.
RESOURCE_TYPES: Mapping[str, ResourceType] = {
    resource_type.token: resource_type
    for module in (apigatewayv2, cloudwatch, dynamodb, events, iam, kms, lambda_, logs, sns, sqs, ssm)
    for resource_type in module.RESOURCE_TYPES
}
