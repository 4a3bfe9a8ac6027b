"""The documents tell the truth about what can be read from the code."""

import json
from typing import Any

import task_types
import yaml
from tasklib.task import TRANSITIONS
from tasklib.task_type import REGISTRY, load_all

from tests.docs.documents import README, ROOT, blocks, text_of


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


def shown(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else ""


def config_table() -> str:
    stages = {stage: read(f"Pulumi.{stage}.yaml")["config"] for stage in ("dev", "prod", "local")}
    rows = ["| key | default | dev | prod | local | |", "| --- | --- | --- | --- | --- | --- |"]
    for key, declared in read("Pulumi.yaml")["config"].items():
        values = [declared["default"], *(config.get(f"tasks:{key}", "") for config in stages.values())]
        cells = [f"`{key}`", *map(shown, values), " ".join(declared["description"].split())]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def diagram() -> str:
    arrows = [
        f"    {transition.source or '[*]'} --> {transition.target}: {transition.when} ({transition.by})"
        for transition in TRANSITIONS
    ]
    return "\n".join(["stateDiagram-v2", *arrows])


def test_the_payload_of_the_webhook_is_one_that_is_taken() -> None:
    load_all(task_types)
    payload, result = (
        json.loads("".join(block.lines))
        for block in blocks("docs/task-types.md")
        if block.heading == "## webhook" and block.language == "json"
    )
    _, problems = REGISTRY["webhook"].parse(payload)
    assert problems == []
    # tests/e2e/test_webhook.py has a delivery that ends with this result.
    assert set(result) == {"status", "excerpt", "truncated", "durationMs"}


def test_the_config_table_is_that_of_the_program() -> None:
    assert config_table() in text_of("docs/configuration.md")


def test_the_diagram_is_that_of_the_transitions() -> None:
    assert diagram() in text_of(README)
