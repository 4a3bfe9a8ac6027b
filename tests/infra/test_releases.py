"""A release leaves the code of the one before it what that still needs."""

import shutil
import subprocess
import uuid
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from tests.infra import releases
from tests.infra.stacks import ROOT

pytestmark = pytest.mark.xdist_group("infra")

#: What a program is evaluated from.
TREE = ("__main__.py", "Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod.yaml", "functions", "infra")
DECLARED = "__main__.py"
MONITOR = "functions/monitor_dlq.py"
SWEEP_VARIABLE = '        "SWEEP_BEHIND_SECONDS": str(SWEEP_BEHIND_SECONDS),\n'


class Repository:
    """A git repository with the program, whose first commit is the release v1.0.0."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in TREE:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, root / name)
        if (ROOT / "build" / "wheels").is_dir():
            shutil.copytree(ROOT / "build" / "wheels", root / "build" / "wheels")
        (root / ".gitignore").write_text("build/\n")
        self.git("init", "--quiet")
        self.release("v1.0.0")

    def git(self, *arguments: str) -> None:
        settings = (
            "user.name=tests",
            "user.email=tests@example.com",
            "commit.gpgSign=false",
            "tag.gpgSign=false",
        )
        options = (part for setting in settings for part in ("-c", setting))
        subprocess.run(("git", *options, *arguments), cwd=self.root, check=True)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that is there exactly once."""
        text = (self.root / path).read_text()
        assert text.count(old) == 1
        (self.root / path).write_text(text.replace(old, new))

    def commit(self, subject: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)

    def release(self, tag: str) -> None:
        self.commit(f"Release {tag}")
        self.git("tag", tag)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    root = tmp_path / "repository"
    root.mkdir()
    return Repository(root)


@pytest.fixture
def taken(repository: Repository, tmp_path: Path) -> Callable[..., list[str]]:
    """Compares the repository as it is with its newest release before HEAD."""

    def compare(
        settings: releases.Setting = releases.WITH_OPTIONS, unused: Collection[tuple[str, str]] = ()
    ) -> list[str]:
        tag = releases.previous_tag(repository.root)
        assert tag is not None
        before = releases.unpack(repository.root, tag, tmp_path / f"{tag}-{uuid.uuid4()}")
        return releases.taken(before, repository.root, [settings], unused)

    return compare


def test_nothing_is_taken_that_the_code_of_the_release_before_needs(tmp_path: Path) -> None:
    """The rule in docs/deploying.md, for this program."""
    if lacks := releases.lacks(ROOT):
        pytest.skip(f"{lacks} and cannot be compared with the release before: git fetch --unshallow --tags")
    tag = releases.previous_tag(ROOT)
    if tag is None:
        pytest.skip("there is no release yet: no tag such as v1.0.0 before this commit")
    assert releases.taken(releases.unpack(ROOT, tag, tmp_path / "before"), ROOT) == []


def test_a_variable_or_handler_that_the_release_before_needs_is_missed(
    repository: Repository, taken: Callable[..., list[str]]
) -> None:
    repository.edit(DECLARED, SWEEP_VARIABLE, "")
    repository.edit(DECLARED, '{"WEBHOOK_SECRET_PARAMETER": webhook_secret.parameter_name}', "{}")
    repository.edit(DECLARED, 'handler="monitor_dlq.handler"', 'handler="monitor_dlq.monitor"')
    repository.edit(MONITOR, "def handler(", "def monitor(")
    repository.commit("Take two variables away, and rename a handler")
    assert taken() == [
        "monitor-dlq: the handler is monitor_dlq.monitor, which the code of the release before does not have; "
        "add it first",
        "monitor-dlq: the handler was monitor_dlq.handler, which the code does not have any more; remove it in "
        "the next release",
        "process-tasks: the variable WEBHOOK_SECRET_PARAMETER is gone, which the code of the release before reads",
        "sweep-tasks: the variable SWEEP_BEHIND_SECONDS is gone, which the code of the release before reads",
    ]


def test_what_no_release_needs_any_more_may_go(
    repository: Repository, taken: Callable[..., list[str]]
) -> None:
    """First the code, in a release of its own, then the program."""
    repository.edit("functions/sweep_tasks.py", 'int(os.environ["SWEEP_BEHIND_SECONDS"])', "120")
    repository.edit(
        MONITOR, "def handler(", "def monitor(event: Any, context: Any) -> Any: ...\n\n\ndef handler("
    )
    repository.release("v1.9.0")
    repository.edit(DECLARED, SWEEP_VARIABLE, "")
    repository.edit(DECLARED, 'handler="monitor_dlq.handler"', 'handler="monitor_dlq.monitor"')
    repository.release("v1.10.0")
    assert releases.previous_tag(repository.root) == "v1.9.0"  # HEAD is the release that is made
    assert taken() == []
    repository.commit("After it")
    assert releases.previous_tag(repository.root) == "v1.10.0"


def test_a_right_that_the_release_before_has_is_missed(
    repository: Repository, taken: Callable[..., list[str]]
) -> None:
    """The role loses it before the function gets its new code."""
    repository.edit(
        DECLARED,
        'grants=[tasks_table.grant("GetItem", "PartiQLUpdate")],',
        'grants=[tasks_table.grant("GetItem")],',
    )
    repository.edit(DECLARED, "*([webhook_secret.grant_read()] if webhook_secret else []),", "")
    repository.commit("Take two rights away")
    table = "arn:aws:dynamodb:eu-north-1:123456789012:table/tasks-dev-tasks"
    secret = "arn:aws:ssm:eu-north-1:123456789012:parameter/tasks-dev/webhook-secret"
    assert taken() == [
        f"cancel-tasks: the right to dynamodb:PartiQLUpdate on {table} is gone, which the release before has",
        f"process-tasks: the right to ssm:GetParameter on {secret} is gone, which the release before has",
    ]
    not_used = ("cancel-tasks", "dynamodb:PartiQLUpdate"), ("process-tasks", "ssm:GetParameter")
    assert taken(unused=not_used) == []


def test_a_setting_that_the_release_before_does_not_know_is_not_set_there(
    repository: Repository, taken: Callable[..., list[str]]
) -> None:
    repository.edit("Pulumi.yaml", "  alarmApiErrors:", "  alarmFaults:")
    repository.edit("infra/settings/alarms.py", '"alarmApiErrors"', '"alarmFaults"')
    repository.commit("Name a setting anew")
    assert taken(("dev", {"alarmFaults": "7"})) == []


def test_a_release_has_a_version_of_three_numbers(repository: Repository) -> None:
    for tag in ("v1.9.0", "v1.11.0", "v1.11.0-rc1", "v1.10.0", "v2", "vnext"):
        repository.release(tag)
    repository.commit("After them")
    assert releases.previous_tag(repository.root) == "v1.11.0"


def test_without_a_release_or_a_repository_there_is_nothing_to_compare_with(
    repository: Repository, tmp_path: Path
) -> None:
    assert releases.previous_tag(repository.root) is None  # HEAD is the first
    for folder in (repository.root, tmp_path):
        assert releases.lacks(folder) is None
    assert releases.previous_tag(tmp_path) is None


def test_a_repository_that_git_refuses_to_read_is_not_one_without_releases(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does if another user owns the folder."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for ask in (releases.previous_tag, releases.lacks):
        with pytest.raises(subprocess.CalledProcessError):
            ask(repository.root)


@pytest.mark.parametrize(
    ("option", "lacks"), [("--depth=1", "the clone is shallow"), ("--no-tags", "the clone is without tags")]
)
def test_a_clone_without_its_history_is_noticed(
    repository: Repository, tmp_path: Path, option: str, lacks: str
) -> None:
    repository.release("v1.0.1")
    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", option, f"file://{repository.root}", str(clone))
    assert releases.lacks(clone) == lacks
