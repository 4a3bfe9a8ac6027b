"""The plain baseline's architecture: two functions behind an API, a queue, a worker, a table.

client -> api -> submit -> tasks table, task queue -> work -> tasks table
          api -> empty
"""

import json
import zipfile
from pathlib import Path

import pulumi
import pulumi_aws as aws

ROOT = Path(__file__).resolve().parent
TIMEOUT_SECONDS = 30
#: Workers at a time, the same as the project's own stack has in the benchmark.
WORKERS = 2
#: As Amazon recommends, and as the project itself has it.
VISIBILITY_TIMEOUT_SECONDS = 6 * TIMEOUT_SECONDS


def package() -> pulumi.FileArchive:
    """The functions' sources as a zip."""
    archive = ROOT / "build" / "functions.zip"
    archive.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(archive, "w") as functions:
        for source in sorted((ROOT / "functions").glob("*.py")):
            functions.write(source, source.name)
    return pulumi.FileArchive("build/functions.zip")


table = aws.dynamodb.Table(
    "tasks",
    name="plain-tasks",
    billing_mode="PAY_PER_REQUEST",
    hash_key="taskId",
    attributes=[{"name": "taskId", "type": "S"}],
)
dead_letters = aws.sqs.Queue("dead-letters", name="plain-dead-letters", message_retention_seconds=1_209_600)
queue = aws.sqs.Queue(
    "tasks",
    name="plain-tasks",
    visibility_timeout_seconds=VISIBILITY_TIMEOUT_SECONDS,
    message_retention_seconds=1_209_600,
    redrive_policy=pulumi.Output.json_dumps({"deadLetterTargetArn": dead_letters.arn, "maxReceiveCount": 3}),
)
role = aws.iam.Role(
    "plain",
    assume_role_policy=json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    ),
)
logs_policy = aws.iam.RolePolicyAttachment(
    "logs",
    role=role.name,
    policy_arn="arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
)
data_policy = aws.iam.RolePolicy(
    "data",
    role=role.name,
    policy=pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem"],
                    "Resource": table.arn,
                },
                {
                    "Effect": "Allow",
                    "Action": [
                        *("sqs:SendMessage", "sqs:ReceiveMessage"),
                        *("sqs:DeleteMessage", "sqs:GetQueueAttributes"),
                    ],
                    "Resource": queue.arn,
                },
            ],
        }
    ),
)
code = package()


def function(name: str) -> aws.lambda_.Function:
    """The function of the module with this name."""
    return aws.lambda_.Function(
        name,
        name=f"plain-{name}",
        role=role.arn,
        runtime="python3.13",
        architectures=["arm64"],
        handler=f"{name}.handler",
        code=code,
        memory_size=512,
        timeout=TIMEOUT_SECONDS,
        environment={"variables": {"TASKS_TABLE": table.name, "TASK_QUEUE_URL": queue.url}},
        opts=pulumi.ResourceOptions(depends_on=[logs_policy, data_policy]),
    )


work = function("work")
aws.lambda_.EventSourceMapping(
    "work",
    event_source_arn=queue.arn,
    function_name=work.name,
    batch_size=10,
    function_response_types=["ReportBatchItemFailures"],
    scaling_config={"maximum_concurrency": WORKERS},
)
api = aws.apigatewayv2.Api("api", name="plain", protocol_type="HTTP")
for path, answering in {"tasks": function("submit"), "empty": function("empty")}.items():
    integration = aws.apigatewayv2.Integration(
        path,
        api_id=api.id,
        integration_type="AWS_PROXY",
        integration_method="POST",
        integration_uri=answering.invoke_arn,
        payload_format_version="2.0",
    )
    aws.apigatewayv2.Route(
        path,
        api_id=api.id,
        route_key=f"POST /{path}",
        target=pulumi.Output.concat("integrations/", integration.id),
    )
    aws.lambda_.Permission(
        path,
        action="lambda:InvokeFunction",
        function=answering.name,
        principal="apigateway.amazonaws.com",
        source_arn=pulumi.Output.concat(api.execution_arn, "/*/POST/", path),
    )
aws.apigatewayv2.Stage("api", name="$default", api_id=api.id, auto_deploy=True)

pulumi.export("apiUrl", api.api_endpoint)
pulumi.export("tasksTableName", table.name)
pulumi.export("taskQueueUrl", queue.url)
pulumi.export("deadLetterQueueUrl", dead_letters.url)
