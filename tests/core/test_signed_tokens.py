"""What of a signed token is believed."""

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tollkeeper.core import signed_tokens
from tollkeeper.core.signed_tokens import BadToken, KeySet

SECRET = "a secret of more than thirty-two characters"


def public(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid}


def test_only_the_algorithm_that_was_configured_is_taken() -> None:
    token = jwt.encode({"a": 1}, SECRET, "HS256")
    assert signed_tokens.verified(token, SECRET, ["HS256"]) == {"a": 1}
    for key, algorithm in ((SECRET, "HS512"), (SECRET + "x", "HS256")):
        with pytest.raises(BadToken):
            signed_tokens.verified(token, key, [algorithm])
    with pytest.raises(BadToken):
        signed_tokens.verified(jwt.encode({"a": 1}, None, "none"), SECRET, ["HS256"])


def test_times_are_checked_with_grace_and_must_be_numbers() -> None:
    signed_tokens.check_times({"exp": 10, "nbf": 5}, 9.9)
    signed_tokens.check_times({"exp": 10}, 12, grace=5)
    for claims, now in (({"exp": 10}, 10.0), ({"nbf": 5}, 4.0), ({"exp": "10"}, 1.0), ({"exp": True}, 0.0)):
        with pytest.raises(BadToken):
            signed_tokens.check_times(claims, now)


def test_a_key_is_found_by_its_id_and_only_for_its_own_kind_of_algorithm() -> None:
    one, two = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    keys = KeySet(
        {"keys": [public(one, "1"), public(two, "2"), {"kty": "new"}, {"kty": "oct", "k": "AAAA", "kid": "3"}]}
    )
    assert keys.find("2", "ES256") is not None
    assert keys.find("2", "RS256") is None
    assert keys.find("2", "HS256") is None
    assert keys.find("3", "HS256") is None
    assert keys.find(None, "ES256") is None  # two would fit
    with pytest.raises(BadToken):
        KeySet([])


def test_a_token_that_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(BadToken, match="too long"):
        signed_tokens.unverified("a" * (signed_tokens.LONGEST + 1))
