"""The configuration that a program gets: defaults, then the stack's file, then the command line."""

from pathlib import Path

import pytest

from local.config import read_project, stack_config
from local.errors import ConfigError, LocalError

PULUMI_YAML = """
name: sample
config:
  text: {type: string, default: "0.3"}
  number: {type: integer, default: 2}
  flag: {type: boolean, default: false}
  list: {type: array, items: {type: string}, default: []}
  short: plain
  required: {type: integer}
  aws:region: {value: eu-west-1}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text(PULUMI_YAML)
    (tmp_path / "Pulumi.local.yaml").write_text("config: {sample:required: 7}\n")
    return tmp_path


def config_of(directory: Path, *overrides: str, stack: str = "local") -> dict[str, str]:
    return dict(stack_config(read_project(directory), stack, overrides).values)


def test_defaults_become_the_texts_that_the_sdk_reads(directory: Path) -> None:
    assert config_of(directory) == {
        "sample:text": "0.3",
        "sample:number": "2",
        "sample:flag": "false",
        "sample:list": "[]",
        "sample:short": "plain",
        "sample:required": "7",
        "aws:region": "eu-west-1",
    }


def test_the_stacks_file_is_over_the_defaults_and_the_command_line_over_both(directory: Path) -> None:
    (directory / "Pulumi.local.yaml").write_text(
        "config: {sample:required: 7, number: 3, sample:flag: true, sample:text: 0.5,"
        " sample:list: [a, b], sample:undeclared: x}\n"
    )
    config = config_of(directory, "number=4", 'list=["c"]', "aws:region=us-west-2")
    assert config["sample:number"] == "4"
    assert config["sample:text"] == "0.5"  # to the CLI, a plain number in a file is text
    assert config["sample:flag"] == "true"
    assert config["sample:list"] == '["c"]'
    assert config["sample:undeclared"] == "x"  # the CLI lets it pass for the program to judge
    assert config["aws:region"] == "us-west-2"
    assert config_of(directory, "sample:text=a=b")["sample:text"] == "a=b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("other:number=1", "-c other:number: unknown key; allowed: aws:region, flag, list, number"),
        ("=1", "-c: is not of the form key=value"),
        ("number", "-c number: no value: neither number=... nor an environment variable number"),
        ("number=many", "number: 'many' is not of type integer"),
        ("number=1.5", "number: '1.5' is not of type integer"),
        ("number=", "number: '' is not of type integer"),
        ("flag=yes", "flag: 'yes' is not of type boolean"),
        ("list=a,b", "list: 'a,b' is no JSON array"),
        ("list=[1]", "list: '[1]' is not of type array of string"),
    ],
)
def test_a_wrong_override_is_named_with_what_is_allowed(directory: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config_of(directory, override)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_wrong_key_is_named_at_once(directory: Path) -> None:
    (directory / "Pulumi.local.yaml").write_text("config: {sample:flag: 3}\n")
    with pytest.raises(ConfigError) as raised:
        config_of(directory, "number=x", "other:colour=red")
    for part in ("other:colour", "number: 'x'", "flag: '3'", "required: no value"):
        assert part in str(raised.value)


@pytest.mark.parametrize("number", ["-1", "+5", "0"])
def test_integers_may_have_a_sign(directory: Path, number: str) -> None:
    assert config_of(directory, f"number={number}")["sample:number"] == number


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "config: {sample:required: {secure: abc}}",
            "required: is encrypted in Pulumi.local.yaml and cannot be read here; give it with -c required",
        ),
        (
            "config: {sample:required: 7, sample:list: [{secure: abc}]}",
            "list: is encrypted in Pulumi.local.yaml",
        ),
        ("environment: [team]", "'environment' needs Pulumi's service"),
        ("config: [1", "Pulumi.local.yaml: "),
        ("config: text", "config: must be a mapping"),
    ],
)
def test_a_stack_file_that_cannot_be_honoured_is_refused(directory: Path, content: str, message: str) -> None:
    (directory / "Pulumi.local.yaml").write_text(content)
    with pytest.raises(LocalError) as raised:
        config_of(directory)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def secrets_of(directory: Path, *overrides: str) -> frozenset[str]:
    return stack_config(read_project(directory), "local", overrides).secrets


def test_an_undeclared_key_of_the_command_line_is_a_secret(directory: Path) -> None:
    assert config_of(directory, "key=a=b")["sample:key"] == "a=b"
    assert secrets_of(directory, "key=a=b", "number=3", "aws:region=us-west-2") == {"sample:key"}


def test_what_the_stacks_file_encrypts_can_be_given_and_stays_a_secret(directory: Path) -> None:
    (directory / "Pulumi.local.yaml").write_text("config: {sample:required: {secure: abc}}\n")
    assert config_of(directory, "required=8")["sample:required"] == "8"
    assert secrets_of(directory, "required=8") == {"sample:required"}


def test_a_value_can_come_from_the_environment(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("number", "5")
    assert config_of(directory, "number")["sample:number"] == "5"


@pytest.mark.parametrize("override", ["other:kee=hunter2", "hidden=hunter2", "hidden_list=hunter2"])
def test_the_value_of_a_secret_is_not_shown(directory: Path, override: str) -> None:
    declared = "  hidden: {type: integer, secret: true}\n  hidden_list: {type: array, secret: true}\n"
    (directory / "Pulumi.yaml").write_text(PULUMI_YAML + declared)
    with pytest.raises(ConfigError) as raised:
        config_of(directory, override)
    assert override.partition("=")[0] in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_an_unknown_stack_is_refused_with_the_ones_there_are(directory: Path) -> None:
    (directory / "Pulumi.dev.yaml").write_text("")
    with pytest.raises(LocalError, match=r"Pulumi.lokal.yaml is missing \(there are: dev, local\)"):
        config_of(directory, stack="lokal")
