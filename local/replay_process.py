"""Answers one request of watch.py in a process of its own, since the SDK evaluates one program per process.

Loading the SDK takes longer than evaluating: the process is started ahead, loads it, and waits for its request.
"""

import os
import pickle
import signal
import sys

from local.errors import LocalError
from local.replay import Difference, Request, load, look


def answer() -> None:
    """Read a request from standard input, and write the difference, or the LocalError, to standard output."""
    # Whatever the program prints goes to standard error.
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        try:
            request: Request = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
        except EOFError:  # which wants no answer any more
            return
        try:
            found: Difference | LocalError = look(request)
            # Until here the end is instant; what loading leaves behind has to be removed.
            signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
            if not found.others:
                load(request, found.functions)
        except LocalError as error:
            found = error
        pickle.dump(found, out)


if __name__ == "__main__":
    answer()
