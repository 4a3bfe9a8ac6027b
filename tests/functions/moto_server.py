"""moto's server: a second emulator of AWS for the tests of the functions.

Run as a script it listens on loopback, on any free port, prints its URL, and ends when its standard input closes.
"""

import logging
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def moto_server() -> Generator[str]:
    """A running server, by its URL."""
    # Isolated: the modules beside this file hide none that moto imports.
    command = [sys.executable, "-I", __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        with server.stdin:
            url = server.stdout.readline().strip()
            assert url, "moto's server did not start"
            yield url


def main() -> None:
    """Serve until standard input closes."""
    # Here and not above: only the server needs them.
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    # A line for each request, and a traceback for each statement that moto does not understand.
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    for service in ("dynamodb", "sqs", "ssm"):
        # Imported now: a first request that waits for it would come too late for our clients' time-outs.
        create_backend_app(service)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201 - read by moto_server
    sys.stdin.read()


if __name__ == "__main__":
    main()
