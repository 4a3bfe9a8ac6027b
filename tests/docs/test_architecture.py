"""The drawn architecture is that of the program."""

import re

import pytest

from tests.docs.architecture import DOCUMENT, STACK, document, mermaid
from tests.infra.stacks import STACKS, evaluate

pytestmark = pytest.mark.xdist_group("infra")


def test_the_document_is_what_the_program_declares() -> None:
    assert DOCUMENT.read_text() == document(evaluate(STACK)), "docs/architecture.md is old: make diagram"


@pytest.mark.parametrize("stack", STACKS)
def test_no_box_stands_alone(stack: str) -> None:
    drawn = mermaid(evaluate(stack))
    boxes = set(re.findall(r"^    ([\w-]+)[\[({>]", drawn, re.MULTILINE))
    ends = {
        end
        for arrow in re.findall(r"^    ([\w-]+) -->\|.*\| ([\w-]+)$", drawn, re.MULTILINE)
        for end in arrow
    }
    assert boxes == ends
