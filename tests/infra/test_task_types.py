"""Task types read from source, without running it."""

from pathlib import Path

import pulumi
import pytest

from infra.task_types import DeclaredTaskType, declared
from tests.infra.stacks import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "functions" / "task_types"
    folder.mkdir(parents=True)
    return folder


def test_rules_are_read_without_importing_the_file(folder: Path, tmp_path: Path) -> None:
    (folder / "__init__.py").write_text('"""Nothing here."""')
    (folder / "video.py").write_text(
        "import a_package_that_is_not_here\n"
        "from tasklib.task_type import task_type\n\n"
        '@task_type("transcode", max_retries=5, backoff_max_seconds=60.5, time_limit_seconds=None)\n'
        "def transcode(data, attempt): raise SystemExit\n\n"
        '@a_package_that_is_not_here.traced\n@tasklib.task_type("thumbnail")\n'
        "def thumbnail(data, attempt): ...\n\n"
        "def helper(): ...\n"
    )
    assert declared(tmp_path) == [
        DeclaredTaskType(
            "transcode", "functions/task_types/video.py", max_retries=5, backoff_max_seconds=60.5
        ),
        DeclaredTaskType("thumbnail", "functions/task_types/video.py"),
    ]


def test_every_place_that_cannot_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "a.py").write_text('@task_type("a", max_retries=LIMIT)\ndef a(data, attempt): ...')
    (folder / "b.py").write_text("@task_type(NAME)\ndef b(data, attempt): ...")
    (folder / "c.py").write_text('@task_type("c", **rules)\ndef c(data, attempt): ...')
    (folder / "d.py").write_text("def d(:")
    (folder / "e.py").write_text('@task_type("e", time_limit_seconds="10")\ndef e(data, attempt): ...')
    (folder / "f.py").write_text('@task_type("f", max_retries=-1)\ndef f(data, attempt): ...')
    (folder / "g.py").write_text('@task_type("g")\ndef g(data, attempt): ...')
    (folder / "h.py").write_text('\n@task_type("g")\ndef h(data, attempt): ...')
    (folder / "i.py").write_text('@task_type("i")\nasync def i(data, attempt): ...')
    (folder / "j.py").write_text('@task_type("")\ndef j(data, attempt): ...')
    (folder / "k.py").write_text('@task_type("send mail")\ndef k(data, attempt): ...')
    with pytest.raises(pulumi.RunError) as raised:
        declared(tmp_path)
    assert str(raised.value).splitlines() == [
        "Wrong task types:",
        "  functions/task_types/a.py:1: max_retries of 'a' must be a literal whole number of 0 or more",
        "  functions/task_types/b.py:1: task_type takes the type's name as a literal string",
        "  functions/task_types/c.py:1: task_type of 'c' takes literal keywords, no **",
        "  functions/task_types/d.py:1: not valid Python: invalid syntax",
        "  functions/task_types/e.py:1: time_limit_seconds of 'e' must be a literal number over 0",
        "  functions/task_types/f.py:1: max_retries of 'f' must be a literal whole number of 0 or more",
        "  functions/task_types/h.py:2: 'g' is also declared in functions/task_types/g.py",
        "  functions/task_types/i.py:1: the function of 'i' is async, and nothing would await it; write def",
        "  functions/task_types/j.py:1: the name '' is not 1 to 128 of A-Z a-z 0-9 . _ : -",
        "  functions/task_types/k.py:1: the name 'send mail' is not 1 to 128 of A-Z a-z 0-9 . _ : -",
    ]


def test_what_editors_leave_beside_a_file_is_none(folder: Path, tmp_path: Path) -> None:
    (folder / ".#a.py").symlink_to("somebody@somewhere.1:2")  # how Emacs locks a file
    (folder / ".a.py").write_text("def a(:")
    assert declared(tmp_path) == []


def test_a_type_in_a_folder_is_read_since_it_is_also_imported(folder: Path, tmp_path: Path) -> None:
    (folder / "video").mkdir()
    (folder / "video" / "__init__.py").write_text(
        '@task_type("transcode")\ndef transcode(data, attempt): ...'
    )
    assert declared(tmp_path) == [DeclaredTaskType("transcode", "functions/task_types/video/__init__.py")]


def test_what_a_type_needs_is_read(folder: Path, tmp_path: Path) -> None:
    (folder / "cats.py").write_text(
        '@task_type("cats", secrets={"key": "CATS_KEY_PARAMETER"}, packages=["quick==1.0 --hash=sha256:00"],\n'
        '    grants={"s3:GetObject": ["arn:{partition}:s3:::cats/*"], "sns:Publish": ("arn:aws:sns:::a",)})\n'
        "def cats(data, attempt): ...\n"
    )
    (cats,) = declared(tmp_path)
    assert cats.secrets == {"key": "CATS_KEY_PARAMETER"}
    assert cats.packages == ("quick==1.0 --hash=sha256:00",)
    assert cats.grants == {
        "s3:GetObject": ("arn:{partition}:s3:::cats/*",),
        "sns:Publish": ("arn:aws:sns:::a",),
    }


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("max_retries=2.5", "max_retries of 'a' must be a literal whole number of 0 or more"),
        ("max_retries=True", "max_retries of 'a' must be a literal whole number of 0 or more"),
        ("time_limit_seconds=0", "time_limit_seconds of 'a' must be a literal number over 0"),
        ("time_limit_seconds=1e999", "time_limit_seconds of 'a' must be a literal number over 0"),
        ("backoff_base_seconds=-1", "backoff_base_seconds of 'a' must be a literal number of 0 or more"),
        ("backoff_max_seconds=1e999", "backoff_max_seconds of 'a' must be a literal number of 0 or more"),
        ("secrets=SECRETS", "secrets of 'a' must be a literal dict of names and environment variables"),
        ('secrets=["KEY"]', "secrets of 'a' must be a literal dict of names and environment variables"),
        ('secrets={"key": "a-b"}', "secrets of 'a': 'a-b' is no name of an environment variable"),
        ('packages="quick"', "packages of 'a' must be a literal list of strings"),
        ("packages=[quick]", "packages of 'a' must be a literal list of strings"),
        ("packages=[1]", "packages of 'a' must be a literal list of strings"),
        ("grants=[]", "grants of 'a' must be a literal dict of IAM actions, each with a list of ARNs"),
        ('grants={"s3:*": ["arn:a"]}', "grants of 'a': action 's3:*' is a wildcard; name each action"),
        ('grants={"*": ["arn:a"]}', "grants of 'a': action '*' is a wildcard; name each action"),
        ('grants={"s3:Get?": ["arn:a"]}', "grants of 'a': action 's3:Get?' is a wildcard; name each action"),
        (
            'grants={"GetObject": ["arn:a"]}',
            "grants of 'a': action 'GetObject' is not like s3:GetObject; name each action",
        ),
        ('grants={"s3:GetObject": "arn:a"}', "grants of 'a': action 's3:GetObject' has no list of ARNs"),
        ('grants={"s3:GetObject": []}', "grants of 'a': action 's3:GetObject' has no list of ARNs"),
        *(
            (
                f'grants={{"s3:GetObject": ["{arn}"]}}',
                f"grants of 'a': resource '{arn}' of s3:GetObject is not like "
                "arn:PARTITION:SERVICE:REGION:ACCOUNT:NAME, with a name of more than a wildcard",
            )
            for arn in ("*", "arn:*", "arn:aws:s3:::*", "arn:aws:*:::cats", "arn:aws:s3:cats", "cats")
        ),
        *(
            (
                f'grants={{"s3:GetObject": ["{arn}"]}}',
                f"grants of 'a': resource '{arn}' of s3:GetObject has other braces than {{partition}}, {{region}}, "
                "{account}, {prefix}",
            )
            for arn in ("arn:{stage}", "arn:{}", "arn:{region", "arn:{region!r}", "arn:{{region}}")
        ),
    ],
)
def test_what_a_type_cannot_need_is_named(folder: Path, tmp_path: Path, argument: str, problem: str) -> None:
    (folder / "a.py").write_text(f'@task_type("a", {argument})\ndef a(data, attempt): ...')
    with pytest.raises(pulumi.RunError) as raised:
        declared(tmp_path)
    assert str(raised.value).splitlines() == [
        "Wrong task types:",
        f"  functions/task_types/a.py:1: {problem}",
    ]


def test_the_types_of_this_project_can_be_read() -> None:
    assert "simulate" in {task_type.name for task_type in declared(ROOT)}
