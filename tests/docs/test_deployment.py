"""Commands that need the Pulumi CLI or an AWS account name what the program really has."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import pytest

from tests.docs.documents import DOCUMENTS, README, Command, section, text_of
from tests.docs.kinds import MARK, MARK_OF_PULUMI, Kind, of_kind
from tests.infra.stacks import ROOT, Program, Resource, evaluate

#: An evaluation of the program serves all tests of one process.
pytestmark = pytest.mark.xdist_group("deployment")

STACK = "dev"
#: Of the Pulumi CLI, as its reference has them.
SUBCOMMANDS = {
    *("login", "preview", "up", "refresh", "destroy", "stack init", "stack select", "stack output"),
    *("stack history", "stack rm", "config set", "config rm", "install", "cancel"),
}


def program() -> Program:
    return evaluate(STACK)


@cache
def urns(**config: str) -> dict[str, Resource]:
    """The resources by the URNs that the Pulumi engine gives them: with the types of all parents but the stack."""
    resources = {resource["urn"]: resource for resource in evaluate(STACK, preview=False, **config).resources}

    def types(resource: Resource) -> str:
        parent = resources.get(resource["parent"])
        return f"{types(parent)}${resource['type']}" if parent else resource["type"]

    return {f"urn:pulumi:{STACK}::tasks::{types(each)}::{each['name']}": each for each in resources.values()}


def matching(pattern: str, **config: str) -> set[str]:
    """The URNs that a target means: `**` is any text, `*` any without a colon."""
    parts = ["[^:]*".join(map(re.escape, part.split("*"))) for part in pattern.split("**")]
    return {urn for urn in urns(**config) if re.fullmatch(".*".join(parts), urn)}


def deployed() -> list[Command]:
    return of_kind(Kind.DEPLOYED)


def invocations(command: Command, name: str) -> Iterator[list[str]]:
    """The arguments of each call of a program in a command line."""
    for part in re.split(r"&&|\|\||;|\||\$\(|\)", command.text):
        try:
            words = shlex.split(part)
        except ValueError:
            words = part.split()
        if words[:1] == [name]:
            yield words[1:]


@pytest.mark.parametrize("command", deployed(), ids=str)
def test_it_is_marked_and_shows_no_output(command: Command) -> None:
    document = text_of(command.block.document)
    introduction = document[: document.find("\n## ")]
    said = " ".join((section(command.block) + introduction).split())
    only_pulumi = not re.search(r"\baws\s|-m client ", command.text)
    assert MARK in said or (only_pulumi and MARK_OF_PULUMI in said)
    assert command.output == ""


@pytest.mark.parametrize("document", [README, "docs/deploying.md"])
def test_that_nothing_has_run_on_aws_stands_beside_what_the_engine_has_shown(document: str) -> None:
    text = " ".join(text_of(document).split())
    assert "Nothing of this has run on AWS" in text or "were not run on AWS: there was no account" in text
    assert "a provider that stands in for AWS's" in text
    assert "AWS judged no value" in text or "It does not show what AWS says to the values" in text


@pytest.mark.parametrize("command", deployed(), ids=str)
def test_pulumi_is_asked_for_what_there_is(command: Command) -> None:
    for words in invocations(command, "pulumi"):
        plain = [word for word in words if not word.startswith("-")]
        assert plain[0] in SUBCOMMANDS or " ".join(plain[:2]) in SUBCOMMANDS, words
        match plain:
            case ["stack", "output", name, *_]:
                assert name in program().outputs
            case ["stack", "init" | "select" | "rm", *names]:
                # The last name is that of the stack whose configuration is copied, if any is; STACK stands for any.
                assert all((ROOT / f"Pulumi.{name}.yaml").exists() for name in names[-1:] if name != "STACK")
            case _:
                pass
        for option, value in pairwise(words):
            if option == "--target":
                assert matching(value), f"{value} is no resource"
            if option == "--stack" and value != "STACK":
                assert (ROOT / f"Pulumi.{value}.yaml").exists()


def configured() -> Iterator[tuple[str, str]]:
    """The keys and values that are set."""
    secret = base64.b64encode(bytes(32)).decode()
    for command in deployed():
        if " config set " in command.text:
            words = shlex.split(command.text.replace("$(openssl rand -base64 32)", secret))
            key, value = [word for word in words[words.index("set") + 1 :] if not word.startswith("-")][:2]
            yield key, value


def test_the_program_takes_what_is_configured() -> None:
    regions = {value for key, value in configured() if key == "aws:region"}
    assert regions
    assert all(re.fullmatch(r"[a-z]{2}-[a-z]+-\d|REGION", region) for region in regions)
    config = {key: value for key, value in configured() if key != "aws:region"}
    assert evaluate(STACK, preview=False, **config).error is None


@pytest.mark.parametrize("command", deployed(), ids=str)
def test_functions_and_names_are_those_of_the_program(command: Command) -> None:
    functions = {each["name"] for each in program().of_type("lambda/function:Function")}
    if found := re.search(r"-m client logs (?P<stack>\w+)(?P<functions>(?: [a-z][\w-]*)*)", command.text):
        assert (ROOT / f"Pulumi.{found['stack']}.yaml").exists()
        assert set(found["functions"].split()) <= functions
    for name in re.findall(rf"\btasks-{STACK}\b[\w-]*", command.text):
        assert name == f"tasks-{STACK}" or name in {each["inputs"].get("name") for each in urns().values()}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_urn_is_that_of_a_resource(document: str) -> None:
    for urn in re.findall(r"urn:pulumi:[^\s'\"`]+", text_of(document)):
        assert matching(urn), urn


def test_a_target_means_the_resources_that_are_listed_with_it() -> None:
    [command] = [each for each in deployed() if "--target" in each.text and "preview" in each.text]
    [pattern] = re.findall(r"--target '([^']+)'", command.text)
    listed = set(re.findall(r"^    (urn:pulumi:\S+)$", section(command.block), re.MULTILINE))
    assert matching(pattern) == listed
    config = {"workerProvisionedConcurrency": "2"}
    added = {urns(**config)[urn]["type"] for urn in matching(pattern, **config) - listed}
    assert added == {
        "aws:lambda/alias:Alias",
        "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig",
    }
