"""Evaluates __main__.py with Pulumi's mocks and prints, as JSON, everything that it declared.

A process can evaluate one program once, so this is a script: it reads ``{"stack", "config", "secrets", "preview",
"root"}`` as JSON from its standard input. As a preview of a new stack, only what the program itself passes in is known,
as on AWS.
"""

import asyncio
import json
import runpy
import sys
from pathlib import Path
from typing import Any, cast

import pulumi
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.stack import run_pulumi_func

PROJECT = "tasks"
REGION, ACCOUNT = "eu-north-1", "123456789012"
INVOKE_ARN = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{{}}/invocations"

#: What AWS computes for a resource of each type from its name.
COMPUTED = {
    "aws:dynamodb/table:Table": {
        "arn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{{name}}",
        "streamArn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{{name}}/stream/2026-11-22T00:00:00.000",
    },
    "aws:sqs/queue:Queue": {
        "arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{name}}",
        "url": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{{name}}",
    },
    "aws:ssm/parameter:Parameter": {"arn": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{{name}}"},
    "aws:cloudwatch/metricAlarm:MetricAlarm": {
        "arn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{{name}}"
    },
    "aws:sns/topic:Topic": {"arn": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{name}}"},
    "aws:kms/key:Key": {"arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/alarms-id"},
    "aws:iam/role:Role": {"arn": f"arn:aws:iam::{ACCOUNT}:role/{{name}}"},
    "aws:cloudwatch/logGroup:LogGroup": {"arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{name}}"},
    "aws:lambda/function:Function": {
        "arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{name}}",
        "invokeArn": INVOKE_ARN.format("{name}"),
        "version": "7",
    },
    "aws:lambda/alias:Alias": {
        "arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{functionName}}:{{name}}",
        "invokeArn": INVOKE_ARN.format("{functionName}:{name}"),
    },
    "aws:apigatewayv2/api:Api": {
        "apiEndpoint": f"https://{{name}}.execute-api.{REGION}.amazonaws.com",
        "executionArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{{name}}",
    },
    "aws:apigatewayv2/stage:Stage": {
        "invokeUrl": f"wss://{{apiId}}.execute-api.{REGION}.amazonaws.com/{{name}}",
    },
    "aws:cloudwatch/eventRule:EventRule": {"arn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{name}}"},
}


class Cloud(pulumi.runtime.Mocks):
    """Answers like AWS after each creation, or, in a preview, like Pulumi before it."""

    def __init__(self, preview: bool) -> None:
        self._preview = preview

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        inputs = cast("dict[str, Any]", args.inputs)
        if self._preview:
            return None, inputs
        named = {"name": f"{args.name}-1234567", **inputs}
        computed = {key: value.format(**named) for key, value in COMPUTED.get(args.typ, {}).items()}
        return f"{args.name}-id", {**named, **computed}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise AssertionError(
            f"the program asks AWS for {args.token}, which a preview without an account cannot"
        )


class Recorder(MockMonitor):
    """Keeps what each registration says, with the options that mocks are not told."""

    def __init__(self, mocks: pulumi.runtime.Mocks) -> None:
        super().__init__(mocks)
        self.declared: list[dict[str, Any]] = []

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)
        if request.type != "pulumi:pulumi:Stack":
            inputs = pulumi.runtime.rpc.deserialize_properties(request.object, keep_unknowns=True)
            self.declared.append(
                {
                    "urn": response.urn,
                    "type": request.type,
                    "name": request.name,
                    "parent": request.parent,
                    "protect": request.protect,
                    "dependencies": sorted(request.dependencies),
                    "propertyDependencies": {
                        name: sorted(found.urns) for name, found in request.propertyDependencies.items()
                    },
                    "inputs": json.loads(json.dumps(_plain(inputs), default=repr)),
                    "secrets": sorted(
                        name for name in inputs if pulumi.runtime.rpc.is_rpc_secret(inputs[name])
                    ),
                }
            )
        return response


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: whole floats as integers, archives as their path, unknowns as text, secrets bare."""
    value = pulumi.runtime.rpc.unwrap_rpc_secret(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, pulumi.FileArchive):
        return {"path": value.path}
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return "<unknown>"


async def _known(output: pulumi.Output[Any]) -> Any:
    return await output.future() if await output.is_known() else "<unknown>"


def main() -> None:
    request = json.load(sys.stdin)
    root = Path(request["root"])

    def run_program() -> None:
        runpy.run_path(str(root / "__main__.py"), run_name="__main__")

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi.runtime.set_all_config(request["config"], request["secrets"])
    monitor = Recorder(Cloud(request["preview"]))
    pulumi.runtime.set_mocks(
        monitor.mocks, project=PROJECT, stack=request["stack"], preview=request["preview"], monitor=monitor
    )
    sys.path.insert(0, str(root))
    try:
        loop.run_until_complete(run_pulumi_func(run_program))
        stack = cast("pulumi.runtime.stack.Stack", pulumi.runtime.get_root_resource())
        outputs = {name: loop.run_until_complete(_known(output)) for name, output in stack.outputs.items()}
        result = {"resources": monitor.declared, "outputs": outputs}
    except pulumi.RunError as error:
        result = {"resources": monitor.declared, "error": str(error)}
    finally:
        loop.close()
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
