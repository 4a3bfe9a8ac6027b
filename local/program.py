"""Evaluates a Pulumi program through the SDK, with a provider that creates each resource in the emulator.

The SDK offers a place to put a provider without the Pulumi engine: its mocks. These ones create for real, or look up
what was created by an earlier evaluation.
"""

import asyncio
import hashlib
import logging
import os
import runpy
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pulumi
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, rpc, set_all_config, set_mocks
from pulumi.runtime.settings import get_root_resource
from pulumi.runtime.stack import Stack, run_pulumi_func

from local.aws import ACCOUNT, Aws
from local.config import Project, StackConfig
from local.creators import RESOURCE_TYPES
from local.creators.resource_type import Creation
from local.errors import LocalError, UnsupportedError


@dataclass(frozen=True)
class Created:
    """A resource that now exists.

    Attributes:
        token: its Pulumi type token.
        name: its logical name.
        id: its Pulumi ID.
        declared: what the program declared, with the contents of archives as their hash.
        properties: its inputs and outputs together.
    """

    token: str
    name: str
    id: str
    declared: Mapping[str, Any]
    properties: Mapping[str, Any]


@dataclass
class Deployment:
    """What evaluating a program came to: the outputs that it exports and the resources that it created."""

    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    resources: list[Created] = field(default_factory=list[Created])


#: Gives a resource its ID and its properties: type token, logical name, inputs.
Create = Callable[[str, str, dict[str, Any]], tuple[str, dict[str, Any]]]


def deploy(project: Project, stack: str, config: StackConfig, aws: Aws) -> Deployment:
    """Evaluate the program of a project and create what it declares, as `evaluate` says."""
    created: list[Created] = []

    def create(token: str, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        resource_type = RESOURCE_TYPES.get(token)
        if resource_type is None:
            raise UnsupportedError("a local run does not know this resource type (local/creators)")
        declared = as_declared(inputs)
        resource_id, computed = resource_type.create(Creation(aws, project.name, name, inputs))
        properties = {**inputs, "region": aws.region, **computed}
        if "tags" in inputs:
            properties["tagsAll"] = inputs["tags"]
        created.append(Created(token, name, resource_id, declared, properties))
        return resource_id, properties

    return Deployment(evaluate(project, stack, config, aws, create), created)


def as_declared(value: Any) -> Any:
    """The inputs of a resource in a form that can be compared: an archive is its path and the hash of its file."""
    if isinstance(value, dict):
        return {key: as_declared(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [as_declared(item) for item in cast("list[Any]", value)]
    if isinstance(value, pulumi.FileArchive):
        path = Path(str(value.path))
        return str(path), hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return value


def evaluate(project: Project, stack: str, config: StackConfig, aws: Aws, create: Create) -> dict[str, Any]:
    """Evaluate the program of a project and return what it exports.

    One call per process: the SDK keeps the first program's exports. It changes the working directory to the
    project's, as the Pulumi CLI does.

    Args:
        project: whose program.
        stack: the stack's name.
        config: the stack's configuration.
        aws: whose region and endpoint the program is told.
        create: called for each resource, one at a time; what it raises ends the evaluation.

    Raises:
        LocalError: the program refused its configuration or failed, or declares what cannot be created here.
    """
    program = project.directory / "__main__.py"
    if not program.is_file():
        raise LocalError(f"no Pulumi program: {program} is missing")
    provider = _Provider(aws, create)
    # The loop must exist before the mocks are set. One thread: resources are created one at a time.
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
    asyncio.set_event_loop(loop)
    _keep_quiet()
    set_all_config(dict(config.values), list(config.secrets))
    set_mocks(provider, project=project.name, stack=stack, preview=False, logger=_program_log())
    os.chdir(project.directory)
    sys.path.insert(0, str(project.directory))

    def run() -> None:
        runpy.run_path(str(program), run_name="__main__")

    try:
        loop.run_until_complete(run_pulumi_func(run))
        outputs = loop.run_until_complete(_exports())
    except LocalError:
        raise
    except (Exception, SystemExit) as error:
        # The SDK wraps what a provider raises; the first failure is the cause of all that follow.
        raise provider.failure or _program_error(error, project.directory) from error
    finally:
        loop.run_until_complete(loop.run_in_executor(None, _close_own_loop))
    if provider.failure is not None:
        raise provider.failure
    return outputs


def _close_own_loop() -> None:
    """Close the loop that the SDK makes in the thread where it asks the provider, if it did.

    Left to the interpreter's end, it can say on the terminal that it was not closed.
    """
    with suppress(RuntimeError):
        asyncio.get_event_loop().close()


class _Provider(Mocks):
    """Has resources created and answers the functions that a program calls."""

    def __init__(self, aws: Aws, create: Create) -> None:
        self._aws = aws
        self._create = create
        self.failure: LocalError | None = None

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if not args.custom:  # a component: a folder of resources, nothing to create
            return args.name, {}
        if self.failure is not None:
            # The SDK goes on with what does not depend on the failed resource; nothing more is to be created.
            raise self.failure
        try:
            return self._create(args.typ, args.name, cast("dict[str, Any]", _plain(args.inputs)))
        except LocalError as error:
            self.failure = LocalError(f"{args.typ} {args.name!r}: {error}")
            raise self.failure from None

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        answers: dict[str, dict[str, Any]] = {
            "aws:index/getRegion:getRegion": {
                "id": self._aws.region,
                "name": self._aws.region,
                "region": self._aws.region,
                "endpoint": self._aws.endpoint_url,
                "description": "local",
            },
            "aws:index/getCallerIdentity:getCallerIdentity": {
                "id": ACCOUNT,
                "accountId": ACCOUNT,
                "arn": f"arn:aws:iam::{ACCOUNT}:root",
                "userId": ACCOUNT,
            },
            "aws:index/getPartition:getPartition": {
                "id": "aws",
                "partition": "aws",
                "dnsSuffix": "amazonaws.com",
                "reverseDnsPrefix": "com.amazonaws",
            },
        }
        if args.token not in answers:
            self.failure = self.failure or UnsupportedError(
                f"function {args.token} of the program is not known locally; known: {', '.join(answers)}"
            )
            raise self.failure
        return answers[args.token], []


def _plain(value: Any) -> Any:
    """Undo the wire format: whole numbers come as floats, secrets in a wrapper."""
    value = rpc.unwrap_rpc_secret(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


async def _exports() -> dict[str, Any]:
    stack = cast("Stack", get_root_resource())
    exported: Any = await pulumi.Output.from_input(stack.outputs).future()
    return cast("dict[str, Any]", _plain(exported))


def _program_error(error: BaseException, directory: Path) -> LocalError:
    """A failed program in one message: what it says itself, or else the failure and the place in its code."""
    if isinstance(error, pulumi.RunError | SystemExit):
        return LocalError(str(error))
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        if file.is_relative_to(directory) and "site-packages" not in file.parts:
            place = f" ({file.relative_to(directory)}:{frame.lineno})"
    text = " ".join(str(error).split())
    return LocalError(f"the program failed: {type(error).__name__}: {text}{place}")


def _program_log() -> logging.Logger:
    """Where the program's own warnings go, and nothing that the SDK says about failures: those are reported once."""
    log = logging.getLogger("local.program")
    log.propagate = False
    handler = logging.StreamHandler()
    handler.addFilter(lambda record: record.levelno == logging.WARNING)
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    log.handlers = [handler]
    return log


def _keep_quiet() -> None:
    """Keep the noise of the SDK and its libraries from the terminal: deprecations, tasks that nobody awaited."""
    warnings.simplefilter("ignore")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
