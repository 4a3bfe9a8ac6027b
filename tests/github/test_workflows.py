"""The workflows keep their promises: pinned, minimal rights, no stored keys, one deployment of a stack at a time."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.function import RUNTIME
from tests.infra.stacks import ROOT, evaluate

GITHUB = ROOT / ".github"
WORKFLOWS = sorted(path.name for path in (GITHUB / "workflows").glob("*.yml"))
FILES = sorted(str(path.relative_to(ROOT)) for path in GITHUB.rglob("*.yml"))
#: The most that any job may have.
RIGHTS = {"contents": "read", "id-token": "write", "pull-requests": "write"}


def load(path: str) -> dict[str, Any]:
    """A workflow or action; YAML 1.1 takes the key ``on`` for true."""
    loaded = yaml.safe_load((ROOT / path).read_text())
    return {"on" if key is True else key: value for key, value in loaded.items()}


def workflow(name: str) -> dict[str, Any]:
    return load(f".github/workflows/{name}")


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """All jobs with their place."""
    for name in WORKFLOWS:
        yield from ((f"{name}:{key}", job) for key, job in workflow(name)["jobs"].items())


def runs_pulumi(job: dict[str, Any]) -> dict[str, Any] | None:
    """What a job passes to the action that runs Pulumi."""
    steps = [step for step in job.get("steps", []) if step.get("uses") == "./.github/actions/pulumi"]
    return steps[0]["with"] if steps else None


def test_there_are_workflows_to_look_at() -> None:
    assert WORKFLOWS == ["deploy.yml", "preview.yml", "test.yml"]
    assert len(FILES) == 4


@pytest.mark.parametrize("path", FILES)
def test_actions_of_others_are_pinned_by_commit_with_their_version(path: str) -> None:
    used = re.findall(r"uses: +(.+)$", (ROOT / path).read_text(), re.MULTILINE)
    assert used
    for action in used:
        assert action.startswith("./") or re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+(\.\d+)*", action)


def test_one_action_has_one_version() -> None:
    pins = {
        pin
        for path in FILES
        for pin in re.findall(r"uses: +([^.].+)$", (ROOT / path).read_text(), re.MULTILINE)
    }
    assert len({pin.partition("@")[0] for pin in pins}) == len(pins)


@pytest.mark.parametrize("path", FILES)
def test_no_secret_is_stored(path: str) -> None:
    text = (ROOT / path).read_text()
    assert not re.search(r"secrets\s*[.\[]|AWS_ACCESS_KEY|AWS_SECRET|PULUMI_ACCESS_TOKEN|PASSPHRASE", text)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nothing_runs_foreign_code_with_rights_of_ours(name: str) -> None:
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & workflow(name)["on"].keys()


@pytest.mark.parametrize("path", FILES)
def test_no_text_of_others_gets_into_a_shell(path: str) -> None:
    for line in re.findall(r"run: +(.+)$", (ROOT / path).read_text(), re.MULTILINE):
        assert "${{" not in line


@pytest.mark.parametrize("name", WORKFLOWS)
def test_rights_are_named_job_by_job(name: str) -> None:
    assert workflow(name)["permissions"] == {}
    for key, job in workflow(name)["jobs"].items():
        granted = job["permissions"]
        assert granted.items() <= RIGHTS.items(), key
        assert ("id-token" in granted) == (runs_pulumi(job) is not None), key
        assert ("pull-requests" in granted) == (name == "preview.yml"), key


def test_every_job_ends_and_runs_on_a_named_image() -> None:
    for place, job in jobs():
        if "uses" not in job:
            assert job["runs-on"] == "ubuntu-24.04", place
            assert 1 <= job["timeout-minutes"] <= 90, place


#: What an update takes without snapshots, with some to spare; and about what each snapshot takes. The provider updates
#: the code of one function at a time, and waits for its snapshot before the next one.
UPDATE_MINUTES, SNAPSHOT_MINUTES = 30, 3


@pytest.mark.xdist_group("infra")
def test_a_deployment_has_the_time_for_every_snapshot() -> None:
    functions = evaluate("prod", snapStart="true").of_type("lambda/function:Function")
    snapshots = sum("snapStart" in function["inputs"] for function in functions)
    assert snapshots
    for place, job in jobs():
        if (inputs := runs_pulumi(job)) and inputs["command"] == "up":
            assert job["timeout-minutes"] >= UPDATE_MINUTES + snapshots * SNAPSHOT_MINUTES, place


def test_no_checkout_leaves_its_token_behind() -> None:
    for place, job in jobs():
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, place


def test_a_stack_is_changed_by_one_run_at_a_time_in_its_own_environment() -> None:
    changed = {
        place: (job, inputs)
        for place, job in jobs()
        if (inputs := runs_pulumi(job)) and inputs["command"] == "up"
    }
    assert changed.keys() == {"deploy.yml:dev", "deploy.yml:prod"}
    for place, (job, inputs) in changed.items():
        assert job["environment"] == inputs["stack"], place
        assert job["concurrency"] == {"group": f"pulumi-{inputs['stack']}", "cancel-in-progress": False}, (
            place
        )
        assert "DEPLOY_ROLE_ARN" in inputs["role"], place


def test_nothing_is_deployed_untested_and_prod_is_previewed_first() -> None:
    deploy = workflow("deploy.yml")["jobs"]
    assert deploy["test"]["uses"] == "./.github/workflows/test.yml"
    assert {name: job.get("needs") for name, job in deploy.items()} == {
        "test": None,
        "dev": "test",
        "prod-preview": "test",
        "prod": "prod-preview",
    }
    assert "refs/heads/main" in deploy["dev"]["if"]
    assert runs_pulumi(deploy["prod-preview"]) == {
        **(runs_pulumi(deploy["prod"]) or {}),
        "command": "preview",
        "role": "${{ vars.PREVIEW_ROLE_ARN }}",
    }


def test_a_pull_request_is_previewed_with_a_role_that_changes_nothing_and_not_from_forks() -> None:
    [job] = workflow("preview.yml")["jobs"].values()
    inputs = runs_pulumi(job)
    assert inputs
    assert (inputs["command"], inputs["role"]) == ("preview", "${{ vars.PREVIEW_ROLE_ARN }}")
    assert "github.event.pull_request.head.repo.full_name == github.repository" in job["if"]


def test_pushes_and_pull_requests_are_tested_as_everywhere_else() -> None:
    test = workflow("test.yml")
    assert {"push", "pull_request", "workflow_call"} == test["on"].keys()
    assert test["jobs"]["test"]["steps"][-1] == {"run": "bash .ci/run"}


def test_the_tests_have_the_history_to_compare_with_the_release_before() -> None:
    [checkout] = [
        step
        for step in workflow("test.yml")["jobs"]["test"]["steps"]
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert checkout["with"]["fetch-depth"] == 0


def test_tests_run_on_the_python_of_the_functions_and_on_the_oldest_that_is_allowed() -> None:
    steps = workflow("test.yml")["jobs"]["test"]["steps"]
    [python] = [step["with"] for step in steps if step.get("uses", "").startswith("actions/setup-python@")]
    oldest = re.search(r'^pythonVersion = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert oldest
    # The last one is `python3`.
    assert python["python-version"].split() == [RUNTIME.removeprefix("python"), oldest[1]]


def test_pulumi_runs_with_the_policy_pack_and_the_pinned_version() -> None:
    steps = load(".github/actions/pulumi/action.yml")["runs"]["steps"]
    pulumi = [step["with"] for step in steps if step.get("uses", "").startswith("pulumi/actions@")]
    assert pulumi[-1]["policyPacks"] == "policy"
    assert pulumi[-1]["comment-on-pr"] is pulumi[-1]["comment-on-summary"] is True
    pinned = re.search(r"^pulumi==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned
    assert {step["pulumi-version"] for step in pulumi} == {pinned[1]}


def compare_regions(folder: Path) -> subprocess.CompletedProcess[str]:
    """The step that compares the region of the stack dev, as GitHub runs it in this folder, with eu-north-1."""
    compare, *_ = load(".github/actions/pulumi/action.yml")["runs"]["steps"]
    assert compare["env"] == {"STACK": "${{ inputs.stack }}", "REGION": "${{ inputs.region }}"}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", compare["run"]],
        cwd=folder,
        env={**os.environ, "STACK": "dev", "REGION": "eu-north-1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("config", "accepted"),
    [
        ("  tasks:failureRate: 0.3\n", True),
        ("  aws:region: eu-north-1\n  tasks:maxRetries: 4\n", True),
        ("  aws:region: 'eu-north-1'\n", True),
        ("  aws:region: us-east-1\n", False),
        ("  aws:region: eu-north-1 # ours\n", True),
        ("  aws:region: eu-north-1  \n", True),
        ("  aws:region: eu-north-1\r\n", True),
        ('  "aws:region" : eu-north-1\n', True),
        ('  "aws:region": "us-east-1" # theirs\n', False),
        ("  # aws:region: us-east-1\n", True),
    ],
)
def test_a_stack_in_another_region_than_its_role_is_left_alone(
    tmp_path: Path, config: str, accepted: bool
) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_bytes(f"config:\n{config}".encode())
    done = compare_regions(tmp_path)
    message = (
        ""
        if accepted
        else "::error::Pulumi.dev.yaml has aws:region us-east-1, and the variable AWS_REGION is eu-north-1.\n"
    )
    assert (done.returncode == 0, done.stdout, done.stderr) == (accepted, message, "")


def test_a_stack_without_a_file_is_named(tmp_path: Path) -> None:
    done = compare_regions(tmp_path)
    message = "::error::The stack dev has no file Pulumi.dev.yaml.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, message, "")
