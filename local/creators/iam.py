"""IAM. Roles and policies are stored, and enforced when the stack was started with `--enforce-roles`."""

from collections.abc import Mapping
from typing import Any

from local.creators.resource_type import Call, Creation, Passed, ResourceType, tag_list


def _role_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    role: dict[str, Any] = creation.response["Role"]
    return role["RoleName"], {
        "arn": role["Arn"],
        "uniqueId": role["RoleId"],
        "path": role["Path"],
        "createDate": role["CreateDate"].isoformat(),
    }


def _role_policy_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return f"{creation.request['RoleName']}:{creation.request['PolicyName']}", {}


def _attachment_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return f"{creation.request['RoleName']}/{creation.request['PolicyArn']}", {}


def _role_name(role: str) -> str:
    """A role is named by its name or its ARN."""
    return role.rpartition("/")[2]


_DESTROY_ONLY: Mapping[str, str] = {
    "forceDetachPolicies": "says how to delete; a local stack ends as a whole"
}

RESOURCE_TYPES = (
    ResourceType(
        "aws:iam/role:Role",
        "iam",
        auto_named="name",
        calls=(
            Call(
                "create_role",
                {
                    "name": "RoleName",
                    "assumeRolePolicy": "AssumeRolePolicyDocument",
                    "description": "Description",
                    "path": "Path",
                    "maxSessionDuration": "MaxSessionDuration",
                    "permissionsBoundary": "PermissionsBoundary",
                    "tags": Passed("Tags", tag_list),
                },
            ),
        ),
        outputs=_role_outputs,
        ignored=_DESTROY_ONLY,
    ),
    ResourceType(
        "aws:iam/rolePolicy:RolePolicy",
        "iam",
        auto_named="name",
        calls=(
            Call(
                "put_role_policy",
                {"name": "PolicyName", "role": Passed("RoleName", _role_name), "policy": "PolicyDocument"},
            ),
        ),
        outputs=_role_policy_outputs,
    ),
    ResourceType(
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "iam",
        calls=(
            Call("attach_role_policy", {"role": Passed("RoleName", _role_name), "policyArn": "PolicyArn"}),
        ),
        outputs=_attachment_outputs,
    ),
)
