"""The rules of the policy pack: this project's stacks keep them, and a program that breaks each is rejected."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pulumi_aws
import pytest

from policy.rules import (
    EPHEMERAL,
    RESOURCE_RULES,
    STACK_RULES,
    TAGGABLE,
    UNKNOWN,
    WITHOUT_RESOURCES,
    Resource,
)
from tests.infra.stacks import ROOT, STACKS, Program, evaluate, evaluate_in
from tests.policy.declared import WITH_OPTIONS, each_violation, resources_of, violations

pytestmark = pytest.mark.xdist_group("infra")

RULES = {rule.name: rule for rule in (*RESOURCE_RULES, *STACK_RULES)}


def bad_program() -> Program:
    """The program that breaks every rule, as the stack prod."""
    return evaluate_in(Path(__file__).with_name("bad"), "prod")


@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize("stack", STACKS)
def test_the_stacks_keep_every_rule(stack: str, preview: bool) -> None:
    program = evaluate(stack, preview=preview)
    assert len(program.resources) > 100
    assert list(each_violation(resources_of(program))) == []


def test_the_stack_keeps_every_rule_with_all_that_is_optional() -> None:
    assert list(each_violation(resources_of(evaluate("prod", preview=False, **WITH_OPTIONS)))) == []


@pytest.mark.parametrize("rule", RULES)
def test_a_bad_program_is_rejected_for_what_it_does_and_nothing_else(rule: str) -> None:
    """Names in the bad program begin with the rule that the resource breaks."""
    program = bad_program()
    assert program.error is None
    resources = resources_of(program)
    bad = {(resource.type, resource.name) for resource in resources if resource.name.startswith(rule)}
    assert bad
    assert violations(resources)[rule] == bad


def test_no_mistake_goes_unnoticed() -> None:
    """Whatever is not called fine, or named as an exception, breaks a rule; what is breaks none."""
    resources = resources_of(bad_program())
    found = {where for broken in violations(resources).values() for where in broken}
    named = {(r.type, r.name) for r in resources if not r.name.startswith(("fine", *EPHEMERAL))}
    assert found == named


def test_a_value_that_is_not_known_yet_breaks_no_rule() -> None:
    for resource in resources_of(bad_program()):
        before = {(rule, message) for rule, _, message in each_violation_of(resource)}
        for props in unknown_somewhere(resource.props):
            after = {
                (rule, message) for rule, _, message in each_violation_of(replace(resource, props=props))
            }
            assert after <= before, props


def each_violation_of(resource: Resource) -> Iterator[tuple[str, Resource, str]]:
    return ((rule.name, resource, message) for rule in RESOURCE_RULES for message in rule.check(resource))


def unknown_somewhere(value: Any) -> Iterator[Any]:
    """The value with each of its parts replaced, one at a time."""
    match value:
        case dict():
            for key, part in cast("dict[str, Any]", value).items():
                yield {**value, key: UNKNOWN}
                yield from ({**value, key: changed} for changed in unknown_somewhere(part))
        case list():
            for place, part in enumerate(cast("list[Any]", value)):
                for changed in (UNKNOWN, *unknown_somewhere(part)):
                    yield [*value[:place], changed, *value[place + 1 :]]
        case _:
            pass


@pytest.mark.parametrize("stack", ["dev", "local"])
def test_data_may_be_deleted_where_it_is_not_production(stack: str) -> None:
    resources = [replace(r, urn=r.urn.replace(":prod:", f":{stack}:")) for r in resources_of(bad_program())]
    assert "protected-data" not in violations(resources)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # in modules of pulumi_aws that are not used
def test_everything_that_the_program_declares_and_aws_can_tag_is_known_to_the_rule() -> None:
    """If it fails: add the type to TAGGABLE in policy/rules.py."""
    declared = {
        r.type for stack in STACKS for r in resources_of(evaluate(stack, preview=False, **WITH_OPTIONS))
    }
    taggable = {type_ for type_ in declared if "tags" in vars(_class_of(type_))}
    assert taggable
    assert taggable - TAGGABLE == set(), "add these to TAGGABLE in policy/rules.py"


def _class_of(type_: str) -> type:
    """The class of pulumi_aws that declares a type."""
    _, module, name = type_.split(":")
    module = module.partition("/")[0]
    return getattr(getattr(pulumi_aws, {"lambda": "lambda_"}.get(module, module)), name)


def test_the_page_lists_every_rule_in_the_words_of_the_code() -> None:
    page = (ROOT / "docs" / "policy.md").read_text()
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", page, re.MULTILINE))
    assert listed == {name: rule.description for name, rule in RULES.items()}


@pytest.mark.parametrize("exception", [*EPHEMERAL, *WITHOUT_RESOURCES])
def test_the_page_names_every_exception(exception: str) -> None:
    assert f"`{exception}`" in (ROOT / "docs" / "policy.md").read_text()
