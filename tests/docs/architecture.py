"""`make diagram`: draws docs/architecture.md from what the program declares.

A box is a resource that holds or does something; an arrow is a permission or a trigger: nothing is drawn that the
program does not say, so an arrow that is missing here is a call that AWS would refuse.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.infra.stacks import ROOT, Program, evaluate

DOCUMENT = ROOT / "docs" / "architecture.md"
#: Whose program is drawn. Stacks differ in the monitor's trigger alone.
STACK = "dev"

#: Types that are drawn, each with its service as ARNs name it and the shape of its box in Mermaid.
_DRAWN = {
    "apigatewayv2/api:Api": ("execute-api", '{{"%s"}}'),
    "cloudwatch/eventRule:EventRule": ("events", '(("%s"))'),
    "dynamodb/table:Table": ("dynamodb", '[("%s")]'),
    "lambda/function:Function": ("lambda", '["%s"]'),
    "sqs/queue:Queue": ("sqs", '[/"%s"/]'),
    "ssm/parameter:Parameter": ("ssm", '[("%s")]'),
    "sns/topic:Topic": ("sns", '>"%s"]'),
}
#: What a function does with a resource, by the actions that it is granted; those that are missing are in _UNDRAWN.
_DOES = {
    "reads": {
        *("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"),
        *("sqs:ReceiveMessage", "ssm:GetParameter", "ssm:GetParameters"),
    },
    "writes": {
        *("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"),
        *("dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate"),
    },
    "sends": {"sqs:SendMessage"},
    "pushes": {"execute-api:ManageConnections"},
    "puts off": {"sqs:ChangeMessageVisibility"},
}
#: A part of another action, or done in a function's name by what triggers it or keeps its logs.
_UNDRAWN = {
    *("logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    *("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"),
    *("sqs:DeleteMessage", "sqs:GetQueueAttributes"),
}

_PROTOCOLS = {"HTTP": "HTTP", "WEBSOCKET": "WebSocket"}

#: From a box, to a box, what goes along it.
Arrow = tuple[str, str, str]
#: The box of a resource by its service and its physical name.
Boxes = Mapping[tuple[str, str], str]


def mermaid(program: Program) -> str:
    """The program's resources and who calls whom, as a Mermaid flowchart."""
    boxes: dict[tuple[str, str], str] = {}
    drawn: list[str] = []
    for type_, (service, shape) in _DRAWN.items():
        for resource in sorted(program.of_type(type_), key=lambda resource: resource["name"]):
            box = f"{type_.partition(':')[2]}-{resource['name']}"
            boxes[service, resource["inputs"]["name"]] = box
            drawn.append(f"    {box}{shape % _title(type_, resource)}")
    arrows = {
        *_from_clients(program, boxes),
        *_calls(program, boxes),
        *_triggers(program, boxes),
        *_grants(program, boxes),
        *_redrives(program, boxes),
        *_alarms(program, boxes),
    }
    lines = [f"    {source} -->|{what}| {target}" for source, target, what in sorted(_merged(arrows))]
    return "\n".join(["flowchart LR", '    client(["client"])', '    alarms(["alarms"])', *drawn, *lines])


def document(program: Program) -> str:
    """The whole text of docs/architecture.md."""
    return f"""# Architecture

Drawn from the program itself, as it is for the stack {STACK}, with `make diagram`: each box is a resource that it
declares, each arrow a trigger or a permission. `__main__.py` says the same as code.

```mermaid
{mermaid(program)}
```
"""


def _title(type_: str, resource: Mapping[str, Any]) -> str:
    if type_ == "cloudwatch/eventRule:EventRule":
        return resource["inputs"]["scheduleExpression"]
    return resource["name"]


def _from_clients(program: Program, boxes: Boxes) -> Iterator[Arrow]:
    for api in program.of_type("apigatewayv2/api:Api"):
        yield (
            "client",
            boxes["execute-api", api["inputs"]["name"]],
            _PROTOCOLS[api["inputs"]["protocolType"]],
        )


def _calls(program: Program, boxes: Boxes) -> Iterator[Arrow]:
    """Who may invoke which function: gateways with their routes, and schedules."""
    for permission in program.of_type("lambda/permission:Permission"):
        source = permission["inputs"]["sourceArn"]
        caller = _box(source, boxes)
        # .../{stage}/{method}{path}, or /{stage}/{route} of a WebSocket API.
        route = source.partition("/")[2].partition("/")[2].replace("/", " /", 1)
        what = route if source.split(":")[2] == "execute-api" else "calls"
        yield caller, boxes["lambda", permission["inputs"]["function"]], what


def _triggers(program: Program, boxes: Boxes) -> Iterator[Arrow]:
    """What queues and streams hand to functions, and where it goes when they cannot take it."""
    for mapping in program.of_type("lambda/eventSourceMapping:EventSourceMapping"):
        inputs = mapping["inputs"]
        function = _box(inputs["functionName"], boxes)
        what = "changes" if "/stream/" in inputs["eventSourceArn"] else "messages"
        yield _box(inputs["eventSourceArn"], boxes), function, what
        if "destinationConfig" in inputs:
            yield (
                function,
                _box(inputs["destinationConfig"]["onFailure"]["destinationArn"], boxes),
                "failures",
            )


def _grants(program: Program, boxes: Boxes) -> Iterator[Arrow]:
    """What each function's role allows it to do."""
    received = {
        (_box(mapping["inputs"]["functionName"], boxes), _box(mapping["inputs"]["eventSourceArn"], boxes))
        for mapping in program.of_type("lambda/eventSourceMapping:EventSourceMapping")
    }
    failures = {
        mapping["inputs"]["destinationConfig"]["onFailure"]["destinationArn"]
        for mapping in program.of_type("lambda/eventSourceMapping:EventSourceMapping")
        if "destinationConfig" in mapping["inputs"]
    }
    functions = {function["parent"]: function for function in program.of_type("lambda/function:Function")}
    for policy in program.of_type("iam/rolePolicy:RolePolicy"):
        function = boxes["lambda", functions[policy["parent"]]["inputs"]["name"]]
        for statement in json.loads(policy["inputs"]["policy"])["Statement"]:
            for arn in statement["Resource"]:
                for action in set(statement["Action"]) - _UNDRAWN:
                    what = next((what for what, actions in _DOES.items() if action in actions), None)
                    if what is None:
                        raise LookupError(f"{action} is neither in _DOES nor in _UNDRAWN of {__name__}")
                    target = _box(arn, boxes)
                    by_trigger = action == "sqs:ReceiveMessage" and (function, target) in received
                    if not by_trigger and arn not in failures:
                        yield function, target, what


def _redrives(program: Program, boxes: Boxes) -> Iterator[Arrow]:
    for queue in program.of_type("sqs/queue:Queue"):
        if "redrivePolicy" in queue["inputs"]:
            policy = json.loads(queue["inputs"]["redrivePolicy"])
            target = _box(policy["deadLetterTargetArn"], boxes)
            yield boxes["sqs", queue["inputs"]["name"]], target, f"after {policy['maxReceiveCount']} receives"


def _alarms(program: Program, boxes: Boxes) -> Iterator[Arrow]:
    alarms = program.of_type("cloudwatch/metricAlarm:MetricAlarm")
    for topic in {action for alarm in alarms for action in alarm["inputs"]["alarmActions"]}:
        yield "alarms", _box(topic, boxes), f"{len(alarms)} conditions"


def _box(arn: str, boxes: Boxes) -> str:
    """The box of the resource that an ARN names, or a part or version of which."""
    service = arn.split(":")[2]
    for part in re.split(r"[:/]", arn):
        if (service, part) in boxes:
            return boxes[service, part]
    raise LookupError(f"{arn} belongs to no resource that is drawn; add its type to _DRAWN of {__name__}")


def _merged(arrows: Iterable[Arrow]) -> Iterator[Arrow]:
    """One arrow from box to box, with all that goes along it."""
    along: dict[tuple[str, str], list[str]] = {}
    for source, target, what in sorted(arrows):
        along.setdefault((source, target), []).append(what)
    for (source, target), whats in along.items():
        yield source, target, f'"{"<br/>".join(whats)}"'


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(document(evaluate(STACK)))


if __name__ == "__main__":
    main()
