"""One Lambda function with everything that belongs to it alone: role, grants and log group."""

import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from infra.grants import Grant, policy_document

RUNTIME = "python3.13"
#: A fifth cheaper per second than x86_64, and all of the code is pure Python.
ARCHITECTURE = "arm64"
#: What Lambda does in a function's name to write its logs. It may create no log group: that would keep logs
#: for ever.
_LOG_ACTIONS = ("logs:CreateLogStream", "logs:PutLogEvents")

_ASSUMED_BY_LAMBDA = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


class Function(pulumi.ComponentResource):
    """A function that can do what its grants say and nothing else.

    It is created after its log group and its policy, so that no first invocation finds them missing. Its
    concurrency is not reserved: a reserved function throttles the pollers of its queue, and each throttled
    delivery counts as a receive until the queue dead-letters tasks that never ran. A queue's trigger limits
    concurrency instead.

    Attributes:
        name: Output, the function's name.
        arn: Output, the function's ARN.
        invoke_arn: Output, the ARN by which API Gateway calls the function.
    """

    def __init__(
        self,
        name: str,
        *,
        prefix: str,
        description: str,
        handler: str,
        code: pulumi.Archive,
        memory_mb: int,
        timeout_seconds: int,
        environment: Mapping[str, pulumi.Input[str]],
        grants: Sequence[Grant],
        log_retention_days: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the function, its role and its log group.

        Args:
            name: Logical name; with ``prefix`` also the function's name, and by itself the name of its
                service in logs and metrics.
            prefix: Start of all physical names of this stack.
            description: What the function does, for people in the AWS console.
            handler: Module and function in the package, as ``module.function``.
            code: The package.
            memory_mb: Memory in MB; CPU grows with it (one core at 1,769 MB).
            timeout_seconds: Longest invocation in seconds.
            environment: Environment variables of the function's own.
            grants: What the function's code, and the triggers that poll in its name, may do.
            log_retention_days: Days that its logs are kept.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:Function", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        full_name = f"{prefix}-{name}"
        log_group = aws.cloudwatch.LogGroup(
            name, name=f"/aws/lambda/{full_name}", retention_in_days=log_retention_days, opts=child
        )
        # IAM has one namespace for all regions of an account: Pulumi makes the role's name unique.
        role = aws.iam.Role(
            full_name,
            description=f"Role of the function {full_name}",
            assume_role_policy=_ASSUMED_BY_LAMBDA,
            opts=child,
        )
        own_logs = Grant(_LOG_ACTIONS, (pulumi.Output.concat(log_group.arn, ":*"),))
        policy = aws.iam.RolePolicy(
            name, role=role.name, policy=policy_document([*grants, own_logs]), opts=child
        )
        function = aws.lambda_.Function(
            name,
            name=full_name,
            description=description,
            role=role.arn,
            runtime=RUNTIME,
            architectures=[ARCHITECTURE],
            handler=handler,
            code=code,
            memory_size=memory_mb,
            timeout=timeout_seconds,
            environment={
                "variables": {
                    "POWERTOOLS_SERVICE_NAME": name,
                    "POWERTOOLS_METRICS_NAMESPACE": prefix,
                    "POWERTOOLS_LOG_LEVEL": "INFO",
                    **environment,
                }
            },
            # Start, end and report lines of each invocation cost more than they tell: warnings only.
            logging_config={
                "log_format": "JSON",
                "application_log_level": "INFO",
                "system_log_level": "WARN",
                "log_group": log_group.name,
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy, log_group]),
        )
        self.name = function.name
        self.arn = function.arn
        self.invoke_arn = function.invoke_arn
        self.register_outputs({"name": self.name, "arn": self.arn})
