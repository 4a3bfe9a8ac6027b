"""Lambda."""

import hashlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pulumi

from local.aws import Aws
from local.creators.resource_type import Call, Creation, Nested, ResourceType
from local.errors import LocalError, UnsupportedError

FUNCTION = "aws:lambda/function:Function"
ALIAS = "aws:lambda/alias:Alias"

#: How often the state of a version is looked up while its snapshot is made.
_PAUSE_SECONDS = 0.05


#: Where packages are put, by the hash of their contents. Sent with each function that shares it, a package takes ten
#: times as long.
_PACKAGES = "local-packages"
#: The packages that each emulator has.
_uploaded: WeakKeyDictionary[Aws, set[str]] = WeakKeyDictionary()


def _upload(aws: Aws, code: Any) -> dict[str, str]:
    """Put an archive where functions find it; returns the place as the Lambda API wants it."""
    if not isinstance(code, pulumi.FileArchive) or Path(str(code.path)).suffix != ".zip":
        raise UnsupportedError("property code: only a FileArchive of a .zip file can be run locally")
    path = Path(str(code.path))
    try:
        package = path.read_bytes()
    except OSError as error:
        raise UnsupportedError(f"property code: {path}: {error.strerror}") from None
    key = hashlib.sha256(package).hexdigest()
    uploaded = _uploaded.setdefault(aws, set())
    if not uploaded:
        # The API's own quirk: this region is named by leaving it out.
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
        where = {} if aws.region == "us-east-1" else elsewhere
        aws.call("s3", "create_bucket", {"Bucket": _PACKAGES, **where})
    if key not in uploaded:
        aws.call("s3", "put_object", {"Bucket": _PACKAGES, "Key": key, "Body": package})
        uploaded.add(key)
    return {"S3Bucket": _PACKAGES, "S3Key": key}


def _upload_code(creation: Creation) -> None:
    if "Code" in creation.request:
        creation.request["Code"] = _upload(creation.aws, creation.request["Code"])


def _function_name(creation: Creation) -> Mapping[str, Any]:
    return {"FunctionName": creation.request["FunctionName"]}


def update_code(aws: Aws, function: Mapping[str, Any], aliases: Iterable[Mapping[str, Any]]) -> None:
    """Give a function that exists the code that its archive holds now. Calls that run are left to end.

    Args:
        aws: where it exists.
        function: its properties.
        aliases: the properties of all aliases; those of its version lead to a new version then.
    """
    name = {"FunctionName": function["name"]}
    aws.call("lambda", "update_function_code", {**name, **_upload(aws, function["code"])})
    if not function.get("publish"):
        return
    version: str = aws.call("lambda", "publish_version", name)["Version"]
    if "snapStart" in function:
        _await_snapshot(aws, function["name"], version)
    for alias in aliases:
        if (alias["functionName"], alias["functionVersion"]) == (function["name"], function["version"]):
            aws.call("lambda", "update_alias", {**name, "Name": alias["name"], "FunctionVersion": version})


def _await_published(creation: Creation) -> None:
    """Wait for the published version of a function with SnapStart, as Pulumi's provider does."""
    if "SnapStart" in creation.request and creation.request.get("Publish"):
        _await_snapshot(creation.aws, creation.request["FunctionName"], creation.response["Version"])


def _await_snapshot(aws: Aws, function: str, version: str) -> None:
    """A function that cannot start ends the deployment then, not its first call."""
    while True:
        request = {"FunctionName": function, "Qualifier": version}
        state = aws.call("lambda", "get_function_configuration", request)
        if state["State"] == "Failed":
            raise LocalError(f"the snapshot cannot be taken: {state['StateReason']}")
        if state["State"] != "Pending":
            return
        time.sleep(_PAUSE_SECONDS)


def _function_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    function = creation.response
    arn: str = function["FunctionArn"]
    qualified = f"{arn}:{function['Version']}"
    return function["FunctionName"], {
        "arn": arn,
        "invokeArn": _invoke_arn(creation, arn),
        "qualifiedArn": qualified,
        "qualifiedInvokeArn": _invoke_arn(creation, qualified),
        "version": function["Version"],
        "codeSha256": function["CodeSha256"],
        "sourceCodeSize": function["CodeSize"],
        "lastModified": function["LastModified"],
    }


def _invoke_arn(creation: Creation, function_arn: str) -> str:
    region = creation.aws.region
    return f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function_arn}/invocations"


def _alias_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    arn: str = creation.response["AliasArn"]
    return arn, {"arn": arn, "invokeArn": _invoke_arn(creation, arn)}


def _provisioned_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return f"{creation.request['FunctionName']},{creation.request['Qualifier']}", {}


def _permission_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return creation.request["StatementId"], {}


def _mapping_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    mapping = creation.response
    return mapping["UUID"], {
        "uuid": mapping["UUID"],
        "arn": mapping.get("EventSourceMappingArn")
        or creation.aws.arn("lambda", f"event-source-mapping:{mapping['UUID']}"),
        "functionArn": mapping["FunctionArn"],
        "state": mapping["State"],
    }


_ON_FAILURE = Nested("OnFailure", {"destinationArn": "Destination"})

RESOURCE_TYPES = (
    ResourceType(
        FUNCTION,
        "lambda",
        auto_named="name",
        calls=(
            Call(
                "create_function",
                {
                    "name": "FunctionName",
                    "description": "Description",
                    "role": "Role",
                    "runtime": "Runtime",
                    "handler": "Handler",
                    "code": "Code",
                    "architectures": "Architectures",
                    "memorySize": "MemorySize",
                    "timeout": "Timeout",
                    "environment": Nested("Environment", {"variables": "Variables"}),
                    "ephemeralStorage": Nested("EphemeralStorage", {"size": "Size"}),
                    "loggingConfig": Nested(
                        "LoggingConfig",
                        {
                            "logFormat": "LogFormat",
                            "logGroup": "LogGroup",
                            "applicationLogLevel": "ApplicationLogLevel",
                            "systemLogLevel": "SystemLogLevel",
                        },
                    ),
                    "tracingConfig": Nested("TracingConfig", {"mode": "Mode"}),
                    "deadLetterConfig": Nested("DeadLetterConfig", {"targetArn": "TargetArn"}),
                    "packageType": "PackageType",
                    "publish": "Publish",
                    "snapStart": Nested("SnapStart", {"applyOn": "ApplyOn"}),
                    "layers": "Layers",
                    "tags": "Tags",
                },
            ),
            Call(
                "put_function_concurrency",
                {"reservedConcurrentExecutions": "ReservedConcurrentExecutions"},
                address=_function_name,
                # -1 is Pulumi's word for a function without a reservation.
                needed=lambda request: request["ReservedConcurrentExecutions"] >= 0,
            ),
        ),
        prepare=_upload_code,
        finish=_await_published,
        outputs=_function_outputs,
        ignored={
            "sourceCodeHash": "tells Pulumi when to upload again; a local stack is always new",
            "skipDestroy": "says how to delete; a local stack ends as a whole",
        },
    ),
    ResourceType(
        ALIAS,
        "lambda",
        auto_named="name",
        calls=(
            Call(
                "create_alias",
                {
                    "name": "Name",
                    "description": "Description",
                    "functionName": "FunctionName",
                    "functionVersion": "FunctionVersion",
                    "routingConfig": Nested(
                        "RoutingConfig", {"additionalVersionWeights": "AdditionalVersionWeights"}
                    ),
                },
            ),
        ),
        outputs=_alias_outputs,
    ),
    ResourceType(
        "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig",
        "lambda",
        calls=(
            Call(
                "put_provisioned_concurrency_config",
                {
                    "functionName": "FunctionName",
                    "qualifier": "Qualifier",
                    "provisionedConcurrentExecutions": "ProvisionedConcurrentExecutions",
                },
            ),
        ),
        outputs=_provisioned_outputs,
        ignored={"skipDestroy": "says how to delete; a local stack ends as a whole"},
    ),
    ResourceType(
        "aws:lambda/permission:Permission",
        "lambda",
        auto_named="statementId",
        calls=(
            Call(
                "add_permission",
                {
                    "statementId": "StatementId",
                    "function": "FunctionName",
                    "action": "Action",
                    "principal": "Principal",
                    "sourceArn": "SourceArn",
                    "sourceAccount": "SourceAccount",
                    "qualifier": "Qualifier",
                },
            ),
        ),
        outputs=_permission_outputs,
    ),
    ResourceType(
        "aws:lambda/eventSourceMapping:EventSourceMapping",
        "lambda",
        calls=(
            Call(
                "create_event_source_mapping",
                {
                    "eventSourceArn": "EventSourceArn",
                    "functionName": "FunctionName",
                    "enabled": "Enabled",
                    "batchSize": "BatchSize",
                    "maximumBatchingWindowInSeconds": "MaximumBatchingWindowInSeconds",
                    "functionResponseTypes": "FunctionResponseTypes",
                    "scalingConfig": Nested("ScalingConfig", {"maximumConcurrency": "MaximumConcurrency"}),
                    "filterCriteria": Nested(
                        "FilterCriteria", {"filters": Nested("Filters", {"pattern": "Pattern"})}
                    ),
                    "startingPosition": "StartingPosition",
                    "parallelizationFactor": "ParallelizationFactor",
                    "bisectBatchOnFunctionError": "BisectBatchOnFunctionError",
                    "maximumRecordAgeInSeconds": "MaximumRecordAgeInSeconds",
                    "maximumRetryAttempts": "MaximumRetryAttempts",
                    "tumblingWindowInSeconds": "TumblingWindowInSeconds",
                    "destinationConfig": Nested("DestinationConfig", {"onFailure": _ON_FAILURE}),
                    "tags": "Tags",
                },
            ),
        ),
        outputs=_mapping_outputs,
    ),
    ResourceType(
        "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",
        "lambda",
        calls=(
            Call(
                "put_function_event_invoke_config",
                {
                    "functionName": "FunctionName",
                    "qualifier": "Qualifier",
                    "maximumEventAgeInSeconds": "MaximumEventAgeInSeconds",
                    "maximumRetryAttempts": "MaximumRetryAttempts",
                    "destinationConfig": Nested(
                        "DestinationConfig",
                        {
                            "onFailure": Nested("OnFailure", {"destination": "Destination"}),
                            "onSuccess": Nested("OnSuccess", {"destination": "Destination"}),
                        },
                    ),
                },
            ),
        ),
        outputs=lambda creation: (creation.request["FunctionName"], {}),
    ),
)
