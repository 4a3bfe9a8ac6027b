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
    *("Keys", "KeysBeforeTheirTagsCount", "NewKeys", "Apis", "ApiTags"),
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
    held = ("EventSources", "NewKeys", "KeysBeforeTheirTagsCount", "Keys")
    others = ("ParameterMetadata", "EventSourceTags", "LogGroupSearch", "AlarmSearch", "SavedQueries")
    assert broken == {action for sid in (*held, *others) for action in statements()[sid]["Action"]}
    asked_for, borne = (
        {f"aws:{whose}/project": "tasks", f"aws:{whose}/stack": "STACK"}
        for whose in ("RequestTag", "ResourceTag")
    )
    # Whoever could tag the key of another stack would have all rights to it.
    assert statements()["NewKeys"]["Condition"] == {"StringEquals": asked_for, "StringEqualsIfExists": borne}
    assert statements()["Keys"]["Condition"] == {"StringEquals": borne}
    assert statements()["KeysBeforeTheirTagsCount"]["Condition"] == {"StringEqualsIfExists": borne}
    assert statements()["EventSources"]["Condition"] == {
        "ArnLike": {"lambda:FunctionArn": "arn:aws:lambda:REGION:ACCOUNT:function:tasks-STACK-*"}
    }


OWN_TAGS = {"project": "tasks", "stack": "STACK"}
KEY_ACTIONS = sorted(action for found in table()["aws:kms/key:Key"].values() for action in found)
#: What the provider calls for a new key right after its creation: https://docs.aws.amazon.com/kms/latest/developerguide/abac.html
#: says that its tags may take five minutes to count. KMS itself asks for PutKeyPolicy during CreateKey: whoever makes
#: a key must be able to change its policy.
BEFORE_TAGS_COUNT = {
    *("kms:PutKeyPolicy", "kms:EnableKeyRotation", "kms:GetKeyRotationStatus", "kms:GetKeyPolicy"),
    *("kms:ListResourceTags", "kms:DescribeKey"),
}


def allowed(action: str, *, requested: Mapping[str, str], borne: Mapping[str, str]) -> bool:
    """Whether IAM allows an action on a key that bears these tags, in a request that has those."""
    context = {
        **{f"aws:RequestTag/{name}": value for name, value in requested.items()},
        **{f"aws:ResourceTag/{name}": value for name, value in borne.items()},
    }
    return any(
        action in statement["Action"] and _holds(statement.get("Condition", {}), context)
        for statement in statements().values()
    )


def _holds(condition: Mapping[str, Mapping[str, str]], context: Mapping[str, str]) -> bool:
    assert condition.keys() <= {"StringEquals", "StringEqualsIfExists"}
    wanted, if_there = condition.get("StringEquals", {}), condition.get("StringEqualsIfExists", {})
    return wanted.items() <= context.items() and all(
        context.get(key, value) == value for key, value in if_there.items()
    )


def test_the_key_of_the_alarms_can_be_created_before_its_tags_count() -> None:
    for action in ("kms:CreateKey", "kms:TagResource"):
        assert allowed(action, requested=OWN_TAGS, borne={}), action
    refused = {action for action in BEFORE_TAGS_COUNT if not allowed(action, requested={}, borne={})}
    assert refused == set()


@pytest.mark.parametrize("action", KEY_ACTIONS)
def test_a_key_of_the_stack_can_be_changed_and_deleted(action: str) -> None:
    assert allowed(action, requested=OWN_TAGS, borne=OWN_TAGS)


@pytest.mark.parametrize(
    "borne", [{"project": "tasks-state", "stack": "STACK"}, {"project": "tasks", "stack": "other"}], ids=str
)
@pytest.mark.parametrize("requested", [{}, OWN_TAGS], ids=["untagged request", "tagged request"])
def test_the_key_of_another_stack_or_of_the_state_is_out_of_reach(
    requested: Mapping[str, str], borne: Mapping[str, str]
) -> None:
    assert not [action for action in KEY_ACTIONS if allowed(action, requested=requested, borne=borne)]


def test_a_key_without_tags_can_only_be_taken_over_not_deleted_or_renamed() -> None:
    """The page says that it can be taken over."""
    refused = {action for action in KEY_ACTIONS if not allowed(action, requested=OWN_TAGS, borne={})}
    assert refused == {"kms:ScheduleKeyDeletion", "kms:UntagResource", "kms:UpdateKeyDescription"}


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
