"""Published versions of functions, as SnapStart and provisioned concurrency need them, in the emulator."""

import sys
import zipfile
from pathlib import Path

import pytest

from local.aws import Aws
from tests.local.conftest import StartStack
from tests.local.stack_process import get
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is left behind is looked up in /proc")

#: A function behind an API and one behind a queue, each called through the alias of its version.
PUBLISHED = """
import json

import pulumi
import pulumi_aws as aws

jobs = aws.sqs.Queue("jobs")
role = aws.iam.Role("role", assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": []}))
api = aws.apigatewayv2.Api("api", protocol_type="HTTP")
aws.apigatewayv2.Stage("api", api_id=api.id, name="$default", auto_deploy=True)


def publish(name, snap_start=None):
    function = aws.lambda_.Function(name, name=name, role=role.arn, runtime="python3.13", handler="handler.handle",
        code=pulumi.FileArchive("function.zip"), publish=True, snap_start=snap_start)
    return aws.lambda_.Alias(name, name="live", function_name=function.name, function_version=function.version)


snapped = publish("snapped", {"apply_on": "PublishedVersions"})
integration = aws.apigatewayv2.Integration("api", api_id=api.id, integration_type="AWS_PROXY",
    integration_uri=snapped.invoke_arn, payload_format_version="2.0")
aws.apigatewayv2.Route("api", api_id=api.id, route_key="$default",
    target=pulumi.Output.concat("integrations/", integration.id))
aws.lambda_.Permission("api", action="lambda:InvokeFunction", function=snapped.function_name, qualifier=snapped.name,
    principal="apigateway.amazonaws.com", source_arn=pulumi.Output.concat(api.execution_arn, "/*"))
provisioned = publish("provisioned")
aws.lambda_.EventSourceMapping("jobs", event_source_arn=jobs.arn, function_name=provisioned.arn)
aws.lambda_.ProvisionedConcurrencyConfig("provisioned", function_name=provisioned.function_name,
    qualifier=provisioned.name, provisioned_concurrent_executions=2)

pulumi.export("apiUrl", api.api_endpoint)
pulumi.export("jobsUrl", jobs.url)
pulumi.export("arns", [snapped.arn, provisioned.arn])
"""

FUNCTION = {
    "handler.py": """
def handle(event, context):
    for record in event.get("Records", []):
        print(record["body"], "by", context.function_version)
    return {"version": context.function_version}
"""
}


@pytest.mark.long
def test_an_alias_leads_to_the_version_that_was_published_last(
    start_stack: StartStack, tmp_path: Path
) -> None:
    stack = start_stack(PUBLISHED, FUNCTION, arguments=("--json", "--port", "0", "--watch"))
    outputs = stack.ready()
    aws = Aws(outputs["endpointUrl"], outputs["region"])
    assert [arn.rpartition(":function:")[2] for arn in outputs["arns"]] == [
        "snapped:live",
        "provisioned:live",
    ]
    aws.call("sqs", "send_message", {"QueueUrl": outputs["jobsUrl"], "MessageBody": "one"})
    assert get(outputs, "/") == {"version": "1"}
    version = {"FunctionName": "snapped", "Qualifier": "1"}
    assert aws.call("lambda", "get_function_configuration", version)["State"] == "Active"
    alias = {"FunctionName": "provisioned", "Qualifier": "live"}
    kept = aws.call("lambda", "get_provisioned_concurrency_config", alias)
    assert kept["RequestedProvisionedConcurrentExecutions"] == 2
    wait_for(lambda: "provisioned one by 1" in stack.stderr(), "the queue's message in the logs")

    with zipfile.ZipFile(tmp_path / "program0" / "function.zip", "w") as archive:
        archive.writestr("handler.py", FUNCTION["handler.py"].replace('"version"', '"newer"'))
    program = tmp_path / "program0" / "__main__.py"
    program.write_text(PUBLISHED.replace("executions=2", "executions=3"))
    what = "__main__.py changes provisionedConcurrentExecutions of "
    wait_for(lambda: f"restart for this: {what}" in stack.stderr(), "what cannot be updated")
    assert get(outputs, "/") == {"version": "1"}
    program.write_text(PUBLISHED)
    wait_for(lambda: "updated: 2 functions (__main__.py), " in stack.stderr(), "the update")
    assert get(outputs, "/") == {"newer": "2"}
    assert stack.end() == 0
