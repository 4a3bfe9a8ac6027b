"""Where webhooks may be delivered to, and what signs them."""

import base64
import ipaddress
import re
from dataclasses import dataclass, field

from infra.settings.reader import Reader

_HOST = re.compile(
    r"(\*\.)?(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
#: Bytes of a key that signs webhooks, as Standard Webhooks has it.
_SIGNING_KEY_BYTES = range(24, 65)


@dataclass(frozen=True)
class Webhooks:
    """Where tasks of the type ``webhook`` may deliver to, and how their deliveries are signed.

    Attributes:
        allowed_hosts: Host names, or ``*.`` and a domain for its sub-domains; none allows every host.
        allowed_networks: CIDR blocks, and the word ``public`` for all public addresses.
        secret: One signing secret, or two with a space between; None without one. For an encrypted place alone.
    """

    allowed_hosts: tuple[str, ...]
    allowed_networks: tuple[str, ...]
    secret: str | None = field(repr=False)


def read_webhooks(config: Reader) -> Webhooks:
    """Read where deliveries may go, and the secret that signs them."""
    return Webhooks(
        allowed_hosts=config.texts(
            "webhookAllowedHosts",
            _are_hosts,
            'an array of host names in lower case, such as ["hooks.example.com"], or "*.example.com" for all below',
        ),
        allowed_networks=config.texts(
            "webhookAllowedNetworks",
            _are_networks,
            'an array of networks such as ["10.1.0.0/16"], and "public" for all public addresses',
        ),
        secret=config.secret(
            "webhookSecret",
            _is_signing_secret,
            "whsec_ and 24 to 64 bytes in Base64, or two of them with a space between",
        ),
    )


def _are_hosts(texts: tuple[str, ...]) -> bool:
    return all(_HOST.fullmatch(text) for text in texts)


def _are_networks(texts: tuple[str, ...]) -> bool:
    return all(map(_is_network, texts))


def _is_network(text: str) -> bool:
    try:
        return text == "public" or ("/" in text and bool(ipaddress.ip_network(text)))
    except ValueError:
        return False


def _is_signing_secret(text: str) -> bool:
    secrets = text.split(" ")
    return len(secrets) <= 2 and all(
        secret.startswith("whsec_") and _key_bytes(secret.removeprefix("whsec_")) in _SIGNING_KEY_BYTES
        for secret in secrets
    )


def _key_bytes(text: str) -> int:
    try:
        return len(base64.b64decode(text, validate=True))
    except ValueError:
        return 0
