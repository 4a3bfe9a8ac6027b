"""AWS's API for a stack: with the user's own settings, or, for a local stack, with none of them.

boto3 is imported where it is needed: it takes longer to load than all the rest, and most commands do without.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, cast

from client.errors import excerpt
from client.stack import Stack

#: Seconds to connect and, then, for each read.
CONNECT_SECONDS = 5
READ_SECONDS = 20

#: What AWS answers when it is not the request but the caller that it does not like.
_ACCESS_CODES = frozenset(
    {
        *(
            "AccessDenied",
            "AccessDeniedException",
            "AuthorizationError",
            "AWS.SimpleQueueService.AccessDenied",
        ),
        *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"),
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSignatureException", "OptInRequired"),
        *("MissingAuthenticationToken", "MissingAuthenticationTokenException", "IncompleteSignature"),
    }
)

_LOCAL_CREDENTIAL = "test"


class Fault(StrEnum):
    """Why a call of AWS came to nothing."""

    SETTINGS = "settings"  #: no credentials, no region, no boto3
    ACCESS = "access"  #: the credentials do not allow it
    UNREACHED = "unreached"  #: no answer
    REFUSED = "refused"  #: an answer that is an error


class AwsError(Exception):
    """A call of AWS that came to nothing; the text, one line, is for a person."""

    def __init__(self, text: str, fault: Fault, code: str = "") -> None:
        super().__init__(text)
        self.fault = fault
        self.code = code


def client_of(stack: Stack, service: str) -> Any:
    """A boto3 client of a service in the stack's region.

    Raises:
        AwsError: boto3, or a setting that it needs, is missing.
    """
    try:
        import boto3  # noqa: PLC0415
        import botocore.session  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
    except ImportError:
        raise AwsError("boto3 is not installed (requirements.txt)", Fault.SETTINGS) from None
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 4},
    )
    with faults():
        if stack.endpoint_url is None:
            return cast("Any", boto3.Session(region_name=stack.region)).client(service, config=config)
        # Neither the user's profile nor a proxy, nor any other setting, has a say: nothing leads to AWS.
        nothing: dict[str, Any] = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        session = boto3.Session(
            botocore_session=botocore.session.Session(session_vars=nothing), region_name=stack.region
        )
        return cast("Any", session).client(
            service,
            endpoint_url=stack.endpoint_url,
            aws_access_key_id=_LOCAL_CREDENTIAL,
            aws_secret_access_key=_LOCAL_CREDENTIAL,
            config=config.merge(Config(proxies={})),
        )


@contextmanager
def faults() -> Generator[None]:
    """Around calls of AWS: botocore's errors become ours."""
    from botocore import exceptions  # noqa: PLC0415

    try:
        yield
    except exceptions.ClientError as error:
        told = error.response.get("Error", {})
        code = told.get("Code", "Error")
        fault = Fault.ACCESS if code in _ACCESS_CODES else Fault.REFUSED
        raise AwsError(f"{code}: {excerpt(told.get('Message', ''))}".rstrip(": "), fault, code) from None
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        raise AwsError(excerpt(str(error)), Fault.UNREACHED) from None
    except exceptions.BotoCoreError as error:
        raise AwsError(excerpt(str(error)), Fault.SETTINGS) from None
