"""Who vouches for the commands that the documents show."""

from __future__ import annotations

import re
from enum import Enum

from tests.docs.documents import Command, all_commands

#: What a document says of commands that need the Pulumi CLI or an AWS account.
MARK = "not run here"
#: What it may say instead of Pulumi's: they were run with its engine, and with a provider that stands in for AWS's.
MARK_OF_PULUMI = "not run on AWS"

_DEPLOYED = re.compile(r"\bpulumi\s|\baws\s|-m client (?:info|logs) (?!local\b)")
_MADE = re.compile(r"make\b")
_RUN = re.compile(r"(?:curl|python -m client|python -m pytest|python \w+\.py|git clone|cd|\.)\s|URL=")


class Kind(Enum):
    """Who vouches for a command."""

    RUN = "it is run here, and its output compared"
    MADE = "make knows it"
    DEPLOYED = "its keys, names and URNs are those of the program; see test_deployment.py"


def kind(command: Command) -> Kind | None:
    """The kind of a command; None if nobody vouches for it."""
    if _DEPLOYED.search(command.text):
        return Kind.DEPLOYED
    if _MADE.match(command.text):
        return Kind.MADE
    return Kind.RUN if _RUN.match(command.text) else None


def of_kind(wanted: Kind) -> list[Command]:
    return [command for command in all_commands() if kind(command) is wanted]
