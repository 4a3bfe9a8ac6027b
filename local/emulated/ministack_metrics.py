"""Metrics in embedded metric format become metrics, and alarms follow from them.

ministack 1.5.33 leaves them log lines.
"""
# pyright: basic, reportMissingImports=false

import json

from ministack.services import cloudwatch, cloudwatch_logs

_append_log_events = cloudwatch_logs._append_log_events


def _append_and_measure(stream, events):
    _append_log_events(stream, events)
    measured = False
    for event in events:
        if '"_aws"' in event["message"]:
            try:
                _measure(json.loads(event["message"]))
                measured = True
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                cloudwatch.logger.error("no embedded metrics: %s", error)
    if measured:
        cloudwatch._evaluate_all_alarms()


def _measure(line):
    """Take the metrics of a line in embedded metric format."""
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = {name: line[name] for name in names}
            for metric in directive["Metrics"]:
                name, values = metric["Name"], line[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    unit = metric.get("Unit", "None")
                    cloudwatch.record_metric(directive["Namespace"], name, value, unit, dimensions)


cloudwatch_logs._append_log_events = _append_and_measure
