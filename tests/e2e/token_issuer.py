"""Who issues tokens: an OpenID provider as far as whoever checks tokens looks at it, on 127.0.0.1."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "tasks"
KEY_ID = "first"


class TokenIssuer:
    """Signs tokens, and serves the public part of the key that it does so with."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._other_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def documents(self) -> dict[str, dict[str, Any]]:
        """What is published, by path."""
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID}
        key |= {name: _encode(_bytes(value)) for name, value in (("n", numbers.n), ("e", numbers.e))}
        return {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": [key]},
        }

    def token(self, **claims: Any) -> str:
        """A token that is good for ten minutes; `claims` override those of one, None leaves one out."""
        return self._signed({"alg": "RS256", "kid": KEY_ID}, claims)

    def bad_tokens(self) -> dict[str, str]:
        """Tokens of which no API may take any, by what is wrong with them."""
        now = int(time.time())
        good, public = self.token(), self._key.public_key()
        header, body, signature = good.split(".")
        more = _encode(json.dumps(self._claims({"sub": "root"})).encode())
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        by_public_key = f"{_part({'alg': 'HS256', 'kid': KEY_ID})}.{body}"
        return {
            "nonsense": "nonsense",
            "three parts of nonsense": "a.b.c",
            "no signature": f"{header}.{body}.",
            "expired": self.token(exp=now - 1, iat=now - 600),
            "not yet valid": self.token(nbf=now + 300),
            "for another audience": self.token(aud="billing"),
            "for no audience": self.token(aud=None),
            "of another issuer": self.token(iss="https://id.example.com"),
            "of no issuer": self.token(iss=None),
            "not signed at all": f"{_part({'alg': 'none', 'kid': KEY_ID})}.{body}.",
            "signed with the public key as a secret": (
                f"{by_public_key}.{_encode(hmac.digest(pem, by_public_key.encode(), hashlib.sha256))}"
            ),
            "signed by another key": self._signed({"alg": "RS256", "kid": KEY_ID}, {}, self._other_key),
            "signed by a key that is not published": self._signed(
                {"alg": "RS256", "kid": "second"}, {}, self._other_key
            ),
            "with other claims than were signed": f"{header}.{more}.{signature}",
        }

    def _claims(self, claims: dict[str, Any]) -> dict[str, Any]:
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "someone", "iat": now, "nbf": now, "exp": now + 600}
        return {name: value for name, value in (usual | claims).items() if value is not None}

    def _signed(
        self, header: dict[str, str], claims: dict[str, Any], key: rsa.RSAPrivateKey | None = None
    ) -> str:
        text = f"{_part(header)}.{_part(self._claims(claims))}"
        signature = (key or self._key).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_encode(signature)}"


@contextmanager
def issuing() -> Generator[TokenIssuer]:
    """An issuer that can be asked for its keys."""
    issuer = TokenIssuer()
    try:
        yield issuer
    finally:
        issuer.close()


def _part(content: dict[str, Any]) -> str:
    return _encode(json.dumps(content).encode())


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _handler(issuer: TokenIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = issuer.documents().get(self.path)
            body = json.dumps(document).encode()
            self.send_response(200 if document else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    return Handler
