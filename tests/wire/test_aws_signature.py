"""Signatures are those of AWS's own test suite for Signature Version 4."""

from tollkeeper.wire.aws_signature import Credentials, signed

EXAMPLE = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
AT = 1440938160.0
"""2015-08-30T12:36:00Z"""


def test_a_request_without_a_body_is_signed_as_in_post_vanilla() -> None:
    headers = signed(EXAMPLE, "us-east-1", "service", "https://example.amazonaws.com/", [], b"", AT)

    assert dict(headers)[b"authorization"] == (
        b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        b"SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    )
    assert dict(headers)[b"x-amz-date"] == b"20150830T123600Z"


def test_a_form_is_signed_as_in_post_x_www_form_urlencoded() -> None:
    media = [(b"content-type", b"application/x-www-form-urlencoded")]

    headers = signed(EXAMPLE, "us-east-1", "service", "https://example.amazonaws.com/", media, b"Param1=value1", AT)

    assert dict(headers)[b"authorization"].endswith(
        b"Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
    )


def test_a_sessions_token_is_sent_and_signed_and_the_host_is_left_to_the_client() -> None:
    credentials = Credentials("AKIDEXAMPLE", "secret", "token")

    headers = dict(signed(credentials, "us-east-1", "service", "https://example.amazonaws.com/", [], b"", AT))

    assert headers[b"x-amz-security-token"] == b"token"
    assert b"SignedHeaders=host;x-amz-date;x-amz-security-token" in headers[b"authorization"]
    assert b"host" not in headers


def test_a_path_that_is_encoded_is_encoded_once_more_in_what_is_signed() -> None:
    """An id of a connection ends with an equals sign."""
    url = "https://id.execute-api.eu-central-1.amazonaws.com/prod/@connections/"

    plain, encoded, other = (
        dict(signed(EXAMPLE, "eu-central-1", "execute-api", url + id, [], b"x", AT))[b"authorization"]
        for id in ("L0SM9cOFvHcCIhw", "L0SM9cOFvHcCIhw%3D", "L0SM9cOFvHcCIhw%253D")
    )

    assert len({plain, encoded, other}) == 3
