"""A keyed hash is the standard library's HMAC-SHA256, whatever the key's length, however often it is asked."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.core.keyed_hash import KeyedHash


@given(st.binary(max_size=200), st.lists(st.binary(max_size=200), min_size=1, max_size=3))
@examples(200)
def test_it_is_the_hmac_of_each_text(key: bytes, texts: list[bytes]) -> None:
    hashed = KeyedHash(key)

    assert [hashed(text) for text in texts] == [hmac.digest(key, text, "sha256") for text in texts]
