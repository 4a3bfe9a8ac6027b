"""Comparing the outputs that the documents show with real ones."""

import re

#: What differs from run to run, and what stands for it when two outputs are compared: the only such list.
VARYING = (
    # A live update tells the newest state alone: of two changes at once, one is not seen.
    (r"(?m)^[\d-]{10} [\d:.]{12}  \S+ +\S+ +(?:PROCESSING|RETRYING) .*\n", ""),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{3})?(?:Z|\+00:00)?", "<time>"),
    (r"(?m)^date: .*", "date: <time>"),
    (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>"),
    (r"(?m)^apigw-requestid: .*", "apigw-requestid: <id>"),
    (r"\b(localhost|127\.0\.0\.1|local):\d+", r"\1:<port>"),
    (r"((?:durationMs|retryInMs)(?:\":|=))\d+", r"\1<duration>"),
    (r"\b\d+(?:\.\d+)?( ms| s|s)\b", r"<duration>\1"),
    (r"\b\d+\.\d{3}\b", "<seconds>"),
    (r"\b\d+\.\d tasks/s", "<rate> tasks/s"),
    (r"[ \t]+", " "),
    (r"(?m) $", ""),
)


def comparable(output: str) -> str:
    """An output without what differs from run to run."""
    output = output.replace("\r", "")
    for pattern, replacement in VARYING:
        output = re.sub(pattern, replacement, output)
    return output.strip()
