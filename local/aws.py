"""AWS's API as the emulator answers it, and nothing else: no setting of this machine's user can lead to AWS."""

import os
import threading
from collections.abc import Mapping
from typing import Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.errors import LocalError

#: The account that the emulator keeps everything in.
ACCOUNT = "000000000000"

#: Access key and secret that the emulator takes for the account's own.
CREDENTIAL = "test"


def forget_user_settings() -> None:
    """Take every AWS setting of the user out of this process: profiles, credentials, endpoints."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


class AwsError(LocalError):
    """What a service answered instead of a result.

    Attributes:
        code: AWS's name for the error, such as `ResourceNotFoundException`.
    """

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class Aws:
    """One region of the emulator.

    Args:
        endpoint_url: where the emulator listens, such as `http://127.0.0.1:4566`.
        region: the region that resources are created in.
    """

    def __init__(self, endpoint_url: str, region: str) -> None:
        self.endpoint_url = endpoint_url
        self.region = region
        self._session = boto3.Session(region_name=region)
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def port(self) -> str:
        """The port of the endpoint, as it stands in URLs."""
        return self.endpoint_url.rpartition(":")[2]

    def call(self, service: str, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call one operation by its boto3 name.

        Raises:
            AwsError: the service refused, on one line.
            LocalError: boto3's own check of the request failed, or the emulator did not answer.
        """
        try:
            return getattr(self._client(service), operation)(**request)
        except ClientError as error:
            failure = error.response.get("Error", {})
            code = failure.get("Code", "Error")
            message = " ".join(failure.get("Message", "").split())
            raise AwsError(f"{service} {operation}: {code}: {message}", code) from None
        except BotoCoreError as error:
            raise LocalError(f"{service} {operation}: {' '.join(str(error).split())}") from None

    def arn(self, service: str, resource: str) -> str:
        """The ARN of something in this account and region."""
        return f"arn:aws:{service}:{self.region}:{ACCOUNT}:{resource}"

    def _client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                # The service is a value here, which the overloads cannot type.
                client = cast("Any", self._session).client
                self._clients[service] = client(
                    service,
                    endpoint_url=self.endpoint_url,
                    aws_access_key_id=CREDENTIAL,
                    aws_secret_access_key=CREDENTIAL,
                    config=Config(
                        # An empty mapping means none; None would ask the environment.
                        proxies={},
                        connect_timeout=5,
                        read_timeout=30,
                        retries={"total_max_attempts": 1},
                    ),
                )
            return self._clients[service]
