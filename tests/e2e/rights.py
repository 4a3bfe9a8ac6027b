"""What the functions of a running stack are granted, and what of it their own code uses."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import httpx

from infra.grants import BY_PLATFORM

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

    from .conftest import LocalStack

#: An action on a resource.
Right = tuple[str, str]


def roles(stack: LocalStack) -> dict[str, str]:
    """The name of each function's role, by the function's logical name."""
    # A role is called after its function, with a random end.
    names = [role["RoleName"] for role in stack.iam.list_roles()["Roles"]]
    return {re.sub(r"^tasks-local-|-[0-9a-f]{7}$", "", name): name for name in names}


def policy(iam: IAMClient, role: str) -> tuple[str, dict[str, Any]]:
    """The name and the document of a role's only policy."""
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document: Any = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    return name, json.loads(document) if isinstance(document, str) else document


def granted(stack: LocalStack) -> dict[str, set[Right]]:
    """Each function's rights, without those that AWS uses in its name."""
    mappings: list[Any] = [*stack.functions.list_event_source_mappings()["EventSourceMappings"]]
    sources = {
        (mapping["FunctionArn"].rpartition(":")[2].removeprefix("tasks-local-"), mapping["EventSourceArn"])
        for mapping in mappings
    }
    rights: dict[str, set[Right]] = {}
    for function, role in roles(stack).items():
        _, document = policy(stack.iam, role)
        rights[function] = {
            (action, resource)
            for statement in document["Statement"]
            for action in statement["Action"]
            for resource in statement["Resource"]
            if not _is_platforms(function, action, resource, sources)
        }
    return rights


def _is_platforms(function: str, action: str, resource: str, sources: set[Right]) -> bool:
    if any(action in BY_PLATFORM[purpose] for purpose in ("write logs", "read a stream", "send traces")):
        return True
    # Only the poller of an event source calls it. The monitor's role has it with either trigger, for the time in
    # which one replaces the other.
    if action == "sqs:GetQueueAttributes":
        return True
    if action in BY_PLATFORM["poll a queue"] and (function, resource) in sources:
        return True
    return resource.endswith(":tasks-local-untold-updates")


def noted(stack: LocalStack, what: str) -> dict[str, set[Right]]:
    """What each function was `allowed` or `refused` so far, as a stack that enforces roles says."""
    notes = httpx.get(f"{stack.endpoint_url}/_local/{what}").raise_for_status().json()
    rights: dict[str, set[Right]] = {}
    for session, calls in notes.items():
        function = session.rpartition("/")[2].removeprefix("tasks-local-")
        rights.setdefault(function, set()).update((action, resource) for action, resource in calls)
    return rights


def is_among(right: Right, calls: Iterable[Right]) -> bool:
    """Whether one of these calls is what the right is for."""
    return any(right[0] == action and fnmatchcase(resource, right[1]) for action, resource in calls)


@contextmanager
def taken_away(stack: LocalStack, function: str, right: Right) -> Generator[None]:
    """The function's role lacks this right, and no other that it had, from its next call on."""
    role = roles(stack)[function]
    name, before = policy(stack.iam, role)
    kept = [
        {"Effect": "Allow", "Action": [action], "Resource": [resource]}
        for statement in before["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
        if (action, resource) != right
    ]
    lesser = {**before, "Statement": kept}
    stack.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(lesser))
    try:
        yield
    finally:
        stack.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(before))
