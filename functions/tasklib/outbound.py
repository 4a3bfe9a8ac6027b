"""HTTP requests to hosts that a client of ours names, which must not reach what only we can reach.

A name is resolved once for each request. Every address that it has is judged, and the connection is made to a judged
address itself: no second resolution, no proxy, no library that connects by name. So a name whose addresses change, an
address in an odd notation and a redirect all end at the same check. Of a name with allowed and forbidden addresses only
the allowed ones are used.

This is `http.client` rather than urllib3: it takes a connected socket by its public interface, while urllib3 comes with
the Lambda runtime in a version that is not ours to choose, and costs 60 ms more to import.
"""

import functools
import http.client
import ipaddress
import json
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, Self, cast
from urllib.parse import quote, urljoin, urlsplit

#: Most bytes of an answer that are read; what follows is left on the wire.
MAX_BODY: Final = 64 * 1024

#: Most redirects of one request.
MAX_REDIRECTS: Final = 3

#: Most addresses of one name that are tried.
_MAX_ADDRESSES: Final = 4

#: How long, in seconds, the thread of a request that was cut off has to end.
_CUT_OFF: Final = 0.5

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
#: What a URL may hold without being escaped. The percent sign is kept: a client escapes what it wants escaped.
_SAFE: Final = "%/?:@!$&'()*+,;=-._~"
#: These two repeat the request as it is; the older ones turn it into a GET, which delivers nothing.
_FOLLOWED: Final = (http.HTTPStatus.TEMPORARY_REDIRECT, http.HTTPStatus.PERMANENT_REDIRECT)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: IANA's special-purpose addresses, multicast and reserved space.
_NOT_PUBLIC_4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
#: Global unicast, and in it protocol assignments with Teredo, documentation, 6to4.
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class ForbiddenError(Exception):
    """The request must not be made, or not go where it is sent; no repetition changes that."""


class NoAnswerError(Exception):
    """There was no answer; a repetition may get one."""


class Rules(NamedTuple):
    """Where requests may go. `hosts` are names or `*.` and a domain for its sub-domains; none means any host.
    `networks` are those of allowed addresses; `is_public` allows every public address besides."""

    hosts: tuple[str, ...] = ()
    networks: tuple[_Network, ...] = ()
    is_public: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """From JSON lists: `WEBHOOK_ALLOWED_HOSTS`, and `WEBHOOK_ALLOWED_NETWORKS` of networks and "public".

        Raises ValueError or ForbiddenError for what is neither.
        """
        hosts: list[str] = json.loads(environment.get("WEBHOOK_ALLOWED_HOSTS", "[]"))
        networks: list[str] = json.loads(environment.get("WEBHOOK_ALLOWED_NETWORKS", '["public"]'))
        return cls(
            tuple(
                f"*.{_ascii_host(host[2:])}" if host.startswith("*.") else _ascii_host(host) for host in hosts
            ),
            tuple(ipaddress.ip_network(network) for network in networks if network != "public"),
            "public" in networks,
        )

    def allow_host(self, host: str) -> bool:
        """Whether requests may go to a host of this name, in lower-case ASCII."""
        return not self.hosts or any(
            host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed
            for allowed in self.hosts
        )

    def allow_address(self, text: str) -> bool:
        """Whether requests may go to this address. One that stands for an IPv4 address is judged as that one."""
        address = ipaddress.ip_address(text)
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped or address in _NAT64:
                return self._allow(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
            tunnelled = (address.sixtofour, *(address.teredo or ()))
            return self._allow(address) and all(map(self._allow, filter(None, tunnelled)))
        return self._allow(address)

    def _allow(self, address: _Address) -> bool:
        return (self.is_public and _is_public(address)) or any(address in each for each in self.networks)


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)


class Request(NamedTuple):
    """What is sent. `own_headers` go to the host of `url` alone, `headers` to where it redirects, too."""

    method: str
    url: str
    headers: Mapping[str, str]
    own_headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """The answer of `host`, with the start of its body; `is_whole` is False when it went on, or broke off."""

    host: str
    status: int
    headers: Message
    body: bytes
    is_whole: bool

    def text(self, length: int) -> str:
        """At most so many characters of the body as text on one line, without control characters."""
        body = self.body
        if str(self.headers.get("content-encoding", "")).strip().lower() not in ("", "identity"):
            try:
                body = zlib.decompressobj(wbits=47).decompress(body, MAX_BODY)
            except zlib.error:
                return ""
        text = body.decode(errors="replace")
        return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:length]

    def retry_after(self) -> float | None:
        """The seconds after which it asks to be called again, or None."""
        value = str(self.headers.get("retry-after", "")).strip()
        if re.fullmatch(r"[0-9]{1,9}", value):
            return float(value)
        try:
            date = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        aware = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def send(request: Request, rules: Rules, seconds: float) -> Answer:
    """The answer to a request, or to what it was redirected to by status 307 or 308, within so many seconds.

    An answer counts from the end of its headers; its body is what came in time. It runs in a thread of its own,
    because nothing can stop a resolver or a reader of headers that come a byte a second. The thread may outlive a call
    that raises NoAnswerError: a task process is not used again then.

    Raises:
        ForbiddenError: The URL, its host or all its addresses are not allowed, or a redirect is not to be followed.
        NoAnswerError: Nothing came from there that is HTTP.
    """
    exchange = _Exchange(request, rules, time.monotonic() + seconds)
    thread = threading.Thread(target=exchange.run, name="request", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        exchange.cut_off()
        thread.join(_CUT_OFF)
    return exchange.outcome(seconds)


class _Target(NamedTuple):
    scheme: str
    host: str  #: in lower-case ASCII, an IPv6 address without its brackets
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises ForbiddenError for a URL that is not to be called."""
        if re.search(r"[\x00-\x20\x7f\\]", url):
            raise ForbiddenError("the URL holds white space, a control character or a backslash")
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme, parts.hostname or "", parts.port
        except ValueError:
            raise ForbiddenError("the URL cannot be understood") from None
        if scheme not in _PORTS:
            raise ForbiddenError("the URL is neither http nor https")
        if "@" in parts.netloc:
            raise ForbiddenError("the URL holds a user name or password")
        if port == 0:
            raise ForbiddenError("the URL names port 0")
        path = quote(parts.path or "/", safe=_SAFE) + (
            f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
        )
        return cls(scheme, _ascii_host(host), port or _PORTS[scheme], path)

    @property
    def authority(self) -> str:
        """Host and port as in a `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def trusts(self, other: Self) -> bool:
        """Whether what was meant for this one may go to the other: the same origin, or the same by TLS."""
        default_ports = (self.port, other.port) == (80, 443)
        is_upgrade = (self.scheme, other.scheme) == ("http", "https") and default_ports
        return self.host == other.host and (self[:3] == other[:3] or is_upgrade)


def _ascii_host(host: str) -> str:
    """A host as it is compared and resolved (IDNA 2003). Raises ForbiddenError for what is none."""
    with suppress(ValueError):
        if "%" not in host:
            return str(ipaddress.IPv6Address(host))
    with suppress(UnicodeError):
        name = (host if host.isascii() else host.encode("idna").decode()).lower().removesuffix(".")
        if len(name) <= 253 and _HOST.fullmatch(name):
            return name
    raise ForbiddenError("the URL names no host")


class _Lines:
    """A stream that remembers the last line that was read from it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self._stream.readline(limit)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Response(http.client.HTTPResponse):
    """Passes over every interim answer, where `http.client` knows 100 alone; takes no cut off head for a whole one."""

    def begin(self) -> None:
        while True:
            stream = self.fp
            lines = _Lines(stream)
            self.fp = cast("Any", lines)
            super().begin()
            self.fp = stream
            if lines.last not in (b"\r\n", b"\n"):
                raise http.client.RemoteDisconnected("in the middle of the headers")
            if self.status >= 200 or self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return
            self.headers = self.msg = cast("Any", None)


class _Connection(http.client.HTTPConnection):
    """Speaks over a socket that is connected, and never connects by itself."""

    response_class = _Response

    def __init__(self, target: _Target, connected: socket.socket) -> None:
        super().__init__(target.host, target.port)
        self.sock = connected

    def connect(self) -> None:
        raise http.client.NotConnected


class _Exchange:
    """One request with its redirects, in a thread of its own; another thread can cut it off."""

    def __init__(self, request: Request, rules: Rules, deadline: float) -> None:
        self._request = request
        self._rules = rules
        self._deadline = deadline
        self._socket: socket.socket | None = None
        self._is_late = False
        self._error: Exception | None = None
        self._host = ""
        self._stage = ""
        self._response: http.client.HTTPResponse | None = None
        self._body = bytearray()
        self._is_whole = False

    def run(self) -> None:
        """Keeps what comes of it for `outcome`."""
        try:
            self._follow()
        except Exception as error:  # noqa: BLE001 - raised again by `outcome`
            self._error = error
        finally:
            if self._socket:
                self._socket.close()

    def cut_off(self) -> None:
        """Ends whatever it does on the wire."""
        self._is_late = True
        if self._socket:
            with suppress(OSError):
                # Of the socket below TLS, which has no use for a farewell.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def outcome(self, seconds: float) -> Answer:
        """The answer; raises what went wrong."""
        if self._response is not None:
            body = bytes(self._body[:MAX_BODY])
            return Answer(self._host, self._response.status, self._response.headers, body, self._is_whole)
        if time.monotonic() >= self._deadline:
            raise NoAnswerError(f"{self._host} gave no answer within {seconds:g} s (while {self._stage})")
        raise self._error or RuntimeError("the request ended without an end")

    def _follow(self) -> None:
        target = _Target.of(self._request.url)
        headers = {**self._request.own_headers, **self._request.headers}
        for _ in range(MAX_REDIRECTS + 1):
            response = self._call(target, headers)
            if response.status not in _FOLLOWED:
                self._response = response
                with response:
                    self._read(response)
                return
            response.close()
            location = response.headers.get("location")
            if not location:
                raise ForbiddenError(f"{target.authority} redirects without saying where to")
            try:
                there = _Target.of(urljoin(f"{target.scheme}://{target.authority}{target.path}", location))
            except (ForbiddenError, ValueError) as error:
                raise ForbiddenError(f"{target.authority} redirects wrongly: {error}") from None
            if (target.scheme, there.scheme) == ("https", "http"):
                raise ForbiddenError(f"{target.authority} redirects from https to http")
            if not target.trusts(there):
                headers = {**self._request.headers}
            target = there
        raise ForbiddenError(f"redirected more than {MAX_REDIRECTS} times, at last by {self._host}")

    def _call(self, target: _Target, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """One request and the head of its answer."""
        self._host = target.authority
        connection = _Connection(target, self._connect(target, self._resolve(target)))
        self._stage = "waiting for its answer"
        try:
            # Whoever refuses a request early may close before it has read all of it, and its answer is there.
            with suppress(BrokenPipeError, ConnectionResetError):
                fields = {**headers, "host": target.authority}
                connection.request(self._request.method, target.path, self._request.body, fields)
            return connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoAnswerError(f"{self._host} {_fault(error)}") from None

    def _resolve(self, target: _Target) -> list[tuple[socket.AddressFamily, Any]]:
        """The allowed addresses of a host, from the only look that is taken at its name."""
        if not self._rules.allow_host(target.host):
            raise ForbiddenError(f"{self._host} is not one of webhookAllowedHosts")
        self._stage = "resolving its name"
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise NoAnswerError(f"{self._host} cannot be resolved") from None
        allowed = [
            (family, address)
            for family, _, _, _, address in found
            if family in (socket.AF_INET, socket.AF_INET6) and self._rules.allow_address(str(address[0]))
        ]
        if not allowed:
            raise ForbiddenError(f"{self._host} has no address in webhookAllowedNetworks")
        return allowed[:_MAX_ADDRESSES]

    def _connect(self, target: _Target, addresses: list[tuple[socket.AddressFamily, Any]]) -> socket.socket:
        """A connection to the first address that takes one; each gets its share of the time that is left."""
        self._stage = "connecting"
        fault = ""
        for place, (family, address) in enumerate(addresses):
            if self._socket:
                self._socket.close()
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            try:
                self._socket.settimeout(self._time_left() / (len(addresses) - place))
                self._socket.connect(address)
                self._socket.settimeout(self._time_left())
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if target.scheme == "https":
                    self._socket = _tls().wrap_socket(self._socket, server_hostname=target.host)
                return self._socket
            except (OSError, ValueError) as error:
                fault = _fault(error)
        raise NoAnswerError(f"{self._host} {fault}")

    def _time_left(self) -> float:
        left = self._deadline - time.monotonic()
        if self._is_late or left <= 0:
            raise TimeoutError
        return left

    def _read(self, response: http.client.HTTPResponse) -> None:
        """As much of the body as is kept; a body that breaks off takes nothing from the answer."""
        with suppress(OSError, http.client.HTTPException, ValueError):
            while len(self._body) <= MAX_BODY:
                piece = response.read1(MAX_BODY + 1 - len(self._body))
                if not piece:
                    # The end of a body without length looks like the end that we made of it.
                    self._is_whole = response.length in (None, 0) and not self._is_late
                    return
                self._body += piece


@functools.cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _fault(error: Exception) -> str:
    """What went wrong, without anything that the other side said."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"has a bad certificate: {error.verify_message}"
        case ssl.SSLError():
            return "does not speak TLS as it should"
        case TimeoutError():
            return "took too long"
        case http.client.RemoteDisconnected() | ConnectionResetError() | BrokenPipeError():
            return "closed the connection without an answer"
        case OSError():
            return f"cannot be reached: {error.strerror or type(error).__name__}"
        case _:
            return "answered something that is not HTTP"
