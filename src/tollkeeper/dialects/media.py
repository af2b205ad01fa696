"""Images and files as addresses: data URIs apart and together again."""

from tollkeeper.core.conversation import Inline, Link

_SAME = {"image/jpg": "image/jpeg"}


def source_of(url: str) -> Inline | Link:
    """A `data:` URI (RFC 2397) as its bytes, any other address as it is."""
    if not url.startswith("data:"):
        return Link(url)
    head, comma, data = url[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        return Link(url)
    media_type = head[:-7].partition(";")[0].lower() or "text/plain"
    return Inline(_SAME.get(media_type, media_type), data)


def url_of(source: Inline | Link) -> str:
    """The address of a source; bytes become a `data:` URI."""
    return source.url if isinstance(source, Link) else f"data:{source.media_type};base64,{source.data}"
