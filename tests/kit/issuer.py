"""A small real issuer of access tokens: discovery, published RSA keys that can be rotated, and tokens good and bad."""

import time
from typing import Any

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
        if asked.path == DISCOVERY:
            found: Any = {"issuer": self.url, "jwks_uri": self.url + KEYS, **self.document}
        elif asked.path == KEYS:
            found = {"keys": [self.public(kid) for kid in self.keys]}
        else:
            return json_answer(404, {})(asked, connection)
        return json_answer(200, found)(asked, connection)
