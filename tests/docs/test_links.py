"""Links between the documents lead somewhere."""

import re

import pytest

from tests.docs.documents import DOCUMENTS, ROOT, text_of


def anchors(document: str) -> set[str]:
    """What a document's headlines are called in links."""
    headlines = re.findall(r"^#+ (.+)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", headline.lower()).replace(" ", "-") for headline in headlines}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text_of(document)):
        path = (ROOT / document).parent / target if target else ROOT / document
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(str(path.resolve().relative_to(ROOT))), f"{target}#{anchor}"


def test_the_readme_leads_to_every_document() -> None:
    linked = {target for target, _ in re.findall(r"\]\((docs/[^)#]*\.md)(#[^)]*)?\)", text_of(DOCUMENTS[0]))}
    assert linked == set(DOCUMENTS[1:])
