"""JSON Web Tokens (RFC 7519): which key signed one, whether that is so, and whether it holds now. Time is passed in.

PyJWT checks the signature: alive, small, typed, MIT, and what the field uses. The algorithm is always the one that was
configured, never the token's own word (RFC 8725, 3.1).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from jwt.api_jwk import PyJWK

SYMMETRIC = ("HS256", "HS384", "HS512")
ASYMMETRIC = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA")
ALGORITHMS = (*SYMMETRIC, *ASYMMETRIC)
LONGEST = 16 * 1024
"""Characters of a token that is looked at."""
_UNTIMED = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class BadToken(ValueError):
    """The token is not one, or is not good; the message says why and shows nothing of it."""


def unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token that nobody vouches for yet. Raises BadToken."""
    if len(token) > LONGEST:
        raise BadToken("the token is too long")
    try:
        whole = jwt.decode_complete(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise BadToken(str(error)) from None
    return whole["header"], whole["payload"]


def verified(token: str, key: Any, algorithms: Sequence[str]) -> dict[str, Any]:
    """The claims of a token that `key` signed by one of `algorithms`, whatever its times are. Raises BadToken."""
    if len(token) > LONGEST:
        raise BadToken("the token is too long")
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=list(algorithms), options=_UNTIMED)  # type: ignore[arg-type]
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise BadToken(str(error) or "signature mismatch") from None
    return claims


def signed(claims: Mapping[str, Any], key: str, algorithm: str) -> str:
    """A token. Raises ValueError where `key` is no key for `algorithm`."""
    try:
        return jwt.encode(dict(claims), key, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ValueError(f"the key signs nothing by {algorithm}") from None


def check_times(
    claims: Mapping[str, Any], now: float, grace: float = 0.0, names: Sequence[str] = ("exp", "nbf")
) -> None:
    """Raises BadToken where the token holds no more, or not yet, give or take `grace` seconds; absent claims are passed."""
    for name in names:
        at = claims.get(name)
        if at is None:
            continue
        if isinstance(at, bool) or not isinstance(at, int | float):
            raise BadToken(f"'{name}' claim is no number")
        if name == "exp" and now >= at + grace:
            raise BadToken("'exp' claim expired")
        if name == "nbf" and now < at - grace:
            raise BadToken("'nbf' claim not valid yet")


class KeySet:
    """A set of public keys (JWKS, RFC 7517). Raises BadToken where it is none."""

    def __init__(self, document: Any) -> None:
        listed = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(listed, list):
            raise BadToken("the key set has no keys")
        self._keys: list[PyJWK] = []
        for entry in listed:
            try:
                key = PyJWK.from_dict(entry)
            except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
                continue  # a key of a kind that we do not know hinders none of the others (RFC 7517, 5)
            if key.key_type != "oct" and key.public_key_use in (None, "sig"):
                self._keys.append(key)

    def find(self, key_id: object, algorithm: str) -> PyJWK | None:
        """The key of that id; without an id the only one that fits."""
        fitting = [
            key for key in self._keys if (key.key_id == key_id if key_id is not None else True) and fits(key, algorithm)
        ]
        return fitting[0] if len(fitting) == 1 or (fitting and key_id is not None) else None


def fits(key: PyJWK, algorithm: str) -> bool:
    """Whether a key may have made a signature of that algorithm."""
    families = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("Ed",)}
    return algorithm.startswith(families.get(key.key_type or "", ())) and algorithm in ALGORITHMS
