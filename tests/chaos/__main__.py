"""The command line: `python -m tests.chaos [--count N] [--seed N]`, or with `outage` or `killer`.

The last line on standard output is the report, one JSON object; progress goes to standard error. Exit status 0 when
all is well, 1 when something is not, 2 for a wrong command line.
"""

import argparse
import json
import random
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
# What runs in Lambda, as Lambda sees it: the harness takes the rules of a task's life from there.
sys.path.insert(0, str(REPOSITORY / "functions"))

from tests.chaos import killer, outage  # noqa: E402
from tests.chaos.checker import Kind  # noqa: E402
from tests.chaos.storm import storm  # noqa: E402


def main() -> int:
    """Run what the command line asks for and return the exit status."""
    # Told to stop, it ends what it has started, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _parse()
    evidence: Path = options.evidence
    seed: int = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    report: Mapping[str, Any]
    match options.command:
        case "outage":
            report = outage.outage(evidence, seed=seed, worker_timeout=options.worker_timeout)
            well = outage.is_well(report)
        case "killer":
            report = killer.killer(evidence, seed=seed, victim=options.victim)
            well = killer.is_well(report)
        case _:
            report = storm(options.count, seed, evidence)
            well = not any(report[kind] for kind in Kind)
    print(json.dumps(report))  # noqa: T201 - the report
    return 0 if well else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Tasks under every fault at once, and what came of them."
    )
    parser.add_argument("--count", type=_whole, default=2000, help="tasks of the chaos run (default: 2000)")
    parser.add_argument("--seed", type=_whole, help="what is drawn from it; any, and reported, when left out")
    parser.add_argument(
        "--evidence",
        type=Path,
        default=REPOSITORY / "build" / "chaos",
        help="directory for logs, the diary and the history (default: build/chaos)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    down = commands.add_parser("outage", help="DynamoDB is down for 60 s in the middle of 200 tasks")
    down.add_argument(
        "--worker-timeout", type=_whole, default=120, help="workerTimeoutSeconds (default: 120)"
    )
    kill = commands.add_parser("killer", help="one task of 100 kills a process that it runs in")
    kill.add_argument("--victim", choices=killer.VICTIMS, default="worker", help="whose (default: worker)")
    return parser.parse_args()


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
