"""`python -m client`, and `client/tasks`, which is the same by another name: see `client.cli`."""

from __future__ import annotations

import os
import sys


def main(name: str) -> None:
    """Run the command line; `name` is what a person typed to get here."""
    for stream, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, stream) is None:  # closed by whoever started it
            setattr(sys, stream, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    try:
        from client.cli import application  # noqa: PLC0415 - takes a moment, in which Ctrl-C may come
    except KeyboardInterrupt:
        sys.exit(130)
    application(completion=" " not in name)(prog_name=name)


if __name__ == "__main__":
    main("python -m client")
