"""ministack, the AWS emulator: a process tree that listens on loopback and ends with whoever started it."""

import http.client
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from pathlib import Path
from types import TracebackType

from local.errors import LocalError

_HOST = "127.0.0.1"
_SUPERVISOR = Path(__file__).with_name("supervisor.py")

#: In a folder of its own, which becomes part of the emulator's path and must hide nothing.
_APPLICATION = Path(__file__).with_name("emulated") / "ministack_app.py"

#: Seconds that a start may take on a slow, busy machine; it takes under one on an idle one.
_START_SECONDS = 60


def emulator_python() -> Path:
    """The Python that the emulator and the functions run in."""
    return Path(sys.prefix) / "emulator" / "bin" / "python"


class Emulator:
    """A running emulator; leaving its context ends it and every process that it started.

    Args:
        port: where to listen on 127.0.0.1; 0 takes any free port.
        region: the region that functions run in.
        enforce_roles: whether a function may do only what its role allows.

    Raises:
        LocalError: the port is in use, or the emulator is not installed.
    """

    def __init__(self, port: int, region: str, *, enforce_roles: bool = False) -> None:
        python = emulator_python()
        if not python.exists():
            raise LocalError(
                f"the AWS emulator is not installed in {python.parents[1]}; `make local` installs it"
            )
        # The socket is ours from here to the emulator: no other program can take the port in between, and a
        # connection made before the emulator is ready waits instead of being refused.
        with _listen(port) as listener:
            self.port: int = listener.getsockname()[1]
            descriptor = listener.fileno()
            serve = ["-m", "hypercorn", f"{_APPLICATION}:app", "--bind", f"fd://{descriptor}"]
            # No worker process: the emulator's state is in memory.
            serve += ["--workers", "0", "--keep-alive", "75", "--log-level", "WARNING"]
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SUPERVISOR), str(descriptor), str(python), *serve],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(self.port, region, enforce_roles),
                pass_fds=(descriptor,),
                # Ctrl-C in a terminal goes to the whole foreground group: only the command is to act on it.
                start_new_session=True,
            )
        self.endpoint_url = f"http://{_HOST}:{self.port}"
        self._errors: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._last_lines: deque[str] = deque(maxlen=2)
        self._log_reader = threading.Thread(target=self._read_log, daemon=True)
        self._log_reader.start()

    def __enter__(self) -> "Emulator":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_ready(self) -> None:
        """Return when the emulator answers. Raises LocalError with its last words when it does not."""
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=_START_SECONDS)
        try:
            connection.request("GET", "/_ministack/health")
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise LocalError(f"the AWS emulator did not start: {self.why_it_ended() or error}") from None
        finally:
            connection.close()
        if status != http.client.OK:
            raise LocalError(f"the AWS emulator did not start: it answers with status {status}")

    def why_it_ended(self) -> str | None:
        """What the emulator last said if it ended by itself; None while it runs."""
        if self._supervisor.poll() is None:
            if self._accepts_connections():
                return None
            # It has just died: the supervisor is about to say of what.
            self._supervisor.wait()
        self._log_reader.join()
        # Its own last words, then the supervisor's.
        return ": ".join(reversed(self._last_lines)) or f"exit status {self._supervisor.returncode}"

    def errors(self) -> list[str]:
        """What the emulator logged as errors since the last call, such as functions that cannot be loaded."""
        return [self._errors.get_nowait() for _ in range(self._errors.qsize())]

    def _read_log(self) -> None:
        assert self._supervisor.stdout is not None
        for line in self._supervisor.stdout:
            text = line.decode(errors="replace").strip()
            if text:
                self._last_lines.append(text)
            if " ERROR [" in text:
                self._errors.put(text)

    def _accepts_connections(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            return probe.connect_ex((_HOST, self.port)) == 0

    def stop(self) -> None:
        """End the emulator with every process that it started, and remove its files. Calling it again is harmless."""
        if self._supervisor.stdin:
            self._supervisor.stdin.close()
        self._supervisor.wait()
        self._log_reader.join()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Connections of a run that has just ended do not keep the port from the next one.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((_HOST, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise LocalError(
            f"port {port}: {error.strerror}; choose another with --port, 0 for any free one"
        ) from None
    return listener


def _environment(port: int, region: str, enforce_roles: bool) -> dict[str, str]:
    """What the emulator sees of this machine, and the functions with it: built, never inherited."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "TMPDIR": tempfile.gettempdir(),
        "LANG": "C.UTF-8",
        "TZ": "UTC",  # as on Lambda
        "AUTH": "true" if enforce_roles else "false",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": _HOST,
        "MINISTACK_REGION": region,
        "LOG_LEVEL": "WARNING",
        # Listeners and daemons that it would open or look for besides.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
