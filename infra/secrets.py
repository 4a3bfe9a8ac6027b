"""Secrets that functions read when they need them, instead of carrying them in their environment."""

import pulumi
import pulumi_aws as aws

from infra.grants import Grant


class Secret(pulumi.ComponentResource):
    """A secret as an encrypted parameter of Systems Manager.

    It is encrypted with the account's own key for parameters, which lets every principal decrypt that may read the
    parameter. The stack's state holds the value encrypted, as it does the configuration.

    Attributes:
        parameter_name: Name of the parameter.
    """

    def __init__(
        self,
        name: str,
        *,
        prefix: str,
        description: str,
        value: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the parameter.

        Args:
            name: Logical name; behind ``prefix`` also the parameter's.
            prefix: Start of all physical names of this stack.
            description: What the secret is for, for people in the AWS console.
            value: The secret, in plain text.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:Secret", name, None, opts)
        parameter = aws.ssm.Parameter(
            name,
            name=f"/{prefix}/{name}",
            description=description,
            type=aws.ssm.ParameterType.SECURE_STRING,
            value=value,  # which its type makes a secret
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.parameter_name = parameter.name
        self._arn = parameter.arn
        self.register_outputs({"parameterName": self.parameter_name})

    def grant_read(self) -> Grant:
        """Permission to read the secret."""
        return Grant(("ssm:GetParameter",), (self._arn,))
