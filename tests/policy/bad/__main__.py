"""A program that breaks every rule, and beside each mistake what is just right.

The name of a resource says which rule it breaks; ``fine-`` breaks none. It is evaluated as the stack prod.
"""

import json
from typing import Any

import pulumi
import pulumi_aws as aws

TAGS = {"project": "tasks", "stack": "prod"}
ONE_DAY = 24 * 60 * 60


def document(**statement: object) -> str:
    """A policy of one statement that allows something, unless it says otherwise."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


TLS_ONLY = document(
    Effect="Deny",
    Principal="*",
    Action="sqs:*",
    Condition={"Bool": {"aws:SecureTransport": "false"}},
)


def queue(name: str, *, policy: str | None = TLS_ONLY, protect: bool = True, **props: Any) -> aws.sqs.Queue:
    """A queue that breaks no rule but for what ``props`` and the rest say; its own letters go to fine-letters."""
    all_props: dict[str, Any] = {
        "sqs_managed_sse_enabled": True,
        "message_retention_seconds": ONE_DAY,
        "tags": TAGS,
        "redrive_policy": pulumi.Output.json_dumps(
            {"deadLetterTargetArn": letters_arn, "maxReceiveCount": 9}
        ),
        **props,
    }
    declared = aws.sqs.Queue(name, opts=pulumi.ResourceOptions(protect=protect), **all_props)
    if policy:
        aws.sqs.QueuePolicy(f"fine-{name}", queue_url=declared.url, policy=policy)
    return declared


def function(name: str, *, group: pulumi.Input[str], **variables: str) -> None:
    """A function that breaks no rule but for its log group and its environment."""
    aws.lambda_.Function(
        name,
        role="arn:aws:iam::123456789012:role/worker",
        environment={"variables": variables},
        logging_config={"log_format": "JSON", "log_group": group},
        tags=TAGS,
    )


def log_group(name: str, **props: Any) -> aws.cloudwatch.LogGroup:
    """A log group that keeps its logs for a week."""
    all_props: dict[str, Any] = {"retention_in_days": 7, "tags": TAGS, **props}
    return aws.cloudwatch.LogGroup(name, **all_props)


def grant(name: str, policy: str) -> None:
    """A policy of a role."""
    aws.iam.RolePolicy(name, role="worker", policy=policy)


ARN = "arn:aws:sqs:eu-north-1:123456789012:tasks"

# encryption-at-rest, bounded-retention, dead-letter-queues, tls-only-queues

letters_arn: pulumi.Input[str] = ""
letters_arn = queue("fine-letters", redrive_policy=None).arn
queue("encryption-at-rest", sqs_managed_sse_enabled=False)
queue("fine-own-key", sqs_managed_sse_enabled=None, kms_master_key_id="alias/own")
queue("bounded-retention-unsaid", message_retention_seconds=None)
queue("bounded-retention-too-long", message_retention_seconds=15 * ONE_DAY)
queue("dead-letter-queues", redrive_policy=None)
queue("tls-only-queues", policy=None)
queue(
    "tls-only-queues-of-another",
    policy=document(
        Principal="*",
        Action="sqs:SendMessage",
        Condition={"StringEquals": {"aws:SourceAccount": "123456789012"}},
    ),
)
log_group("bounded-retention", retention_in_days=None)
aws.ssm.Parameter("encryption-at-rest", type="String", value="plain", tags=TAGS)
aws.ssm.Parameter("fine", type="SecureString", value="not plain", tags=TAGS)
aws.sns.Topic("encryption-at-rest", tags=TAGS)
aws.sns.Topic("fine", kms_master_key_id="alias/own", tags=TAGS)
failures = queue("fine-failures", redrive_policy=None)
aws.lambda_.EventSourceMapping(
    "fine",
    function_name="worker",
    event_source_arn="arn:aws:dynamodb:eu-north-1:123456789012:table/tasks/stream/1",
    destination_config={"on_failure": {"destination_arn": failures.arn}},
    tags=TAGS,
)

# no-public-access

aws.sqs.QueuePolicy(
    "no-public-access",
    queue_url="https://sqs.eu-north-1.amazonaws.com/123456789012/other",
    policy=document(Principal="*", Action="sqs:SendMessage"),
)
aws.sns.TopicPolicy(
    "no-public-access", arn=ARN, policy=document(Principal={"AWS": ["*"]}, Action="sns:Publish")
)
for name, policy in {
    "no-public-access-over-tls": document(
        Principal="*", Action="sns:Publish", Condition={"Bool": {"aws:SecureTransport": "true"}}
    ),
    "no-public-access-among-others": document(
        Principal={"AWS": ["arn:aws:iam::123456789012:root", "*"]}, Action="sns:Publish"
    ),
    "no-public-access-but-one": document(
        NotPrincipal={"AWS": "arn:aws:iam::123456789012:root"}, Action="sns:Publish"
    ),
    "fine-account": document(
        Principal="*",
        Action="sns:Publish",
        Condition={"StringEquals": {"aws:SourceAccount": "123456789012"}},
    ),
}.items():
    aws.sns.TopicPolicy(name, arn=ARN, policy=policy)
aws.sns.Topic(
    "no-public-access",
    kms_master_key_id="alias/own",
    policy=document(Principal="*", Action="sns:Publish"),
    tags=TAGS,
)
aws.kms.Key("no-public-access", policy=document(Principal="*", Action="kms:Decrypt", Resource="*"), tags=TAGS)
aws.lambda_.FunctionUrl("no-public-access", function_name="worker", authorization_type="NONE")
aws.lambda_.FunctionUrl("fine", function_name="worker", authorization_type="AWS_IAM")
PERMISSIONS: dict[str, dict[str, Any]] = {
    "no-public-access": {"principal": "*"},
    "no-public-access-for-any-account": {"principal": "events.amazonaws.com"},
    "fine": {
        "principal": "events.amazonaws.com",
        "source_arn": "arn:aws:events:eu-north-1:123456789012:rule/x",
    },
}
for name, props in PERMISSIONS.items():
    aws.lambda_.Permission(name, action="lambda:InvokeFunction", function="worker", **props)

# no-wildcard-grants

grant("no-wildcard-grants-action", document(Action="sqs:*", Resource=ARN))
grant("no-wildcard-grants-all-actions", document(Action=["sqs:SendMessage", "*"], Resource=[ARN]))
grant("no-wildcard-grants-some-actions", document(Action="sqs:Send*", Resource=ARN))
grant(
    "no-wildcard-grants-kind",
    document(Action="lambda:InvokeFunction", Resource="arn:aws:lambda:eu-north-1:123456789012:function:*"),
)
grant("fine-objects", document(Action="s3:GetObject", Resource="arn:aws:s3:::pictures/*"))
grant("no-wildcard-grants-resource", document(Action="sqs:SendMessage", Resource="*"))
grant("no-wildcard-grants-service", document(Action="sqs:SendMessage", Resource="arn:aws:sqs:*:*:*"))
grant("no-wildcard-grants-short", document(Action="sqs:SendMessage", Resource="arn:aws:sqs:*"))
grant("no-wildcard-grants-stars", document(Action="sqs:SendMessage", Resource=ARN.replace("tasks", "?*")))
aws.iam.UserPolicy("no-wildcard-grants", user="worker", policy=document(Action="sqs:*", Resource=ARN))
grant("no-wildcard-grants-not", document(NotAction="sqs:SendMessage", Resource=ARN))
grant("fine", document(Action="xray:PutTraceSegments", Resource="*"))
grant("fine-part", document(Action="logs:PutLogEvents", Resource=f"{ARN}:*"))
grant("fine-denial", document(Effect="Deny", Action="*", Resource="*"))
aws.iam.RolePolicyAttachment(
    "no-wildcard-grants", role="worker", policy_arn="arn:aws:iam::aws:policy/AdministratorAccess"
)
aws.iam.Role(
    "no-wildcard-grants",
    assume_role_policy=document(Principal={"Service": "lambda.amazonaws.com"}, Action="sts:AssumeRole"),
    inline_policies=[{"name": "all", "policy": document(Action="s3:*", Resource=ARN)}],
    managed_policy_arns=["arn:aws:iam::aws:policy/PowerUserAccess"],
    tags=TAGS,
)

# tls-endpoints, no-plain-secrets, own-log-groups

fine_group = log_group("fine")
function("fine", group=fine_group.name, SECRET_PARAMETER="/tasks/secret", URL="https://example.com")
function("tls-endpoints", group=log_group("fine-1").name, URL="http://example.com")
function("no-plain-secrets", group=log_group("fine-2").name, WEBHOOK_SECRET="whsec_")
function("own-log-groups", group="/aws/lambda/made-by-lambda")
function("own-log-groups-shared", group=fine_group.name)
grant("own-log-groups", document(Action="logs:CreateLogGroup", Resource=ARN))
aws.sns.TopicSubscription("tls-endpoints", topic=ARN, protocol="http", endpoint="http://example.com")
aws.sns.TopicSubscription("fine", topic=ARN, protocol="https", endpoint="https://example.com")

# protected-data, tagged

queue("protected-data", protect=False)
for name, protect in {"protected-data": False, "fine": True, "connections": False}.items():
    aws.dynamodb.Table(
        name,
        deletion_protection_enabled=protect,
        point_in_time_recovery={"enabled": protect},
        tags=TAGS,
        opts=pulumi.ResourceOptions(protect=protect),
    )
queue("tagged", tags=None)
queue("tagged-by-half", tags={"project": "tasks"})
