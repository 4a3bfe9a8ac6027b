"""One Lambda function with everything that belongs to it alone: role, grants and log group."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.grants import BY_PLATFORM, Grant, policy_document

RUNTIME = "python3.13"
#: The name under which the published version is called.
_LIVE = "live"

_ASSUMED_BY_LAMBDA = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


@dataclass(frozen=True)
class ColdStart:
    """What is paid for, so that fewer calls wait for a function to start. AWS refuses both at once.

    Either works on published versions only. AWS keeps every version that was ever published, and their packages
    count against the 75 GB of code of an account in a region: whoever deploys often deletes old ones. A snapshot
    is paid for until nobody has called its version for 14 days; the next calls then fail until AWS has taken a
    new one.

    Attributes:
        snap_start: Start from a snapshot that was taken after the imports, when the version was published.
        provisioned_concurrency: Environments that are kept started; calls beyond them start cold.
    """

    snap_start: bool = False
    provisioned_concurrency: int = 0

    @property
    def needs_version(self) -> bool:
        """Whether there is anything to publish a version for."""
        return self.snap_start or self.provisioned_concurrency > 0


#: Nothing is paid for: a start takes what it takes.
UNPAID = ColdStart()


class Function(pulumi.ComponentResource):
    """A function that can do what its grants say and nothing else.

    It is created after its log group and its policy, so that no first invocation finds them missing. Its
    concurrency is not reserved: a reserved function throttles the pollers of its queue, and each throttled
    delivery counts as a receive until the queue dead-letters tasks that never ran. A queue's trigger limits
    concurrency instead.

    If versions of it are published, all that calls it calls the newest of them, through the alias ``live``.

    Attributes:
        name: Output, the function's name.
        log_group: Output, the name of the log group that it writes to.
        arn: Output, the ARN to call: the alias's, or else the function's.
        invoke_arn: Output, the same as API Gateway wants it.
    """

    def __init__(
        self,
        name: str,
        *,
        prefix: str,
        description: str,
        handler: str,
        code: pulumi.Archive,
        architecture: str,
        memory_mb: int,
        timeout_seconds: int,
        environment: Mapping[str, pulumi.Input[str]],
        grants: Sequence[Grant],
        log_retention_days: int,
        tracing: bool,
        cold_start: ColdStart = UNPAID,
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
            architecture: ``arm64`` or ``x86_64``; the code is pure Python.
            memory_mb: Memory in MB; CPU grows with it (one core at 1,769 MB).
            timeout_seconds: Longest invocation in seconds.
            environment: Environment variables of the function's own.
            grants: What the function's code, and the triggers that poll in its name, may do.
            log_retention_days: Days that its logs are kept.
            tracing: Send a trace of each sampled invocation to X-Ray.
            cold_start: What is paid for against cold starts.
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
        own_logs = Grant(BY_PLATFORM["write logs"], (pulumi.Output.concat(log_group.arn, ":*"),))
        # Traces belong to no resource.
        own_traces = [Grant(BY_PLATFORM["send traces"], ("*",))] if tracing else []
        policy = aws.iam.RolePolicy(
            name, role=role.name, policy=policy_document([*grants, own_logs, *own_traces]), opts=child
        )
        function = aws.lambda_.Function(
            name,
            name=full_name,
            description=description,
            role=role.arn,
            runtime=RUNTIME,
            architectures=[architecture],
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
            tracing_config={"mode": "Active"} if tracing else None,
            publish=cold_start.needs_version or None,
            snap_start={"apply_on": "PublishedVersions"} if cold_start.snap_start else None,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy, log_group]),
        )
        alias = None
        if cold_start.needs_version:
            alias = aws.lambda_.Alias(
                name, name=_LIVE, function_name=function.name, function_version=function.version, opts=child
            )
            if cold_start.provisioned_concurrency:
                aws.lambda_.ProvisionedConcurrencyConfig(
                    name,
                    function_name=function.name,
                    qualifier=alias.name,
                    provisioned_concurrent_executions=cold_start.provisioned_concurrency,
                    opts=child,
                )
        self.name = function.name
        self.log_group = log_group.name
        self._qualifier = alias.name if alias else None
        self._target = f"{name}-{_LIVE}" if alias else name
        self.arn = (alias or function).arn
        self.invoke_arn = (alias or function).invoke_arn
        self.register_outputs({"name": self.name, "arn": self.arn})

    def permit(
        self,
        caller: str,
        *,
        principal: str,
        source_arn: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
    ) -> aws.lambda_.Permission:
        """Let a service call the function, or its alias.

        A permission to call another target has another name. So when the target of a caller changes, Pulumi creates
        the new permission first and deletes the old one last. What calls must depend on its permission: it then
        changes in between, and has the right to call all the time.

        Args:
            caller: Logical name of the caller.
            principal: The service, such as ``events.amazonaws.com``.
            source_arn: For what in that service.
            opts: Options of the permission.
        """
        name = f"{caller}-to-{self._target}"
        return aws.lambda_.Permission(
            name,
            statement_id=name,
            action="lambda:InvokeFunction",
            function=self.name,
            qualifier=self._qualifier,
            principal=principal,
            source_arn=source_arn,
            opts=opts,
        )
