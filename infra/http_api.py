"""The HTTP API in front of the functions."""

import re
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from infra.function import Function
from infra.settings import TokenIssuer

#: The stage without a name in its URLs.
_STAGE = "$default"


class HttpApi(pulumi.ComponentResource):
    """An API Gateway HTTP API whose routes call functions.

    Tokens are judged by the gateway: what has none, or a bad one, is answered 401 and calls no function.

    Attributes:
        id: Output, the API's ID.
        url: Output, the URL of the API without a slash at its end.
    """

    def __init__(
        self,
        name: str,
        *,
        prefix: str,
        description: str,
        routes: Mapping[str, Function],
        open_routes: Mapping[str, Function],
        tokens: TokenIssuer | None,
        throttle_rate: int,
        throttle_burst: int,
        cors_origins: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the API, its routes and its stage.

        Args:
            name: Logical name; with ``prefix`` also the API's name.
            prefix: Start of all physical names of this stack.
            description: What the API does, for people in the AWS console.
            routes: The function that answers each route. A route is ``METHOD /path`` or ``$default``, which
                takes all that no other takes.
            open_routes: The same for the routes that want no token.
            tokens: Whose tokens the other routes want; None opens them too.
            throttle_rate: Requests per second, for all routes together, that are accepted in the long run.
            throttle_burst: Requests that are accepted at one moment.
            cors_origins: Origins whose web pages may call the API.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:HttpApi", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        api = aws.apigatewayv2.Api(
            name,
            name=f"{prefix}-{name}",
            description=description,
            protocol_type="HTTP",
            cors_configuration=_cors(cors_origins) if cors_origins else None,
            opts=child,
        )
        authorizer = _authorizer(name, api, tokens, child) if tokens else None
        all_routes = {**open_routes, **routes}
        integrations = self._integrations(api, all_routes)
        declared_routes: list[aws.apigatewayv2.Route] = []
        for route_key, function in all_routes.items():
            guard = None if route_key in open_routes else authorizer
            route = aws.apigatewayv2.Route(
                _route_name(route_key),
                api_id=api.id,
                route_key=route_key,
                target=pulumi.Output.concat("integrations/", integrations[function].id),
                authorization_type="JWT" if guard else None,
                authorizer_id=guard.id if guard else None,
                opts=child,
            )
            declared_routes.append(route)
        aws.apigatewayv2.Stage(
            name,
            name=_STAGE,
            api_id=api.id,
            auto_deploy=True,
            default_route_settings={
                "throttling_rate_limit": throttle_rate,
                "throttling_burst_limit": throttle_burst,
            },
            # One deployment of a complete API, instead of one for each route.
            opts=pulumi.ResourceOptions(parent=self, depends_on=declared_routes),
        )
        self.id = api.id
        self.url = api.api_endpoint
        self.register_outputs({"url": self.url})

    def _integrations(
        self, api: aws.apigatewayv2.Api, routes: Mapping[str, Function]
    ) -> Mapping[Function, aws.apigatewayv2.Integration]:
        """What calls each function, and waits for the rights of its routes to do so."""
        permissions: dict[Function, list[aws.lambda_.Permission]] = {}
        for route_key, function in routes.items():
            permission = function.permit(
                _route_name(route_key),
                principal="apigateway.amazonaws.com",
                source_arn=pulumi.Output.concat(
                    api.execution_arn, "/", _STAGE, "/", route_key.replace(" ", "", 1)
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
            permissions.setdefault(function, []).append(permission)
        return {
            function: aws.apigatewayv2.Integration(
                function.pulumi_resource_name,
                api_id=api.id,
                integration_type="AWS_PROXY",
                integration_method="POST",
                integration_uri=function.invoke_arn,
                payload_format_version="2.0",
                opts=pulumi.ResourceOptions(parent=self, depends_on=rights),
            )
            for function, rights in permissions.items()
        }


def _route_name(route_key: str) -> str:
    return re.sub(r"\W+", "-", route_key).strip("-")


def _authorizer(
    name: str, api: aws.apigatewayv2.Api, tokens: TokenIssuer, opts: pulumi.ResourceOptions
) -> aws.apigatewayv2.Authorizer:
    """Lets in who shows a token: signed by its issuer, for this audience, at its time."""
    return aws.apigatewayv2.Authorizer(
        name,
        name=name,
        api_id=api.id,
        authorizer_type="JWT",
        # In the header alone: an address ends up in histories and logs.
        identity_sources=["$request.header.Authorization"],
        jwt_configuration={"issuer": tokens.issuer, "audiences": [tokens.audience]},
        opts=opts,
    )


def _cors(origins: Sequence[str]) -> aws.apigatewayv2.ApiCorsConfigurationArgs:
    """What a web page of these origins may send and see. It may send no cookies: the API knows none."""
    return aws.apigatewayv2.ApiCorsConfigurationArgs(
        allow_origins=list(origins),
        allow_methods=["DELETE", "GET", "POST"],
        allow_headers=["authorization", "content-type", "idempotency-key", "x-correlation-id"],
        expose_headers=["location", "x-correlation-id"],
        max_age=3600,
    )
