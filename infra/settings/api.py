"""Who may call the HTTP API, and how often."""

import json
import re
from dataclasses import dataclass

from infra.settings.reader import Reader

_ORIGIN = re.compile(r"https?://(\*|[a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?")
#: Who issues tokens: https, or a test's issuer on this machine, which AWS itself refuses.
_ISSUER = re.compile(
    r"((https://[a-z0-9.-]+|http://(localhost|127\.0\.0\.1))(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?)?"
)
_AUDIENCE = re.compile(r"[!-~]{0,255}")


@dataclass(frozen=True)
class TokenIssuer:
    """Whose tokens the HTTP API takes.

    Attributes:
        issuer: URL of the issuer, exactly as its tokens have it in ``iss``.
        audience: What its tokens for this API have in ``aud``, or else in ``client_id``.
    """

    issuer: str
    audience: str


@dataclass(frozen=True)
class Api:
    """The HTTP API.

    Attributes:
        tokens: Whose tokens callers have to show; None lets everybody call it.
        throttle_rate: Requests per second in the long run.
        throttle_burst: Requests at one moment.
        cors_origins: Origins whose web pages may call it.
        memory_mb: Memory in MB of each function behind it.
        provisioned_concurrency: Environments that are kept started of each function that all clients call.
    """

    tokens: TokenIssuer | None
    throttle_rate: int
    throttle_burst: int
    cors_origins: tuple[str, ...]
    memory_mb: int
    provisioned_concurrency: int


def read_api(config: Reader) -> Api:
    """Read who may call, and how often."""
    return Api(
        tokens=_read_tokens(config),
        throttle_rate=config.integer("apiThrottleRate", 1, 100_000),
        throttle_burst=config.integer("apiThrottleBurst", 1, 100_000),
        cors_origins=config.texts(
            "corsOrigins",
            _are_origins,
            'an array of origins without path, such as ["https://tasks.example.com"], or ["*"]',
        ),
        memory_mb=config.integer("apiMemoryMb", 128, 10_240),
        provisioned_concurrency=config.integer("apiProvisionedConcurrency", 0, 1_000),
    )


def _read_tokens(config: Reader) -> TokenIssuer | None:
    """Read whose tokens are taken; an issuer that nobody would ask is reported too."""
    wanted = config.choice("auth", ("none", "jwt")) == "jwt"

    def read(key: str, pattern: re.Pattern[str], allowed: str) -> str:
        value = config.text(key, pattern.fullmatch, allowed)
        config.check(
            ("auth", key), bool(value) or not wanted, f"{key}: not set; allowed with auth jwt: {allowed}"
        )
        config.check(
            ("auth", key), wanted or not value, f"{key}: {json.dumps(value)}; allowed only with auth jwt"
        )
        return value

    issuer = read(
        "jwtIssuer",
        _ISSUER,
        "the https:// URL of who issues the tokens, as they have it in iss (http:// on 127.0.0.1 or localhost only)",
    )
    audience = read("jwtAudience", _AUDIENCE, "what the tokens for this API have in aud, without spaces")
    return TokenIssuer(issuer, audience) if wanted else None


def _are_origins(texts: tuple[str, ...]) -> bool:
    return texts == ("*",) or all(_ORIGIN.fullmatch(text) for text in texts)
