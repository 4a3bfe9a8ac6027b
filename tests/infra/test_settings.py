"""The configuration: what Pulumi.yaml declares, what is allowed, and what a person is told."""

import base64
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tasklib import outbound

from infra import settings
from infra.task_types import DeclaredTaskType
from local.config import read_project
from local.config import stack_config as local_config
from tests.infra.stacks import (
    ROOT,
    STACKS,
    Program,
    Resource,
    config_of,
    declared_config,
    evaluate,
    evaluate_configured,
    stack_file,
)

KEYS = {
    *("maxRetries", "failureRate", "backoffBaseSeconds", "backoffMaxSeconds", "backoffJitter"),
    *("dlqMonitorSchedule", "dlqMonitorTrigger", "visibilityTimeoutSeconds", "messageRetentionDays"),
    *("maxReceiveCount", "batchSize", "batchWindowSeconds", "workerMaxConcurrency", "workerMemoryMb"),
    *("workerTimeoutSeconds", "apiThrottleRate", "apiThrottleBurst", "corsOrigins", "listShards"),
    *("taskRetentionDays", "logRetentionDays", "protectData", "architecture", "apiMemoryMb", "snapStart"),
    *("apiProvisionedConcurrency", "workerProvisionedConcurrency"),
    *("webhookAllowedHosts", "webhookAllowedNetworks", "tracing", "alarmEmail", "runbookUrl"),
    *("alarmDeadLetters", "alarmQueueAgeSeconds", "alarmApiErrors", "alarmApiLatencyMs"),
    *("auth", "jwtIssuer", "jwtAudience", "allowAnonymous"),
}
PYTHON_TYPES = {"integer": int, "string": str, "boolean": bool, "array": list}


def load(
    config: Mapping[str, str | None],
    types: Sequence[DeclaredTaskType] = (),
    secret: Sequence[str] = (),
    stack: str = "dev",
) -> settings.Settings:
    """The settings of a stack with some values replaced; None takes a key away."""
    values = config_of(stack) | {f"tasks:{key}": value for key, value in config.items()}
    pulumi.runtime.set_all_config(
        {key: value for key, value in values.items() if value is not None}, [f"tasks:{key}" for key in secret]
    )
    return settings.load(types)


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pulumi, "get_project", lambda: "tasks")
    monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")
    yield
    pulumi.runtime.set_all_config({}, [])


def problems(
    config: Mapping[str, str | None],
    types: Sequence[DeclaredTaskType] = (),
    secret: Sequence[str] = (),
    stack: str = "dev",
) -> list[str]:
    """What a person is told about this configuration, line by line."""
    with pytest.raises(pulumi.RunError) as raised:
        load(config, types, secret, stack)
    first, *rest = str(raised.value).splitlines()
    assert first == "The configuration of stack dev is wrong:"
    return [line.removeprefix("  ") for line in rest]


# Who may call

TOKENS = {"auth": "jwt", "jwtIssuer": "https://id.example.com/tenant/", "jwtAudience": "tasks"}


@pytest.mark.parametrize(
    "issuer",
    [
        "https://id.example.com",
        "https://id.example.com:8443/realms/a_b/",
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf",
        "http://127.0.0.1:8080",
        "http://localhost:8080/",
    ],
)
def test_an_issuer_is_taken_to_the_letter(issuer: str) -> None:
    loaded = load(TOKENS | {"jwtIssuer": issuer})
    assert loaded.api.tokens == settings.TokenIssuer(issuer, "tasks")


def test_by_default_everybody_may_call() -> None:
    assert load({}).api.tokens is None


def test_tokens_need_an_issuer_and_an_audience() -> None:
    assert problems({"auth": "jwt"}) == [
        "jwtIssuer: not set; allowed with auth jwt: the https:// URL of who issues the tokens, as they have it in iss "
        "(http:// on 127.0.0.1 or localhost only)",
        "jwtAudience: not set; allowed with auth jwt: what the tokens for this API have in aud, without spaces",
    ]


def test_an_issuer_whom_nobody_would_ask_is_named() -> None:
    """Who sets one believes that tokens are wanted."""
    assert problems(TOKENS | {"auth": "none"}) == [
        'jwtIssuer: "https://id.example.com/tenant/"; allowed only with auth jwt',
        'jwtAudience: "tasks"; allowed only with auth jwt',
    ]


def test_what_is_protected_is_open_to_everybody_only_if_that_is_said() -> None:
    assert problems({"protectData": "true"}) == [
        "auth: none; allowed with protectData only if allowAnonymous is true, because whoever knows the URL may then "
        "submit, read and cancel tasks"
    ]
    assert load({"protectData": "true", "allowAnonymous": "true"}).api.tokens is None
    load({"protectData": "true"} | TOKENS)


def test_nobody_can_believe_that_a_stack_with_tokens_is_open() -> None:
    assert problems(TOKENS | {"allowAnonymous": "true"}) == [
        "allowAnonymous: true; allowed only with auth none, because with jwt nobody gets in without a token"
    ]


def test_prod_is_deployed_with_an_issuer_or_not_at_all() -> None:
    assert problems({"jwtIssuer": "", "jwtAudience": ""}, stack="prod") == problems({"auth": "jwt"})
    assert load({}, stack="prod").api.tokens == settings.TokenIssuer(
        "https://id.example.com/tenant/", "tasks"
    )


# The declaration


def test_every_key_is_declared_with_type_description_and_default() -> None:
    declared = declared_config()
    assert declared.keys() == KEYS
    for key, entry in declared.items():
        assert len(entry["description"]) > 20, key
        # To Python a boolean is an integer, to the CLI it is not.
        assert type(entry["default"]) is PYTHON_TYPES[entry["type"]], key
        assert entry["type"] != "array" or entry["items"] == {"type": "string"}, key


@pytest.mark.parametrize("stack", STACKS)
def test_stack_files_set_declared_keys_to_values_of_their_type(stack: str) -> None:
    declared = declared_config()
    for full_key, value in stack_file(stack).items():
        namespace, key = full_key.split(":")
        if namespace == "tasks":
            assert type(value) is PYTHON_TYPES[declared[key]["type"]], key


def by_urn(program: Program) -> dict[str, Resource]:
    """What a program declares; the order of its declarations differs from run to run."""
    return {resource["urn"]: resource for resource in program.resources}


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_stack_file_may_have_what_the_set_up_of_an_account_writes_into_it(
    stack: str, tmp_path: Path
) -> None:
    """docs/aws-setup.md: `pulumi stack init --secrets-provider` and `pulumi config set aws:region`."""
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    content = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    content |= {
        "secretsprovider": f"awskms://alias/tasks-state-{stack}?region=eu-west-1",
        "encryptedkey": "AQICAHg0bm90IGEga2V5",
        "config": content["config"] | {"aws:region": "eu-west-1"},
    }
    (tmp_path / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(content))
    as_set_up, plain = evaluate_configured(tmp_path, stack), evaluate(stack)
    assert as_set_up.error is None
    assert by_urn(as_set_up) == by_urn(plain)
    read, before = (local_config(read_project(folder), stack, []) for folder in (tmp_path, ROOT))
    assert read.values == {**before.values, "aws:region": "eu-west-1"}
    assert read.secrets == before.secrets


def test_only_settings_reads_the_configuration() -> None:
    readers = [path for path in (ROOT / "infra").rglob("*.py") if "pulumi.Config" in path.read_text()]
    assert readers == [ROOT / "infra" / "settings" / "reader.py"]
    assert "pulumi.Config" not in (ROOT / "__main__.py").read_text()


def test_stacks_differ_as_designed() -> None:
    dev, prod = load({}, stack="dev"), load({}, stack="prod")
    assert (dev.retries.max_retries, prod.retries.max_retries) == (2, 4)
    assert (dev.worker.failure_rate, prod.worker.failure_rate) == (0.3, 0)
    assert (dev.worker.max_concurrency, prod.worker.max_concurrency) == (10, 100)
    assert (dev.list_shards, prod.list_shards) == (1, 4)
    assert (dev.task_retention_days, prod.task_retention_days) == (7, 90)
    assert (dev.log_retention_days, prod.log_retention_days) == (7, 30)
    assert (dev.protect_data, prod.protect_data) == (False, True)


# Wrong values


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maxRetries", "-1"),
        ("maxRetries", "101"),
        ("maxRetries", "2.5"),
        ("maxRetries", "two"),
        ("maxRetries", ""),
        ("maxRetries", "9" * 400),
        ("failureRate", "1.01"),
        ("failureRate", "-0.1"),
        ("failureRate", "nan"),
        ("failureRate", "30%"),
        ("backoffBaseSeconds", "0"),
        ("backoffMaxSeconds", "43201"),
        ("backoffJitter", "2"),
        ("dlqMonitorTrigger", "cron"),
        ("alarmEmail", "on call"),
        ("alarmEmail", "a@b@c"),
        ("runbookUrl", ""),
        ("runbookUrl", "docs/runbook.md#dead-letters"),
        ("alarmQueueAgeSeconds", "59"),
        ("alarmQueueAgeSeconds", "345601"),
        ("dlqMonitorSchedule", "every 5 minutes"),
        ("dlqMonitorSchedule", "rate(0 minutes)"),
        ("dlqMonitorSchedule", "rate(1 minutes)"),
        ("dlqMonitorSchedule", "rate(5 minute)"),
        ("dlqMonitorSchedule", "rate(30 seconds)"),
        ("dlqMonitorSchedule", "cron(0/5 * * * *)"),
        ("dlqMonitorSchedule", "cron(0/5 * * * * *)"),
        ("dlqMonitorSchedule", "cron(0/5 * ? * ? *)"),
        ("visibilityTimeoutSeconds", "43201"),
        ("messageRetentionDays", "0"),
        ("messageRetentionDays", "15"),
        ("maxReceiveCount", "1001"),
        ("batchSize", "0"),
        ("batchSize", "10001"),
        ("batchWindowSeconds", "301"),
        ("workerMaxConcurrency", "1"),
        ("workerMaxConcurrency", "1001"),
        ("workerMemoryMb", "127"),
        ("workerMemoryMb", "10241"),
        ("workerTimeoutSeconds", "5"),
        ("workerTimeoutSeconds", "901"),
        ("apiThrottleRate", "0"),
        ("apiThrottleBurst", "0"),
        ("corsOrigins", "https://a.example"),
        ("corsOrigins", '["https://a.example/"]'),
        ("corsOrigins", '["https://a.example/app"]'),
        ("corsOrigins", '["a.example"]'),
        ("corsOrigins", '["*", "https://a.example"]'),
        ("corsOrigins", "[1]"),
        ("corsOrigins", "{}"),
        ("webhookAllowedHosts", "hooks.example.com"),
        ("webhookAllowedHosts", "{}"),
        ("webhookAllowedHosts", "[1]"),
        ("webhookAllowedHosts", '[""]'),
        ("webhookAllowedHosts", '["*"]'),
        ("webhookAllowedHosts", '["hooks.*.com"]'),
        ("webhookAllowedHosts", '["https://hooks.example.com"]'),
        ("webhookAllowedHosts", '["hooks.example.com:443"]'),
        ("webhookAllowedHosts", '["hooks.example.com", "a..b"]'),
        ("webhookAllowedNetworks", "public"),
        ("webhookAllowedNetworks", '["private"]'),
        ("webhookAllowedNetworks", '["10.0.0.1"]'),
        ("webhookAllowedNetworks", '["10.0.0.1/8"]'),
        ("webhookAllowedNetworks", '["10.0.0.0/33"]'),
        ("webhookAllowedNetworks", '["public", 1]'),
        ("auth", "token"),
        ("auth", ""),
        ("jwtIssuer", "id.example.com"),
        ("jwtIssuer", "http://id.example.com"),
        ("jwtIssuer", "http://127.0.0.1.example.com"),
        ("jwtIssuer", "http://localhost@id.example.com"),
        ("jwtIssuer", "https://"),
        ("jwtIssuer", "https://me:secret@id.example.com"),
        ("jwtIssuer", "https://id.example.com/?tenant=1"),
        ("jwtIssuer", " https://id.example.com"),
        ("jwtAudience", "two words"),
        ("jwtAudience", "x" * 256),
        ("allowAnonymous", "yes"),
        ("listShards", "0"),
        ("taskRetentionDays", "-1"),
        ("logRetentionDays", "8"),
        ("protectData", "yes"),
        ("architecture", "arm"),
        ("apiMemoryMb", "127"),
        ("apiMemoryMb", "10241"),
        ("snapStart", "PublishedVersions"),
        ("apiProvisionedConcurrency", "-1"),
        ("apiProvisionedConcurrency", "1001"),
        ("workerProvisionedConcurrency", "-1"),
        ("workerProvisionedConcurrency", "1001"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(key: str, value: str) -> None:
    [problem] = problems({key: value})
    assert problem.startswith(f"{key}: {json.dumps(value)}; allowed: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maxRetries", "0"),
        ("failureRate", "1"),
        ("backoffJitter", "0"),
        ("dlqMonitorSchedule", "rate(1 minute)"),
        ("dlqMonitorSchedule", "rate(2 hours)"),
        ("dlqMonitorSchedule", "cron(0/5 * * * ? *)"),
        ("dlqMonitorSchedule", "cron(15 10 ? * 6L 2026-2030)"),
        ("corsOrigins", '["*"]'),
        ("corsOrigins", '["http://localhost:5173", "https://*"]'),
        (
            "webhookAllowedHosts",
            '["hooks.example.com", "*.example.org", "xn--bcher-kva.example", "localhost"]',
        ),
        ("webhookAllowedNetworks", "[]"),
        ("webhookAllowedNetworks", '["10.0.0.0/8", "fd00::/8", "127.0.0.1/32", "public"]'),
        ("workerMaxConcurrency", "2"),
        ("visibilityTimeoutSeconds", "30"),
        ("architecture", "x86_64"),
        ("apiMemoryMb", "128"),
        ("apiMemoryMb", "10240"),
        ("snapStart", "true"),
        ("apiProvisionedConcurrency", "1000"),
        ("workerProvisionedConcurrency", "10"),
    ],
)
def test_values_at_the_edge_are_taken(key: str, value: str) -> None:
    load({key: value})


def test_every_key_missing_is_named() -> None:
    lines = problems(dict.fromkeys(KEYS))
    assert {line.split(":")[0] for line in lines} == KEYS
    assert all(": not set; allowed: " in line for line in lines)


@given(
    key=st.sampled_from(sorted(KEYS)),
    value=st.text(max_size=30) | st.from_regex(r"-?\d{1,6}", fullmatch=True),
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_any_value_gives_settings_or_a_message_that_names_the_key(key: str, value: str) -> None:
    try:
        load({key: value})
        message = None
    except pulumi.RunError as error:
        message = str(error)
    assert message is None or key in message


def test_an_unknown_key_is_named_with_the_one_that_was_meant() -> None:
    assert problems({"maxretries": "3", "zzz": "1"}) == [
        "maxretries: not a key of this project; did you mean maxRetries?",
        "zzz: not a key of this project",
    ]


def test_keys_of_other_namespaces_are_none_of_our_business() -> None:
    pulumi.runtime.set_all_config(
        {**config_of("dev"), "aws:region": "eu-west-1", "other:maxRetries": "x"}, []
    )
    settings.load([])


def test_secrets_are_not_shown() -> None:
    lines = problems({"maxRetries": "hunter2", "passphrase": "hunter3"}, secret=["maxRetries"])
    assert lines == [
        "maxRetries: [secret]; allowed: a whole number from 0 to 100",
        "passphrase: not a key of this project",
    ]


def signing_secret(size: int, byte: int = 7) -> str:
    """A secret for webhooks with a key of so many bytes."""
    return f"whsec_{base64.b64encode(bytes([byte]) * size).decode()}"


@pytest.mark.parametrize(
    "value",
    [signing_secret(24), signing_secret(64), f"{signing_secret(32)} {signing_secret(32, 8)}"],
    ids=["short", "long", "two"],
)
def test_a_webhook_secret_is_taken(value: str) -> None:
    loaded = load({"webhookSecret": value}, secret=["webhookSecret"])
    assert loaded.webhooks.secret == value
    assert "whsec_" not in repr(loaded)


def test_a_webhook_secret_is_optional_and_undeclared() -> None:
    assert load({}).webhooks.secret is None
    assert "webhookSecret" not in declared_config()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "hunter2",
        "whsec_",
        "whsec_hunter2",
        signing_secret(32).removeprefix("whsec_"),
        signing_secret(23),
        signing_secret(65),
        " ".join([signing_secret(32)] * 3),
        f" {signing_secret(32)}",
    ],
)
def test_a_wrong_webhook_secret_is_named_and_not_shown(value: str) -> None:
    assert problems({"webhookSecret": value}, secret=["webhookSecret"]) == [
        "webhookSecret: [secret]; allowed: whsec_ and 24 to 64 bytes in Base64, or two of them with a space between"
    ]


def test_a_webhook_secret_in_plain_text_is_refused_and_not_shown() -> None:
    assert problems({"webhookSecret": signing_secret(32)}) == [
        "webhookSecret: [plain text]; allowed: a secret, set with pulumi config set --secret webhookSecret"
    ]


@given(hosts=st.lists(st.text("aB.*-_1:/ü", max_size=8) | st.just("*.a.example")))
def test_hosts_that_are_taken_are_taken_by_the_function(hosts: list[str]) -> None:
    try:
        taken = load({"webhookAllowedHosts": json.dumps(hosts)}).webhooks.allowed_hosts
    except pulumi.RunError:
        return
    rules = outbound.Rules.from_environment({"WEBHOOK_ALLOWED_HOSTS": json.dumps(taken)})
    assert rules.hosts == tuple(hosts)


def test_a_stack_name_that_aws_would_refuse_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("feature.1", "x" * 30):
        monkeypatch.setattr(pulumi, "get_stack", lambda name=name: name)
        with pytest.raises(pulumi.RunError, match=f'stack name: "{re.escape(name)}"; allowed: .* at most 29'):
            load({})
    monkeypatch.setattr(pulumi, "get_stack", lambda: "x" * 29)
    assert len(f"{load({}).prefix}-track-connections-1234567") <= 64


# Values that do not go together


def limited(seconds: float | None, name: str = "resize") -> DeclaredTaskType:
    """A task type with this time limit, or with none of its own."""
    return DeclaredTaskType(name, f"functions/task_types/{name}.py", time_limit_seconds=seconds)


def test_large_batches_need_a_window() -> None:
    assert problems({"batchSize": "11"}, [limited(1)]) == [
        "batchSize: 11; allowed above 10 only with a batchWindowSeconds of 1 or more"
    ]
    load({"batchSize": "11", "batchWindowSeconds": "1"}, [limited(1)])


def too_large(batch: int, limit: float, needed: float, timeout: int, whose: str) -> str:
    """What a person is told of a batch whose last tasks could not start."""
    return (
        f"batchSize: {batch}; allowed above 10 only with a workerTimeoutSeconds of at least ceil(batchSize / 10) x "
        f"{limit:g} + 3 = {needed:g}, it is {timeout} ({whose} is {limit:g} s, tasks run 10 at a time, and one that "
        "could not end goes back unrun)"
    )


def test_every_task_of_a_large_batch_must_be_able_to_start() -> None:
    types = [limited(2.5), limited(4.5, "slow"), limited(1, "fast")]
    window = {"batchWindowSeconds": "1"}
    load(window | {"batchSize": "60"}, types)
    whose = "the limit of task type slow in functions/task_types/slow.py"
    assert problems(window | {"batchSize": "61"}, types) == [too_large(61, 4.5, 34.5, 30, whose)]
    load(window | {"batchSize": "61", "workerTimeoutSeconds": "35"}, types)


@pytest.mark.parametrize("types", [[], [limited(None)], [limited(1, "fast"), limited(None)]])
def test_a_type_without_a_limit_of_its_own_may_take_nearly_all_of_the_time(
    types: list[DeclaredTaskType],
) -> None:
    window = {"batchWindowSeconds": "1"}
    whose = "the limit of a type that states none"
    assert problems(window | {"batchSize": "11"}, types) == [too_large(11, 25, 53, 30, whose)]
    load(window | {"batchSize": "20", "workerTimeoutSeconds": "7"}, types)
    load({"batchSize": "10"}, types)


def test_the_worker_has_the_numbers_that_this_is_reckoned_with() -> None:
    text = (ROOT / "functions" / "tasklib" / "worker.py").read_text()
    assert "CONCURRENCY: Final = 10\n" in text
    assert "_SETTLING_TIME: Final = 3_000\n" in text


def test_a_message_must_stay_hidden_while_its_batch_is_gathered_and_run() -> None:
    assert problems({"visibilityTimeoutSeconds": "31", "batchWindowSeconds": "2"}) == [
        "visibilityTimeoutSeconds: 31; allowed: 0, or at least workerTimeoutSeconds + batchWindowSeconds = 32"
    ]
    load({"visibilityTimeoutSeconds": "32", "batchWindowSeconds": "2"})


@pytest.mark.parametrize(("timeout", "window"), [("900", "300"), ("6", "300"), ("30", "0")])
def test_the_derived_visibility_timeout_always_fits(timeout: str, window: str) -> None:
    loaded = load({"workerTimeoutSeconds": timeout, "batchWindowSeconds": window})
    assert loaded.queue.visibility_timeout_seconds == 6 * int(timeout) + int(window)


@pytest.mark.parametrize("key", ["apiProvisionedConcurrency", "workerProvisionedConcurrency"])
def test_snapshots_and_provisioned_concurrency_exclude_each_other(key: str) -> None:
    assert problems({"snapStart": "true", key: "1"}) == [
        "snapStart: true; allowed only with an apiProvisionedConcurrency and a workerProvisionedConcurrency of 0, "
        "because AWS offers a function one or the other"
    ]


def test_no_more_workers_are_kept_started_than_may_run() -> None:
    assert problems({"workerProvisionedConcurrency": "11"}) == [
        "workerProvisionedConcurrency: 11; allowed: at most workerMaxConcurrency = 10"
    ]
    load({"workerProvisionedConcurrency": "11", "workerMaxConcurrency": "11"})


def test_the_longest_backoff_must_fit_into_what_sqs_can_hide() -> None:
    [problem] = problems({"backoffMaxSeconds": "39246"})
    assert problem.startswith("backoffMaxSeconds: 39246; allowed: ")
    assert problem.endswith("of at most 43200, it is 43200.6")
    load({"backoffMaxSeconds": "39245"})


def test_the_base_may_not_be_above_the_longest_backoff() -> None:
    assert problems({"backoffBaseSeconds": "901"}) == [
        "backoffBaseSeconds: 901; allowed: at most backoffMaxSeconds = 900"
    ]


def test_the_safety_net_must_be_wide_enough_for_the_retries() -> None:
    assert problems({"maxRetries": "50"}) == [
        "maxReceiveCount: 100; allowed: at least 2 x (maxRetries + 1) = 102"
    ]
    load({"maxRetries": "49"})


def test_the_longest_queue_age_goes_with_the_other_defaults() -> None:
    load({"alarmQueueAgeSeconds": "345600"})


def test_all_backoffs_must_fit_into_the_retention() -> None:
    # 2 + 4 + ... + 512 and 91 times 900 s, plus 10 %.
    wanted = {"maxRetries": "100", "maxReceiveCount": "202", "alarmQueueAgeSeconds": "60"}
    assert problems(wanted | {"messageRetentionDays": "1"}) == [
        "messageRetentionDays: 1; allowed: more than the attempts of a task can take together, with "
        "workerTimeoutSeconds for each, alarmQueueAgeSeconds in the queue before each and the backoffs between them, "
        "1.2 days"
    ]
    load(wanted | {"messageRetentionDays": "2"})
    # What a task waits for a worker counts as well, before each attempt.
    assert problems({"messageRetentionDays": "1", "alarmQueueAgeSeconds": "28800"}) == [
        "messageRetentionDays: 1; allowed: more than the attempts of a task can take together, with "
        "workerTimeoutSeconds for each, alarmQueueAgeSeconds in the queue before each and the backoffs between them, "
        "1.0 days"
    ]
    load({"messageRetentionDays": "1", "alarmQueueAgeSeconds": "28000"})


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({"max_retries": 50}, "maxReceiveCount: 100; allowed: at least 2 x (maxRetries + 1) = 102"),
        (
            {"backoff_max_seconds": 1},
            "backoffBaseSeconds: 2; allowed: at most backoffMaxSeconds = 1",
        ),
        (
            {"time_limit_seconds": 26},
            "workerTimeoutSeconds: 30; allowed: at least the time limit of a task + 5 = 31",
        ),
        (
            {"backoff_max_seconds": 43200},
            "backoffMaxSeconds: 43200; allowed: backoffMaxSeconds x (1 + backoffJitter) + workerTimeoutSeconds of at "
            "most 43200, it is 47550",
        ),
    ],
)
def test_rules_of_a_task_type_count_like_those_of_the_stack(rules: dict[str, Any], problem: str) -> None:
    task_type = DeclaredTaskType("resize", "functions/task_types/resize.py", **rules)
    assert problems({}, [task_type]) == [f"{problem} (task type resize in functions/task_types/resize.py)"]


def test_a_task_type_within_the_limits_is_fine() -> None:
    load({}, [DeclaredTaskType("a", "a.py", 49, 1, 900, 25), DeclaredTaskType("b", "b.py")])


def test_a_wrong_value_is_not_reported_twice_by_the_rules_that_use_it() -> None:
    assert len(problems({"workerTimeoutSeconds": "0", "visibilityTimeoutSeconds": "1"})) == 1
