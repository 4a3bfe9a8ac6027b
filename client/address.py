"""Where the API is: what is accepted as its URL, and how names under `localhost` are reached."""

from __future__ import annotations

import ipaddress
import ssl
from typing import NamedTuple
from urllib.request import getproxies, proxy_bypass

import httpx


def base_url(text: str) -> str:
    """Check the URL of an API and return it without a trailing slash, a stage path kept.

    Raises:
        ValueError: it is no http or https URL of a host; the message says what is wrong.
    """
    try:
        url = httpx.URL(text.strip())
        url.host.encode("idna")  # what the resolver does: a label that is empty or too long fails here
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError(f"{text!r} is not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{text!r} must start with http:// or https:// and a host name")
    if url.port is not None and not 0 < url.port < 65536:
        raise ValueError(f"{text!r} has port {url.port}; ports are 1 to 65535")
    if url.userinfo:
        raise ValueError("the URL must not carry a user name or password")
    if url.query or url.fragment:
        raise ValueError(f"{text!r} must end with the host or the stage path, without ? or #")
    return str(url).rstrip("/")


def is_private(url: str) -> bool:
    """Whether nobody on the way to a base URL can read along: it is https, or on this machine."""
    parsed = httpx.URL(url)
    return parsed.scheme == "https" or _is_loopback(parsed.host)


def transport(url: str, tls: ssl.SSLContext) -> httpx.AsyncBaseTransport | None:
    """The transport for a base URL: direct on this machine, else None for httpx's own (it heeds proxies)."""
    return LoopbackTransport(verify=tls) if _is_loopback(httpx.URL(url).host) else None


class LoopbackTransport(httpx.AsyncHTTPTransport):
    """Connects every name under `localhost` to 127.0.0.1, and never through a proxy.

    RFC 6761 reserves these names for loopback, but the resolver that Python uses often does not know
    them. The Host header and the name in a TLS handshake stay those of the URL.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if _is_below_localhost(host):
            request = httpx.Request(
                request.method,
                request.url.copy_with(host="127.0.0.1"),
                headers=request.headers,  # has Host already
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
        return await super().handle_async_request(request)


class WebSocketRoute(NamedTuple):
    """How to reach the host of a WebSocket URL.

    Attributes:
        host: to connect to in place of the URL's; None for the URL's own.
        proxy: the URL of the proxy to go through, if any.
    """

    host: str | None
    proxy: str | None


def web_socket_route(url: str) -> WebSocketRoute:
    """The way to a ws or wss URL: as HTTP goes to the same host, and through the same proxy.

    Raises:
        ValueError: it is no ws or wss URL of a host; the message says what is wrong.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if parsed.scheme not in ("ws", "wss") or not parsed.host:
        raise ValueError(f"{url!r} must start with ws:// or wss:// and a host name")
    if _is_loopback(parsed.host):
        return WebSocketRoute("127.0.0.1" if _is_below_localhost(parsed.host) else None, None)
    if proxy_bypass(parsed.netloc.decode("ascii")):
        return WebSocketRoute(None, None)
    proxies = getproxies()
    proxy = proxies.get("https" if parsed.scheme == "wss" else "http") or proxies.get("all")
    return WebSocketRoute(None, proxy if not proxy or "://" in proxy else f"http://{proxy}")


def _is_below_localhost(host: str) -> bool:
    return host.rstrip(".").endswith(".localhost")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".") == "localhost" or _is_below_localhost(host)
