"""API Gateway: HTTP and WebSocket APIs."""

from typing import Any

from local.creators.resource_type import Call, Creation, Nested, ResourceType
from local.errors import UnsupportedError

_ROUTE_SETTINGS = {
    "throttlingBurstLimit": "ThrottlingBurstLimit",
    "throttlingRateLimit": "ThrottlingRateLimit",
    "detailedMetricsEnabled": "DetailedMetricsEnabled",
    "dataTraceEnabled": "DataTraceEnabled",
    "loggingLevel": "LoggingLevel",
}


#: The ID of the API of each protocol.
_API_IDS = {"HTTP": "{project}", "WEBSOCKET": "{project}-live"}

#: Where a route's settings carry its key until they become a mapping by it.
_ROUTE_KEY = "RouteKey"


def _settings_by_route(creation: Creation) -> None:
    """AWS wants the settings of routes as a mapping, Pulumi as a list."""
    settings: list[dict[str, Any]] = creation.request.get("RouteSettings", [])
    if settings:
        creation.request["RouteSettings"] = {one.pop(_ROUTE_KEY): one for one in settings}


def _pin_id(creation: Creation) -> None:
    """Give the API an ID that is the same from run to run, through a tag that the emulator knows."""
    protocol: str = creation.request["ProtocolType"]
    if protocol not in _API_IDS:
        known = ", ".join(_API_IDS)
        raise UnsupportedError(f"property protocolType: {protocol} is not known locally; known: {known}")
    api_id = _API_IDS[protocol].format(project=creation.project)
    creation.request["Tags"] = {**creation.request.get("Tags", {}), "ms-custom-id": api_id}


def _answer_by_name(creation: Creation) -> None:
    """Let the API answer under its own host name, as on AWS.

    By itself the emulator knows only host names whose API ID is eight hexadecimal digits.
    """
    api_id, stage = creation.request["ApiId"], creation.request["StageName"]
    if _is_websocket(creation, api_id):
        return
    domain = {"DomainName": _host(api_id)}
    domains = creation.aws.call("apigatewayv2", "get_domain_names", {})["Items"]
    if not any(known["DomainName"] == _host(api_id) for known in domains):
        creation.aws.call("apigatewayv2", "create_domain_name", domain)
    mapping = {**domain, "ApiId": api_id, "Stage": stage, "ApiMappingKey": _path(stage)}
    creation.aws.call("apigatewayv2", "create_api_mapping", mapping)


def _host(api_id: str) -> str:
    """An API's host name: `localhost` and every name under it are this machine (RFC 6761)."""
    return f"{api_id}.execute-api.localhost"


def _path(stage: str) -> str:
    """What follows the host in a stage's URLs: nothing for the default stage, the stage's name for another."""
    return "" if stage == "$default" else stage


def _is_websocket(creation: Creation, api_id: str) -> bool:
    api = creation.aws.call("apigatewayv2", "get_api", {"ApiId": api_id})
    return api["ProtocolType"] == "WEBSOCKET"


def _url(creation: Creation, api_id: str, *, websocket: bool) -> str:
    """Where an API answers.

    A WebSocket API does so under a path of the emulator's, which whoever cannot resolve names under `localhost`
    reaches too: functions, and clients in most languages.
    """
    if websocket:
        return f"ws://127.0.0.1:{creation.aws.port}/_aws/execute-api/{api_id}"
    return f"http://{_host(api_id)}:{creation.aws.port}"


def _execution_arn(creation: Creation, api_id: str) -> str:
    return creation.aws.arn("execute-api", api_id)


def _api_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    api_id: str = creation.response["ApiId"]
    return api_id, {
        "apiEndpoint": _url(creation, api_id, websocket=creation.request["ProtocolType"] == "WEBSOCKET"),
        "arn": f"arn:aws:apigateway:{creation.aws.region}::/apis/{api_id}",
        "executionArn": _execution_arn(creation, api_id),
        "routeSelectionExpression": creation.response["RouteSelectionExpression"],
    }


def _stage_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    api_id: str = creation.request["ApiId"]
    stage: str = creation.request["StageName"]
    return stage, {
        "invokeUrl": f"{_url(creation, api_id, websocket=_is_websocket(creation, api_id))}/{_path(stage)}",
        "arn": f"arn:aws:apigateway:{creation.aws.region}::/apis/{api_id}/stages/{stage}",
        "executionArn": f"{_execution_arn(creation, api_id)}/{stage}",
        "deploymentId": creation.response.get("DeploymentId", ""),
    }


def _integration_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return creation.response["IntegrationId"], {}


def _authorizer_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return creation.response["AuthorizerId"], {}


def _route_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return creation.response["RouteId"], {}


def _route_response_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return creation.response["RouteResponseId"], {}


RESOURCE_TYPES = (
    ResourceType(
        "aws:apigatewayv2/api:Api",
        "apigatewayv2",
        auto_named="name",
        calls=(
            Call(
                "create_api",
                {
                    "name": "Name",
                    "description": "Description",
                    "protocolType": "ProtocolType",
                    "version": "Version",
                    "routeSelectionExpression": "RouteSelectionExpression",
                    "apiKeySelectionExpression": "ApiKeySelectionExpression",
                    "disableExecuteApiEndpoint": "DisableExecuteApiEndpoint",
                    "corsConfiguration": Nested(
                        "CorsConfiguration",
                        {
                            "allowCredentials": "AllowCredentials",
                            "allowHeaders": "AllowHeaders",
                            "allowMethods": "AllowMethods",
                            "allowOrigins": "AllowOrigins",
                            "exposeHeaders": "ExposeHeaders",
                            "maxAge": "MaxAge",
                        },
                    ),
                    "tags": "Tags",
                },
            ),
        ),
        prepare=_pin_id,
        outputs=_api_outputs,
    ),
    ResourceType(
        "aws:apigatewayv2/integration:Integration",
        "apigatewayv2",
        calls=(
            Call(
                "create_integration",
                {
                    "apiId": "ApiId",
                    "description": "Description",
                    "integrationType": "IntegrationType",
                    "integrationMethod": "IntegrationMethod",
                    "integrationUri": "IntegrationUri",
                    "payloadFormatVersion": "PayloadFormatVersion",
                    "contentHandlingStrategy": "ContentHandlingStrategy",
                    "timeoutMilliseconds": "TimeoutInMillis",
                    "connectionType": "ConnectionType",
                    "requestParameters": "RequestParameters",
                    "templateSelectionExpression": "TemplateSelectionExpression",
                },
            ),
        ),
        outputs=_integration_outputs,
    ),
    ResourceType(
        "aws:apigatewayv2/authorizer:Authorizer",
        "apigatewayv2",
        auto_named="name",
        calls=(
            Call(
                "create_authorizer",
                {
                    "apiId": "ApiId",
                    "name": "Name",
                    "authorizerType": "AuthorizerType",
                    "identitySources": "IdentitySource",
                    "jwtConfiguration": Nested(
                        "JwtConfiguration", {"issuer": "Issuer", "audiences": "Audience"}
                    ),
                },
            ),
        ),
        outputs=_authorizer_outputs,
    ),
    ResourceType(
        "aws:apigatewayv2/route:Route",
        "apigatewayv2",
        calls=(
            Call(
                "create_route",
                {
                    "apiId": "ApiId",
                    "routeKey": "RouteKey",
                    "target": "Target",
                    "authorizationType": "AuthorizationType",
                    "authorizerId": "AuthorizerId",
                    "authorizationScopes": "AuthorizationScopes",
                    "apiKeyRequired": "ApiKeyRequired",
                    "operationName": "OperationName",
                    "routeResponseSelectionExpression": "RouteResponseSelectionExpression",
                },
            ),
        ),
        outputs=_route_outputs,
    ),
    ResourceType(
        "aws:apigatewayv2/routeResponse:RouteResponse",
        "apigatewayv2",
        calls=(
            Call(
                "create_route_response",
                {
                    "apiId": "ApiId",
                    "routeId": "RouteId",
                    "routeResponseKey": "RouteResponseKey",
                    "modelSelectionExpression": "ModelSelectionExpression",
                    "responseModels": "ResponseModels",
                },
            ),
        ),
        outputs=_route_response_outputs,
    ),
    ResourceType(
        "aws:apigatewayv2/stage:Stage",
        "apigatewayv2",
        auto_named="name",
        calls=(
            Call(
                "create_stage",
                {
                    "apiId": "ApiId",
                    "name": "StageName",
                    "description": "Description",
                    "autoDeploy": "AutoDeploy",
                    "deploymentId": "DeploymentId",
                    "stageVariables": "StageVariables",
                    "accessLogSettings": Nested(
                        "AccessLogSettings", {"destinationArn": "DestinationArn", "format": "Format"}
                    ),
                    "defaultRouteSettings": Nested("DefaultRouteSettings", _ROUTE_SETTINGS),
                    "routeSettings": Nested("RouteSettings", {"routeKey": _ROUTE_KEY, **_ROUTE_SETTINGS}),
                    "tags": "Tags",
                },
            ),
        ),
        prepare=_settings_by_route,
        finish=_answer_by_name,
        outputs=_stage_outputs,
    ),
)
