"""A receiver of webhooks that answers byte for byte what a test wants, and remembers who called."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from tests.certificates import self_signed

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Received:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


#: What a receiver does once it has read a request.
Script = Callable[[socket.socket], None]


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """An answer; underscores in headers stand for hyphens."""
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {status}\r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n".encode() + body


def redirect(status: int, location: str) -> bytes:
    return answer(f"{status} Elsewhere", b"go away", location=location)


def drip(data: bytes, pause: float = 0.05) -> Script:
    """Sends a byte at a time."""

    def script(connection: socket.socket) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return script


def silence(connection: socket.socket) -> None:
    """Reads on, until the other side goes away, and says nothing."""
    while connection.recv(65536):
        pass


def hang_up(connection: socket.socket) -> None:
    """Closes with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@dataclass
class Receiver:
    """Listens as long as it is entered. The n-th connection is answered by the n-th script, and the last by the last.

    `reads` says how much of a request it reads first.
    """

    scripts: list[bytes | Script] = field(default_factory=lambda: [OK])
    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    reads: Literal["all", "head", "nothing"] = "all"
    received: list[Received] = field(default_factory=list[Received])
    #: The peer of each connection, even of one that says nothing.
    connections: list[str] = field(default_factory=list[str])

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((self.host, self.port))
        self._listener.listen(64)
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self._thread.join(5)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, (peer, *_) = self._listener.accept()
                place = len(self.connections)
                self.connections.append(peer)
                self._open.append(connection)
                script = self.scripts[min(place, len(self.scripts) - 1)]
                threading.Thread(target=self._serve, args=(connection, script), daemon=True).start()

    def _serve(self, connection: socket.socket, script: bytes | Script) -> None:
        with suppress(OSError), connection:
            talk = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            with talk:
                if self.reads != "nothing":
                    self._read(talk)
                if isinstance(script, bytes):
                    talk.sendall(script)
                else:
                    script(talk)

    def _read(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            line = stream.readline().decode("latin-1").rstrip("\r\n")
            headers: dict[str, str] = {}
            while (header := stream.readline().decode("latin-1").rstrip("\r\n")) != "":
                name, _, value = header.partition(": ")
                name = name.lower()
                assert name not in headers, f"{name} came twice"
                headers[name] = value
            body = stream.read(int(headers.get("content-length", "0"))) if self.reads == "all" else b""
            self.received.append(Received(line, headers, body))


def tls_context(folder: Path, name: str, *, lifetime: timedelta = timedelta(days=1)) -> ssl.SSLContext:
    """A receiver's TLS with a certificate of its own for a host name or address, which is left in `folder`/ca.pem."""
    certificate, key = self_signed(name, lifetime=lifetime)
    (folder / "ca.pem").write_bytes(certificate)
    (folder / "both.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context
