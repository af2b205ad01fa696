"""A small real issuer of access tokens: discovery, published RSA keys that can be rotated, and tokens good and bad.

Whoever is sent to it is signed in as ada at once: registration (RFC 7591), the authorization code flow with PKCE, and
tokens for the resource that was asked for (RFC 8707), with the scopes in `grants`.
"""

import base64
import hashlib
import time
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from kit.scripted import Connection, Request, ScriptedUpstream, json_answer

DISCOVERY = "/.well-known/oauth-authorization-server"
KEYS = "/keys"


class TokenIssuer:
    """Listens on a free loopback port."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.rotate("one")
        self.away = False
        """Whether it answers 500 to everything."""
        self.document: dict[str, Any] = {}
        """Fields to tell differently in the discovery document."""
        self.grants = ""
        """Scopes, where not those that were asked for."""
        self._codes: dict[str, dict[str, str]] = {}
        self.server = ScriptedUpstream(self._answer)
        self.url = f"http://127.0.0.1:{self.server.port}"

    def __enter__(self) -> "TokenIssuer":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()

    def rotate(self, kid: str) -> None:
        """A new key in place of all before."""
        self.keys = {kid: rsa.generate_private_key(65537, 2048)}

    def asked(self, path: str) -> int:
        """How often something was fetched."""
        return sum(request.path == path for request in self.server.requests)

    def token(self, *, key: Any = None, kid: str | None = None, algorithm: str = "RS256", **claims: Any) -> str:
        """Signed by the newest key; claims that are None are left out."""
        newest = next(reversed(self.keys))
        said = {"iss": self.url, "sub": "ada", "exp": time.time() + 300, **claims}
        whole = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(whole, self.keys[newest] if key is None else key, algorithm, {"kid": kid or newest})

    def public(self, kid: str) -> dict[str, Any]:
        """As the key set has it."""
        found: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self.keys[kid].public_key(), as_dict=True)
        return {**found, "kid": kid, "use": "sig", "alg": "RS256"}

    def _answer(self, asked: Request, connection: Connection) -> bool | None:
        if self.away:
            return json_answer(500, {})(asked, connection)
        path, _, query = asked.path.partition("?")
        if path == "/authorize":
            return self._authorize(dict(parse_qsl(query)), connection)
        if asked.path == DISCOVERY:
            found: Any = {
                "issuer": self.url,
                "jwks_uri": self.url + KEYS,
                "authorization_endpoint": self.url + "/authorize",
                "token_endpoint": self.url + "/token",
                "registration_endpoint": self.url + "/register",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                **self.document,
            }
        elif path == "/register":
            found = {**asked.json(), "client_id": "client-1"}
            return json_answer(201, found)(asked, connection)
        elif path == "/token":
            status, found = self._exchanged(dict(parse_qsl(asked.body.decode())))
            return json_answer(status, found)(asked, connection)
        elif asked.path == KEYS:
            found = {"keys": [self.public(kid) for kid in self.keys]}
        else:
            return json_answer(404, {})(asked, connection)
        return json_answer(200, found)(asked, connection)

    def _authorize(self, given: dict[str, str], connection: Connection) -> bool:
        code = f"code{len(self._codes)}"
        self._codes[code] = given
        back = urlencode({"code": code, "state": given.get("state", ""), "iss": self.url})
        separator = "&" if urlsplit(given["redirect_uri"]).query else "?"
        place = given["redirect_uri"] + separator + back
        return connection.send(f"HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n".encode())

    def _exchanged(self, given: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self._codes.pop(given.get("code", ""), None)
        if asked is None:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked.get("code_challenge"):
            return 400, {"error": "invalid_grant", "error_description": "code_verifier"}
        scope = self.grants or asked.get("scope", "")
        token = self.token(aud=given.get("resource") or asked.get("resource"), scope=scope)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": scope}
