"""One set of tags on everything that can carry tags."""

from collections.abc import Mapping
from typing import cast

import pulumi


def tagging(tags: Mapping[str, str]) -> pulumi.ResourceTransformation:
    """A transformation that adds ``tags`` to each resource whose type has tags; a resource's own tags win.

    A transformation of the stack cannot be forgotten for one resource, and, unlike the provider's default
    tags, it is part of what the program declares.
    """

    def add(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        props = cast("dict[str, object]", args.props)
        if "tags" not in props:
            return None
        own = cast("Mapping[str, str]", props["tags"] or {})
        return pulumi.ResourceTransformationResult(props={**props, "tags": {**tags, **own}}, opts=args.opts)

    return add
