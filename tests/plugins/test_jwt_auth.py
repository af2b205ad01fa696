"""jwt-auth at the gate's door."""

import base64
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from kit.routed import Site

SECRET = "a secret of more than thirty-two characters"


def token(key: str, secret: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"key": key, "exp": time.time() + 60, **claims}, secret, algorithm)


def words(answer: tuple[int, dict[str, str], bytes]) -> str:
    status, headers, body = answer
    assert status == 401
    assert headers["www-authenticate"] == 'Bearer realm="jwt"'
    found: str = json.loads(body)["message"]
    return found


def test_a_token_is_taken_from_header_query_and_cookie_and_hidden_if_wanted(site: Site) -> None:
    consumer = site.consumer({"jwt-auth": {"key": "places", "secret": SECRET}})
    path = site.route({"jwt-auth": {"hide_credentials": True}})
    given = token("places")
    told = site.told(path, authorization=f"Bearer {given}")
    assert told["headers"]["x-consumer-username"] == consumer
    assert "authorization" not in told["headers"]
    assert site.told(f"{path}?a=1&jwt={given}")["query"] == "a=1"
    assert site.told(path, cookie=f"a=1; jwt={given}")["headers"]["cookie"] == "a=1"


def test_each_mistake_has_its_words(site: Site) -> None:
    site.consumer({"jwt-auth": {"key": "mistakes", "secret": SECRET}})
    path = site.route({"jwt-auth": {}})

    def said(given: str) -> str:
        return words(site.ask(path, authorization=given))

    assert words(site.ask(path)) == "Missing JWT token in request"
    assert said("Bearer abc") == "JWT token invalid"
    assert said("Bearer " + jwt.encode({"sub": "x"}, SECRET)) == "missing user key in JWT token"
    assert said("Bearer " + token("nobody")) == "Invalid user key in JWT token"
    assert said("Bearer " + token("mistakes", "another secret of thirty-two characters")) == "failed to verify jwt"
    assert said("Bearer " + token("mistakes", exp=time.time() - 5)) == "failed to verify jwt"
    assert said("Bearer " + token("mistakes", nbf=time.time() + 60)) == "failed to verify jwt"
    assert said("Bearer " + token("mistakes", "", "none")) == "failed to verify jwt"


def test_only_the_consumers_own_algorithm_counts(site: Site) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    site.consumer({"jwt-auth": {"key": "rsa", "public_key": public.decode(), "algorithm": "RS256"}})
    path = site.route({"jwt-auth": {}})
    assert site.ask(path, authorization="Bearer " + token("rsa", private, "RS256"))[0] == 200
    # The public key is known to all: as a secret of HS256 it must open nothing.
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT"}, {"key": "rsa"})
    )
    signed = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    forged = head + b"." + body + b"." + base64.urlsafe_b64encode(signed.sign(head + b"." + body, public)).rstrip(b"=")
    assert words(site.ask(path, authorization="Bearer " + forged.decode())) == "failed to verify jwt"


def test_an_edwards_curve_and_a_secret_in_base64_are_taken(site: Site) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    site.consumer({"jwt-auth": {"key": "ed", "public_key": public.decode(), "algorithm": "EdDSA"}})
    encoded = base64.b64encode(SECRET.encode()).decode()
    site.consumer({"jwt-auth": {"key": "b64", "secret": encoded, "base64_secret": True, "lifetime_grace_period": 60}})
    path = site.route({"jwt-auth": {}})
    assert site.ask(path, authorization=token("ed", private, "EdDSA"))[0] == 200
    assert site.ask(path, authorization=token("b64", exp=time.time() - 5))[0] == 200


def test_a_consumer_without_the_key_its_algorithm_needs_is_refused(site: Site) -> None:
    def refused(**conf: Any) -> str:
        value = {"username": "nokey", "plugins": {"jwt-auth": {"key": "x", **conf}}}
        status, _, body = site.gate.operator("PUT", "/apisix/admin/consumers", value)
        assert status == 400
        said: str = json.loads(body)["error_msg"]
        return said

    assert 'property "public_key" is required when "algorithm" is "RS256"' in refused(algorithm="RS256")
    assert 'property "secret" is required when "algorithm" is "HS256"' in refused()
    assert "not in base64" in refused(secret="no base64!", base64_secret=True)
