"""Secrets of task types: read from the parameter store, decrypted, kept for a while."""

import threading
import time
import uuid
from contextlib import ExitStack
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError
from tasklib import secret_parameters
from tasklib.secret_parameters import SecretParameters

from .webhook.attempts import SECRET, WEBHOOK


class TestSecretParameters:
    @pytest.fixture
    def ssm(self, request: pytest.FixtureRequest) -> Any:
        request.getfixturevalue("emulated_aws")
        return cast("Any", boto3).client("ssm")

    @pytest.fixture
    def parameter(self, ssm: Any) -> str:
        name = f"/tests/{uuid.uuid4()}"
        ssm.put_parameter(Name=name, Value=SECRET, Type="SecureString")
        return name

    def test_are_read_from_ssm_and_decrypted(self, ssm: Any, parameter: str) -> None:
        stored = ssm.get_parameter(Name=parameter, WithDecryption=False)["Parameter"]["Value"]
        assert stored != SECRET
        secrets = SecretParameters(lambda: ssm, {"WEBHOOK_SECRET_PARAMETER": parameter})
        assert secrets.values(WEBHOOK.secrets) == {"signing": SECRET}

    def test_are_read_again_after_five_minutes(
        self, ssm: Any, parameter: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [1000.0]
        monkeypatch.setattr(secret_parameters.time, "monotonic", lambda: now[0])
        clients: list[Any] = []
        secrets = SecretParameters(lambda: clients.append(ssm) or ssm, {"P": parameter})
        assert secrets.values({"a": "P"}) == {"a": SECRET}
        ssm.put_parameter(Name=parameter, Value="new", Type="SecureString", Overwrite=True)
        now[0] += 299
        assert secrets.values({"a": "P"}) == {"a": SECRET}
        now[0] += 2
        assert secrets.values({"a": "P"}) == {"a": "new"}
        assert len(clients) == 1

    def test_that_the_stack_does_not_configure_are_absent_and_cost_nothing(self) -> None:
        secrets = SecretParameters(lambda: pytest.fail("no client is wanted"), {"EMPTY": ""})
        assert secrets.values({"a": "EMPTY", "b": "ABSENT"}) == {}
        assert secrets.values({}) == {}

    def test_that_are_gone_raise_and_are_asked_for_again(self, ssm: Any, parameter: str) -> None:
        secrets = SecretParameters(lambda: ssm, {"P": f"{parameter}-later"})
        with pytest.raises(ClientError, match="ParameterNotFound"):
            secrets.values({"a": "P"})
        ssm.put_parameter(Name=f"{parameter}-later", Value="v", Type="SecureString")
        assert secrets.values({"a": "P"}) == {"a": "v"}

    def test_are_read_once_for_all_threads(self, ssm: Any, parameter: str) -> None:
        class Counting:
            calls = 0

            def get_parameter(self, **names: Any) -> Any:
                self.calls += 1
                time.sleep(0.05)
                return ssm.get_parameter(**names)

        client = Counting()
        secrets = SecretParameters(lambda: client, {"P": parameter})
        threads = [threading.Thread(target=secrets.values, args=({"a": "P"},)) for _ in range(5)]
        with ExitStack() as stack:
            for thread in threads:
                stack.callback(thread.join)
                thread.start()
        assert client.calls == 1
