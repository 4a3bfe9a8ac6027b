"""The policy pack as the Pulumi CLI runs it: a process that answers the engine over gRPC."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import grpc
import pytest
import yaml
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from policy.rules import RESOURCE_RULES, STACK_RULES, UNKNOWN, Resource
from tests.infra.stacks import ROOT, evaluate, evaluate_in
from tests.policy.declared import each_violation, resources_of

pytestmark = pytest.mark.xdist_group("infra")

PACK = ROOT / "policy"


@pytest.fixture(scope="module")
def analyzer() -> Iterator[Any]:
    """A gRPC stub, which has no types, of the pack in a process of its own, started by the SDK's module for that."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:0", str(PACK)],
        cwd=PACK,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield analyzer_pb2_grpc.AnalyzerStub(channel)
        finally:
            process.kill()


def _struct(resource: Resource) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    json_format.ParseDict(_on_the_wire(resource.props), struct)
    return struct


def _on_the_wire(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _on_the_wire(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_on_the_wire(item) for item in cast("list[Any]", value)]
    return UNKNOWN_STRING_VALUE if value is UNKNOWN else value


def reported(analyzer: Any, resources: list[Resource]) -> list[tuple[str, str, str]]:
    """Rule, URN and message of all that the pack reports, which must be mandatory."""
    found: list[tuple[str, str, str]] = []

    def keep(response: analyzer_pb2.AnalyzeResponse, urn: str = "") -> None:
        for diagnostic in response.diagnostics:
            assert diagnostic.enforcementLevel == analyzer_pb2.MANDATORY, diagnostic.message
            found.append(
                (diagnostic.policyName, diagnostic.urn or urn, diagnostic.message.partition("\n")[2])
            )

    for resource in resources:
        request = analyzer_pb2.AnalyzeRequest(
            type=resource.type, properties=_struct(resource), urn=resource.urn, name=resource.name
        )
        request.options.protect = resource.protect
        keep(analyzer.Analyze(request), resource.urn)
    whole = analyzer_pb2.AnalyzeStackRequest()
    for resource in resources:
        one = whole.resources.add(
            type=resource.type, properties=_struct(resource), urn=resource.urn, name=resource.name
        )
        one.options.protect = resource.protect
        for name, urns in resource.property_dependencies.items():
            one.propertyDependencies[name].urns.extend(urns)
    keep(analyzer.AnalyzeStack(whole))
    return sorted(found)


def expected(resources: list[Resource]) -> list[tuple[str, str, str]]:
    return sorted((rule, resource.urn, message) for rule, resource, message in each_violation(resources))


def test_every_rule_is_a_mandatory_policy(analyzer: Any) -> None:
    info = analyzer.GetAnalyzerInfo(empty_pb2.Empty())
    assert {policy.name: policy.description for policy in info.policies} == {
        rule.name: rule.description for rule in (*RESOURCE_RULES, *STACK_RULES)
    }
    assert {policy.enforcementLevel for policy in info.policies} == {analyzer_pb2.MANDATORY}


def test_the_pack_reports_what_the_rules_find(analyzer: Any) -> None:
    resources = resources_of(evaluate_in(ROOT / "tests" / "policy" / "bad", "prod"))
    found = reported(analyzer, resources)
    assert found == expected(resources)
    assert {rule for rule, _, _ in found} == {rule.name for rule in (*RESOURCE_RULES, *STACK_RULES)}


@pytest.mark.parametrize("preview", [False, True])
def test_the_pack_lets_this_program_pass(analyzer: Any, preview: bool) -> None:
    assert reported(analyzer, resources_of(evaluate("prod", preview=preview))) == []


def test_the_pack_runs_on_the_packages_that_it_is_tested_with() -> None:
    """The CLI makes an environment from the pack's own requirements."""
    assert yaml.safe_load((PACK / "PulumiPolicy.yaml").read_text())["runtime"]["name"] == "python"
    pin = re.compile(r"^([a-z-]+)==(\S+) +# ", re.MULTILINE)
    own = pin.findall((PACK / "requirements.txt").read_text())
    tested = [pin.findall((ROOT / name).read_text()) for name in ("requirements.txt", "requirements-dev.txt")]
    assert [name for name, _ in own] == ["pulumi", "pulumi-policy"]
    assert set(own) <= {pinned for pins in tested for pinned in pins}
