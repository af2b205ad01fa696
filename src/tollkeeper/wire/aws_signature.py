"""Signs requests to AWS: Signature Version 4 (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html)."""

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from msgspec import Struct

Headers = list[tuple[bytes, bytes]]


class Credentials(Struct, frozen=True):
    """Who signs."""

    access_key: str
    secret_key: str
    token: str | None = None


def signed(
    credentials: Credentials, region: str, service: str, url: str, headers: Headers, body: bytes, now: float
) -> Headers:
    """The headers of a POST to `url` at `now` (Unix seconds), with those that prove who sends it. Names in lower case."""
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    address = urlsplit(url)
    named = [*headers, (b"host", address.netloc.encode()), (b"x-amz-date", moment.encode())]
    if credentials.token is not None:
        named.append((b"x-amz-security-token", credentials.token.encode()))
    named.sort()
    names = b";".join(name for name, _ in named)
    lines = b"".join(b"%b:%b\n" % (name, value.strip()) for name, value in named)
    # The path is encoded once more than it is sent, as for every service but S3.
    path = quote(address.path or "/", safe="/-_.~").encode()
    request = b"\n".join(
        (b"POST", path, address.query.encode(), lines, names, hashlib.sha256(body).hexdigest().encode())
    )
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request).hexdigest()}".encode()
    key = ("AWS4" + credentials.secret_key).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text, "sha256").hex()
    proof = f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names.decode()}, "
    return [
        *(each for each in named if each[0] != b"host"),
        (b"authorization", (proof + f"Signature={signature}").encode()),
    ]
