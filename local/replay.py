"""What the program would deploy now, told apart from what runs.

It creates nothing. Resources that exist keep their outputs, so what the program declares differs only where its files
do. Code that differs is loaded as a function would load it, in the emulator's Python: what cannot be imported never
replaces what runs.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.aws import CREDENTIAL, Aws
from local.config import StackConfig, read_project, stack_config
from local.creators.lambda_ import FUNCTION
from local.emulator import emulator_python
from local.errors import LocalError
from local.program import Created, Deployment, as_declared, evaluate

_IMPORTER = Path(__file__).parent / "emulated" / "import_handlers.py"

#: Lambda gives a function's start 10 s; all functions are loaded one after the other here, on a busy machine.
_IMPORT_SECONDS = 30


@dataclass(frozen=True)
class Request:
    """What to look at.

    Attributes:
        directory: the program's.
        stack: the stack's name.
        overrides: the `-c` options of the run.
        config: the configuration that the stack was created with.
        endpoint_url: the emulator's.
        region: the stack's.
        deployment: what exists, with the code that runs.
        changed: the files that changed, relative to the directory.
    """

    directory: Path
    stack: str
    overrides: Sequence[str]
    config: StackConfig
    endpoint_url: str
    region: str
    deployment: Deployment
    changed: Sequence[str]


@dataclass(frozen=True)
class Difference:
    """Between what runs and what the program's files say.

    Attributes:
        functions: the functions that have other code.
        others: what else differs, in words.
        resources: in place of the deployment's, once the code is updated.
    """

    functions: list[Created] = field(default_factory=list[Created])
    others: list[str] = field(default_factory=list[str])
    resources: list[Created] = field(default_factory=list[Created])


def look(request: Request) -> Difference:
    """Compare.

    Raises:
        LocalError: the program refuses its files or fails; says where and why.
    """
    project = read_project(request.directory)
    config = stack_config(project, request.stack, request.overrides)
    aws = Aws(request.endpoint_url, request.region)
    existing = {(each.token, each.name): each for each in request.deployment.resources}
    found = Difference()
    found.others.extend(
        f"the configuration of {key}" for key in _differing(request.config.values, config.values)
    )

    def replay(token: str, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        resource = existing.pop((token, name), None)
        if resource is None:
            found.others.append(f"a new {token} {name!r}")
            return name, inputs
        declared = as_declared(inputs)
        found.resources.append(
            Created(token, name, resource.id, declared, {**resource.properties, "code": inputs["code"]})
            if token == FUNCTION
            else resource
        )
        differing = _differing(resource.declared, declared)
        if token == FUNCTION and "code" in differing:
            differing.remove("code")
            found.functions.append(found.resources[-1])
        found.others.extend(f"{key} of {token} {name!r}" for key in differing)
        return resource.id, dict(resource.properties)

    try:
        outputs = evaluate(project, request.stack, config, aws, replay)
    except LocalError:
        # What does not exist has no ARN to go on with.
        if found.others:
            return found
        raise
    found.others.extend(f"{token} {name!r} is gone" for token, name in existing)
    found.others.extend(f"the output {key}" for key in _differing(request.deployment.outputs, outputs))
    return found


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def load(request: Request, functions: Sequence[Created]) -> None:
    """Import the handlers of functions from their archives.

    Raises:
        LocalError: one of them cannot be imported; says where and why.
    """
    modules_of: dict[str, list[str]] = {}
    variables: dict[str, str] = {}  # of all functions together: one process imports many
    for function in functions:
        modules = modules_of.setdefault(str(function.properties["code"].path), [])
        modules.append(function.properties["handler"].rpartition(".")[0])
        variables |= function.properties.get("environment", {}).get("variables", {})
    for archive, modules in modules_of.items():
        with tempfile.TemporaryDirectory(prefix="local-stack-", ignore_cleanup_errors=True) as folder:
            with zipfile.ZipFile(archive) as package:
                package.extractall(folder)
            problem = _import(folder, modules, _environment(request) | variables)
        if problem is not None:
            raise LocalError(f"{_place(request, problem['frames'])}{problem['text']}")


def _environment(request: Request) -> dict[str, str]:
    """What every function sees: built, as the emulator's is."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_ENDPOINT_URL": request.endpoint_url,
        "AWS_REGION": request.region,
        "AWS_DEFAULT_REGION": request.region,
        "AWS_ACCESS_KEY_ID": CREDENTIAL,
        "AWS_SECRET_ACCESS_KEY": CREDENTIAL,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _import(folder: str, modules: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any] | None:
    """What prevents it, as import_handlers.py says."""
    process = subprocess.Popen(
        [str(emulator_python()), "-I", "-B", str(_IMPORTER), folder, *modules],
        cwd=folder,
        env={**environment, "HOME": folder, "TMPDIR": folder},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        answer, _ = process.communicate(timeout=_IMPORT_SECONDS)
    except subprocess.TimeoutExpired:
        return {"frames": [], "text": f"the functions cannot be imported within {_IMPORT_SECONDS} s"}
    finally:
        # With what the modules started, such as the worker's fork server.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if not answer:
        return {"frames": [], "text": f"importing the functions ended with exit status {process.returncode}"}
    return json.loads(answer)


def _place(request: Request, frames: Sequence[tuple[str, int]]) -> str:
    """The last place in a file that changed, or else in any file of the functions."""
    ours = [(f"functions/{path}", line) for path, line in frames]
    ours = [(path, line) for path, line in ours if (request.directory / path).is_file()]
    places = [place for place in ours if place[0] in request.changed] or ours
    return "{}:{}: ".format(*places[-1]) if places else ""
