"""What arrives of a delivery, how it is signed, and what it needs."""

import base64
import hashlib
import hmac
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from task_types.webhook import sign
from tasklib import outbound

from tests.functions.receiver import Receiver

from .attempts import KEY, SECRET, attempt, delivered, refused


class TestADelivery:
    def test_arrives_as_a_signed_json_request(self, receiver: Receiver) -> None:
        before = int(time.time())
        result = delivered(
            f"{receiver.url}/hooks/a%20b?x=1&y=%2F#part", body={"name": "Käse", "n": [1, None]}, method="PUT"
        )
        assert result.pop("durationMs") < 5000
        assert result == {"status": 200, "excerpt": "ok", "truncated": False}
        (request,) = receiver.received
        assert request.line == "PUT /hooks/a%20b?x=1&y=%2F HTTP/1.1"
        assert request.body == '{"name":"Käse","n":[1,null]}'.encode()
        headers = request.headers
        assert headers["host"] == f"127.0.0.1:{receiver.port}"
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"] == "tasks-webhook"
        identity, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        assert before <= int(timestamp) <= time.time()
        assert re.fullmatch("msg_[0-9a-f]{32}", identity)
        code = hmac.new(KEY, f"{identity}.{timestamp}.".encode() + request.body, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(code).decode()}"

    def test_keeps_its_id_in_all_attempts_of_a_run(self, receiver: Receiver) -> None:
        for task_id, run in (("t", 1), ("t", 1), ("t", 2), ("u", 1), ("t.1", 1), ("t", 11), ("t1", 1)):
            delivered(receiver.url, task_id=task_id, run=run)
        # The first has expired, and its ID is used for another one.
        delivered(receiver.url, created_at="2026-11-22T09:34:29.041Z")
        first, again, *others = (request.headers["webhook-id"] for request in receiver.received)
        assert first == again
        assert len({first, *others}) == 7

    def test_is_signed_as_others_sign(self) -> None:
        # The example of the specification's reference implementation.
        signed = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            b'{"test": 2432232314}',
        )
        assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def test_is_signed_with_both_secrets_while_one_is_replaced(self, receiver: Receiver) -> None:
        other = f"whsec_{base64.b64encode(b'x' * 24).decode()}"
        delivered(receiver.url, secret=f"{SECRET} {other}")
        signatures = receiver.received[0].headers["webhook-signature"].split(" ")
        assert len(signatures) == 2
        assert len({*signatures}) == 2
        assert all(signature.startswith("v1,") for signature in signatures)

    def test_carries_the_headers_of_its_task(self, receiver: Receiver) -> None:
        own = {
            "Authorization": "Bearer x",
            "Content-Type": "application/cloudevents+json",
            "User-Agent": "me",
        }
        delivered(receiver.url, headers=own)
        headers = receiver.received[0].headers
        assert headers["authorization"] == "Bearer x"
        assert headers["content-type"] == "application/cloudevents+json"
        assert headers["user-agent"] == "me"

    def test_of_null_is_a_delivery_too(self, receiver: Receiver) -> None:
        delivered(receiver.url, body=None)
        assert receiver.received[0].body == b"null"

    def test_takes_no_proxy_from_the_environment(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Receiver() as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url)
            delivered(receiver.url)
        assert proxy.connections == []

    def test_is_not_made_without_a_secret(self, receiver: Receiver) -> None:
        assert "webhookSecret" in refused(receiver.url, secret=None)
        assert receiver.connections == []

    @pytest.mark.parametrize(
        "secret", ["hunter2", "whsec_hunter2", f"whsec_{'QUJD' * 5}", f"whsec_{'QUJD' * 30}"]
    )
    def test_is_not_made_with_a_bad_one_which_stays_secret(self, receiver: Receiver, secret: str) -> None:
        ended = attempt(receiver.url, secret=secret)
        assert ended["permanent"]
        assert "webhookSecret" in ended["error"]
        assert secret not in str(ended)
        assert receiver.connections == []


def test_what_a_delivery_needs_is_imported_by_the_first() -> None:
    """Every cold start would pay for it otherwise."""
    code = (
        "import sys, task_types; from tasklib.task_type import load_all; load_all(task_types);"
        "print({'tasklib.outbound', 'http.client', 'ssl', 'urllib3', 'boto3', 'botocore'} & {*sys.modules})"
    )
    functions = Path(outbound.__file__).parent.parent
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=functions, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
