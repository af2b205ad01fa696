"""Seals of others are base64 on their way through Google's clients, which take nothing else, and come back."""

import base64

import pytest

from tollkeeper.core.conversation import Seal
from tollkeeper.dialects.gemini_generate import signatures


@pytest.mark.parametrize("value", ["sig", '{"x":"é?>~"}', "a.b", ""])
def test_a_seal_comes_back_in_either_alphabet(value: str) -> None:
    told = signatures.told(Seal(value, "claude"))

    base64.b64decode(told, validate=True)
    assert signatures.read(told, "google") == Seal(value, "claude")
    assert signatures.read(told.replace("+", "-").replace("/", "_").rstrip("="), "google") == Seal(value, "claude")


@pytest.mark.parametrize("own", ["EqADCp0D", "dGsxLg", "dGsx!", "dGsx/w=="])
def test_gemini_s_own_stay_as_they_are(own: str) -> None:
    assert signatures.told(Seal(own, "gemini_generate")) == own
    assert signatures.read(own, "google") == Seal(own, "google")
