"""The README tells the truth about what can be read from the code."""

from pathlib import Path
from typing import Any

import yaml
from tasklib.task import TRANSITIONS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


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


def test_the_config_table_is_that_of_the_program() -> None:
    assert config_table() in README


def test_the_diagram_is_that_of_the_transitions() -> None:
    assert diagram() in README
