"""Metric lines as CloudWatch reads them."""

import json
from collections.abc import Iterable
from typing import Any

#: A metric: its name and its dimensions.
Key = tuple[str, tuple[tuple[str, str], ...]]


def metric_lines(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Those of the lines that have metrics."""
    return [json.loads(line) for line in lines if line.startswith("{") and '"_aws"' in line]


def data_points(line: dict[str, Any]) -> dict[Key, list[float]]:
    """The data points that CloudWatch makes of a line; a metric appears once for each of its dimension sets."""
    points: dict[Key, list[float]] = {}
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            for metric in directive["Metrics"]:
                value = line[metric["Name"]]
                dimensions = tuple((name, line[name]) for name in names)
                points[metric["Name"], dimensions] = value if isinstance(value, list) else [value]
    return points
