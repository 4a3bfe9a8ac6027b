"""What the program declares for those who pay against cold starts: published versions, called by an alias."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.infra.stacks import STACKS, Program, Resource, evaluate

pytestmark = pytest.mark.xdist_group("infra")

FUNCTION = "lambda/function:Function"
ALIAS = "lambda/alias:Alias"
PROVISIONED = "lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig"
PERMISSION = "lambda/permission:Permission"

SNAP_START = {"snapStart": "true"}
PROVISIONED_BOTH = {"apiProvisionedConcurrency": "2", "workerProvisionedConcurrency": "3"}
FUNCTION_ARN = "arn:aws:lambda:eu-north-1:123456789012:function:"

#: What each option publishes: the functions that somebody waits for, or those that are kept started.
PUBLISHED = [
    (SNAP_START, {"submit-tasks", "read-tasks", "retry-tasks", "cancel-tasks", "process-tasks"}),
    (PROVISIONED_BOTH, {"submit-tasks", "read-tasks", "process-tasks"}),
    ({"apiProvisionedConcurrency": "2"}, {"submit-tasks", "read-tasks"}),
    ({"workerProvisionedConcurrency": "3"}, {"process-tasks"}),
]


def prod(option: Mapping[str, str], *, preview: bool = False) -> Program:
    """The program of the stack prod with an option set."""
    return evaluate("prod", preview=preview, **option)


def called(program: Program, function: str, published: set[str]) -> str:
    """What a caller of the function has to name: the alias of a published one, else the function itself."""
    name: str = program.inputs(FUNCTION, function)["name"]
    return f"{name}:live" if function in published else name


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_published_unless_asked_for(stack: str) -> None:
    program = evaluate(stack)
    assert program.of_type(ALIAS) == program.of_type(PROVISIONED) == []
    for function in program.of_type(FUNCTION):
        assert not function["inputs"].keys() & {"publish", "snapStart"}
    for permission in program.of_type(PERMISSION):
        assert "qualifier" not in permission["inputs"]


@pytest.mark.parametrize(("option", "published"), PUBLISHED)
def test_an_alias_follows_the_newest_version(option: Mapping[str, str], published: set[str]) -> None:
    program = prod(option)
    assert {f["name"] for f in program.of_type(FUNCTION) if f["inputs"].get("publish")} == published
    assert {alias["name"]: alias["inputs"] for alias in program.of_type(ALIAS)} == {
        name: {"name": "live", "functionName": f"tasks-prod-{name}", "functionVersion": "7"}
        for name in published
    }


def test_snapshots_are_taken_of_the_published_versions() -> None:
    program = prod(SNAP_START)
    for function in program.of_type(FUNCTION):
        inputs = function["inputs"]
        assert inputs.get("snapStart") == (
            {"applyOn": "PublishedVersions"} if inputs.get("publish") else None
        ), function["name"]
    assert program.of_type(PROVISIONED) == []


def test_environments_are_kept_started_behind_the_alias() -> None:
    program = prod(PROVISIONED_BOTH)
    assert {resource["name"]: resource["inputs"] for resource in program.of_type(PROVISIONED)} == {
        name: {
            "functionName": f"tasks-prod-{name}",
            "qualifier": "live",
            "provisionedConcurrentExecutions": environments,
        }
        for name, environments in {"submit-tasks": 2, "read-tasks": 2, "process-tasks": 3}.items()
    }
    assert not [f for f in program.of_type(FUNCTION) if "snapStart" in f["inputs"]]


@pytest.mark.parametrize(("option", "published"), PUBLISHED)
def test_every_caller_goes_through_the_alias_and_may(option: Mapping[str, str], published: set[str]) -> None:
    program = prod(option)
    for integration in program.of_type("apigatewayv2/integration:Integration"):
        uri: str = integration["inputs"]["integrationUri"]
        assert uri.split("/")[-2] == called(program, integration["name"], published)
    for source in program.of_type("lambda/eventSourceMapping:EventSourceMapping"):
        assert source["inputs"]["functionName"] == FUNCTION_ARN + called(program, source["name"], published)
    for target in program.of_type("cloudwatch/eventTarget:EventTarget"):
        assert target["inputs"]["arn"] == FUNCTION_ARN + called(program, target["name"], published)
    for permission in program.of_type(PERMISSION):
        inputs = permission["inputs"]
        function: str = inputs["function"].removeprefix("tasks-prod-")
        assert inputs.get("qualifier") == ("live" if function in published else None), permission["urn"]


@pytest.mark.parametrize(("option", "published"), PUBLISHED)
def test_an_option_changes_nothing_else(option: Mapping[str, str], published: set[str]) -> None:
    without, with_option = prod({}), prod(option)
    new = {resource["urn"] for type_ in (ALIAS, PROVISIONED) for resource in with_option.of_type(type_)}
    kept = [resource for resource in with_option.resources if resource["urn"] not in new]
    assert {urn(r): plain(r) for r in kept} == {urn(r): plain(r) for r in without.resources}


def urn(resource: Resource) -> str:
    """A resource's URN, and of a permission to call an alias that of the permission to call the function itself."""
    full: str = resource["urn"]
    return full.removesuffix("-live") if resource["type"] == f"aws:{PERMISSION}" else full


def plain(resource: Resource) -> dict[str, Any]:
    """A resource without what says that a version is published and that its alias is called."""
    inputs = {
        key: value.replace(":live", "") if isinstance(value, str) else value
        for key, value in resource["inputs"].items()
        if key not in {"publish", "snapStart", "qualifier", "statementId"}
    }
    return {"protect": resource["protect"], "inputs": inputs}


@pytest.mark.parametrize("option", [SNAP_START, PROVISIONED_BOTH])
def test_a_preview_of_a_new_stack_does_not_know_the_version_yet(option: Mapping[str, str]) -> None:
    preview, update = prod(option, preview=True), prod(option)
    assert sorted(r["urn"] for r in preview.resources) == sorted(r["urn"] for r in update.resources)
    assert preview.inputs(ALIAS, "read-tasks")["functionVersion"] == "<unknown>"
    assert (
        preview.inputs("lambda/eventSourceMapping:EventSourceMapping", "process-tasks")["functionName"]
        == "<unknown>"
    )


def test_both_at_once_declare_nothing_and_say_why() -> None:
    program = prod({**SNAP_START, **PROVISIONED_BOTH})
    assert program.resources == ()
    assert program.error is not None
    assert [line.split(";")[0] for line in program.error.splitlines()] == [
        "The configuration of stack prod is wrong:",
        "  snapStart: true",
    ]
