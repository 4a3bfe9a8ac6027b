"""The WebSocket API by which clients hear of changes."""

import pulumi
import pulumi_aws as aws

from infra.function import Function
from infra.grants import Grant

#: A WebSocket API has no stage without a name.
_STAGE = "live"


class WebSocketApi(pulumi.ComponentResource):
    """An API Gateway WebSocket API: one function lets connections in, answers every frame and hears of every end.

    Attributes:
        url: Output, where clients connect.
        connections_url: Output, where functions push to a connection.
    """

    def __init__(
        self,
        name: str,
        *,
        prefix: str,
        description: str,
        function: Function,
        throttle_rate: int,
        throttle_burst: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the API, its routes and its stage.

        Args:
            name: Logical name; with ``prefix`` also the API's name.
            prefix: Start of all physical names of this stack.
            description: What the API does, for people in the AWS console.
            function: Answers every frame, refuses new connections, and is told of those that have ended. The API
                waits for it, so its environment cannot hold the API's URLs.
            throttle_rate: Connects and frames per second that are accepted in the long run.
            throttle_burst: The same at one moment.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:WebSocketApi", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._api = aws.apigatewayv2.Api(
            name,
            name=f"{prefix}-{name}",
            description=description,
            protocol_type="WEBSOCKET",
            # Every frame takes the default route; the expression has to be there.
            route_selection_expression="$request.body.action",
            opts=child,
        )
        route_names = {key: f"{name}-{key.strip('$')}" for key in ("$connect", "$default", "$disconnect")}
        permissions = [
            function.permit(
                route_name,
                principal="apigateway.amazonaws.com",
                source_arn=pulumi.Output.concat(self._api.execution_arn, "/", _STAGE, "/", route_key),
                opts=child,
            )
            for route_key, route_name in route_names.items()
        ]
        integration = aws.apigatewayv2.Integration(
            function.pulumi_resource_name,
            api_id=self._api.id,
            integration_type="AWS_PROXY",
            integration_method="POST",
            integration_uri=function.invoke_arn,
            content_handling_strategy="CONVERT_TO_TEXT",
            opts=pulumi.ResourceOptions(parent=self, depends_on=permissions),
        )
        routes = {
            route_key: aws.apigatewayv2.Route(
                route_name,
                api_id=self._api.id,
                route_key=route_key,
                target=pulumi.Output.concat("integrations/", integration.id),
                route_response_selection_expression="$default" if route_key == "$default" else None,
                opts=child,
            )
            for route_key, route_name in route_names.items()
        }
        # Without it the gateway keeps the function's answers to itself.
        response = aws.apigatewayv2.RouteResponse(
            route_names["$default"],
            api_id=self._api.id,
            route_id=routes["$default"].id,
            route_response_key="$default",
            opts=child,
        )
        stage = aws.apigatewayv2.Stage(
            name,
            name=_STAGE,
            api_id=self._api.id,
            auto_deploy=True,
            default_route_settings={
                "throttling_rate_limit": throttle_rate,
                "throttling_burst_limit": throttle_burst,
            },
            # It deploys the API when it is created, and AWS deploys no WebSocket API without a route.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*routes.values(), response]),
        )
        self.url = stage.invoke_url
        # The same place by the same protocol without its web socket: wss is for https what ws is for http.
        self.connections_url = self.url.apply(lambda url: url.replace("ws", "http", 1))
        self.register_outputs({"url": self.url})

    def grant_push(self) -> Grant:
        """Permission to push to connections, and to end them."""
        return Grant(
            ("execute-api:ManageConnections",),
            tuple(
                pulumi.Output.concat(self._api.execution_arn, "/", _STAGE, "/", method, "/@connections/*")
                for method in ("POST", "DELETE")
            ),
        )
