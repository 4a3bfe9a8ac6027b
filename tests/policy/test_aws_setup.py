"""docs/aws-setup.md and docs/deploy-policy.json give the one who deploys what the program needs, and nothing else."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from policy.rules import RESOURCE_RULES, TAGGABLE, Resource
from tests.infra.stacks import ROOT, evaluate
from tests.policy.declared import WITH_OPTIONS, resources_of

pytestmark = pytest.mark.xdist_group("infra")

PAGE = (ROOT / "docs" / "aws-setup.md").read_text()
POLICY = json.loads((ROOT / "docs" / "deploy-policy.json").read_text())
COLUMNS = ("create", "read", "update", "delete", "tags")
#: Statements that cannot be limited to the stack's names; the page says why.
NOT_BY_NAME = {
    *(
        "ParameterMetadata",
        "EventSourceTags",
        "LogGroupSearch",
        "AlarmSearch",
        "SavedQueries",
    ),
    *("Keys", "NewKeys", "Apis", "ApiTags"),
}
#: What AWS cannot update: it is made anew.
REPLACED = {"aws:lambda/permission:Permission"}


def table() -> dict[str, dict[str, set[str]]]:
    """The page's table: the IAM actions of each resource type by column."""
    rows: dict[str, dict[str, set[str]]] = {}
    for line in re.findall(r"^\| `(\w+/\w+:\w+)` \| (.+) \|$", PAGE, re.MULTILINE):
        type_, (service, *cells) = line[0], line[1].split(" | ")
        names = [set[str]() if cell == "-" else set(cell.split()) for cell in cells]
        rows[f"aws:{type_}"] = {
            column: {f"{service}:{name}" for name in found}
            for column, found in zip(COLUMNS, names, strict=True)
        }
    return rows


def statements() -> Mapping[str, Mapping[str, Any]]:
    return {statement["Sid"]: statement for statement in POLICY["Statement"]}


def test_every_type_that_the_program_declares_has_its_row_and_no_other() -> None:
    declared = {
        r.type
        for stack in ("dev", "prod")
        for r in resources_of(evaluate(stack, preview=False, **WITH_OPTIONS))
    }
    assert declared - table().keys() == set(), (
        "give these types a row in the table of docs/aws-setup.md, and their actions a place in docs/deploy-policy.json"
    )
    assert table().keys() - declared == set(), "nothing declares these types: take their rows away"


@pytest.mark.parametrize("type_", table())
def test_a_type_can_be_created_read_updated_deleted_and_tagged(type_: str) -> None:
    actions = table()[type_]
    needed = (
        {*COLUMNS}
        - ({"tags"} if type_ not in TAGGABLE else set())
        - ({"update"} if type_ in REPLACED else set())
    )
    assert {column for column, found in actions.items() if found} == needed


def test_the_policy_allows_what_the_table_lists_and_nothing_else() -> None:
    listed = {action for row in table().values() for found in row.values() for action in found}
    allowed = {action for statement in statements().values() for action in statement["Action"]}
    assert allowed == listed


def test_the_policy_reaches_no_further_than_the_names_of_the_stack() -> None:
    reach = {
        sid: json.dumps([statement["Resource"], statement.get("Condition")])
        for sid, statement in statements().items()
    }
    assert {sid for sid, text in reach.items() if not re.search(r"\btasks-STACK\b", text)} == NOT_BY_NAME


def test_the_policy_keeps_the_rule_against_wildcards_but_where_it_says_so() -> None:
    [rule] = [rule for rule in RESOURCE_RULES if rule.name == "no-wildcard-grants"]
    document = Resource("", "aws:iam/policy:Policy", "deploy", {"policy": json.dumps(POLICY)})
    broken = {message.partition(" on ")[0].strip("'") for message in rule.check(document)}
    # What AWS gives a name of its own to, or none, is held by conditions, or only described and tagged.
    held = ("EventSources", "NewKeys", "Keys")
    others = ("ParameterMetadata", "EventSourceTags", "LogGroupSearch", "AlarmSearch", "SavedQueries")
    assert broken == {action for sid in (*held, *others) for action in statements()[sid]["Action"]}
    asked_for, borne = (
        {f"aws:{whose}/project": "tasks", f"aws:{whose}/stack": "STACK"}
        for whose in ("RequestTag", "ResourceTag")
    )
    # Whoever could tag the key of another stack would have all rights to it.
    assert statements()["NewKeys"]["Condition"] == {"StringEquals": asked_for, "StringEqualsIfExists": borne}
    assert statements()["Keys"]["Condition"] == {"StringEquals": borne}
    assert statements()["EventSources"]["Condition"] == {
        "ArnLike": {"lambda:FunctionArn": "arn:aws:lambda:REGION:ACCOUNT:function:tasks-STACK-*"}
    }


def test_a_tagged_stage_can_be_created() -> None:
    """The gateway asks for this action by its name, and not for the verb on the address of its tags."""
    assert {"apigateway:TagResource", "apigateway:UntagResource"} <= {*statements()["Apis"]["Action"]}


def test_roles_are_handed_to_lambda_only() -> None:
    passing = [statement for statement in statements().values() if "iam:PassRole" in statement["Action"]]
    assert [statement["Condition"] for statement in passing] == [
        {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    ]


def test_the_policy_fits_into_a_role() -> None:
    assert len(re.sub(r"\s", "", json.dumps(POLICY))) <= 10_240


def test_the_roles_trust_one_repository_and_one_subject() -> None:
    trust, state = (json.loads(block) for block in re.findall(r"```json\n(.+?)```", PAGE, re.DOTALL))
    [statement] = trust["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"].keys() == {"StringEquals"}
    issuer = "token.actions.githubusercontent.com"
    assert statement["Condition"]["StringEquals"] == {
        f"{issuer}:aud": "sts.amazonaws.com",
        f"{issuer}:sub": "repo:OWNER/REPO:SUBJECT",
    }
    assert "tasks-state-ACCOUNT-STACK" in json.dumps(state)
    assert not re.search(r'"(\w+:)?\*"', json.dumps(state))


def test_the_page_names_every_variable_and_environment_of_the_workflows() -> None:
    used = "\n".join(path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    variables = set(re.findall(r"vars\.(\w+)", used))
    environments = set(re.findall(r"environment: (\S+)", used))
    assert variables
    assert variables == set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE))
    assert environments == {"dev", "prod", "prod-preview"}
    assert "Environments `dev`, `prod` and `prod-preview`." in PAGE
