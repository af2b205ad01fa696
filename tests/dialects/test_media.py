"""Data URIs are taken apart and put together again; other addresses stay as they are."""

import pytest

from tollkeeper.core.conversation import Inline, Link
from tollkeeper.dialects import media


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("data:image/png;base64,iVBO", Inline("image/png", "iVBO")),
        ("data:image/jpg;base64,/9j/", Inline("image/jpeg", "/9j/")),
        ("data:text/plain;charset=utf-8;base64,YQ==", Inline("text/plain", "YQ==")),
        ("https://example.org/a,b", Link("https://example.org/a,b")),
        ("data:,plain", Link("data:,plain")),
    ],
)
def test_an_address_is_a_source(url: str, source: Inline | Link) -> None:
    assert media.source_of(url) == source
    assert media.source_of(media.url_of(source)) == source
