"""The runbook has a section for each alarm, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

from infra import metrics
from infra.saved_queries import SAVED_QUERIES
from tests.infra.stacks import ROOT, evaluate

pytestmark = pytest.mark.xdist_group("infra")

RUNBOOK = (ROOT / "docs/runbook.md").read_text()


def sections(level: str) -> list[str]:
    return re.findall(rf"^{level} (.+)$", RUNBOOK, re.MULTILINE)


def anchor(heading: str) -> str:
    """As GitHub and others make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_there_is_a_section_for_each_alarm_and_none_for_others() -> None:
    alarms = evaluate("dev").of_type("cloudwatch/metricAlarm:MetricAlarm")
    assert sorted(sections("###")) == sorted(alarm["name"] for alarm in alarms)
    for alarm in alarms:
        address, _, section = alarm["inputs"]["alarmDescription"].rpartition(" ")[2].partition("#")
        assert (ROOT / address).is_file()
        assert section in map(anchor, sections("###"))


def test_it_says_what_to_do_when_a_snapshot_fails() -> None:
    """Running the same update again does not help: nothing has changed, so no version is published."""
    section = RUNBOOK.partition("\n## A snapshot that fails\n")[2].partition("\n## ")[0]
    for named in ("StateReason", "Failed", "Inactive", "pulumi config set snapStart false", "pulumi cancel"):
        assert named in section


def test_links_lead_somewhere() -> None:
    for target, section in re.findall(r"\]\(([\w.]*)#([\w-]+)\)", RUNBOOK):
        text = (ROOT / "docs" / target).read_text() if target else RUNBOOK
        assert section in map(anchor, re.findall(r"^#+ (.+)$", text, re.MULTILINE)), f"{target}#{section}"
    for target in re.findall(r"\]\(([\w.]+\.md)", RUNBOOK):
        assert Path(ROOT / "docs" / target).is_file()


def test_every_metric_and_saved_query_is_named() -> None:
    ours = {value for name, value in vars(metrics).items() if name.isupper() and name != "TYPE"}
    named = set(re.findall(r"`([A-Za-z-]+)`", RUNBOOK))
    assert ours <= named
    assert SAVED_QUERIES.keys() <= named
