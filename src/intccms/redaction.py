"""What is secret in a URL is hidden in everything that is written, logged or shown; only here."""

from __future__ import annotations

import re

HIDDEN = "<hidden>"
_SECRET = r"key|secret|token|passw|credential"
_IN_QUERY = (
    rf"{_SECRET}|auth|signature|macaroon|ticket|bearer|jwt|session|policy|\bsig\b|x-(?:amz|goog)-"
)
_NAMED = re.compile(_SECRET, re.IGNORECASE)
_PASSWORD = re.compile(r"(://[^/@\s:'\"]*):[^/@\s]*@")
_LONE_TOKEN = re.compile(r"(://)[^/@\s:'\"]{20,}@")  # a token in the place of a user
_QUERY = re.compile(rf"([?&;](?=[^=&\s]*(?:{_IN_QUERY}))[\w.%~+-]+=)[^&\s'\"<>]+", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer(?:\s+|%20|\+))(?=\S*\d)[\w.~+/=-]{8,}", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")


def is_secret(key: object) -> bool:
    """Whether a value under this key of a free-form table is to be hidden."""
    return bool(_NAMED.search(str(key)))


def redacted(text: str) -> str:
    """Return a text in which the credentials of URLs are hidden; again it changes nothing.

    Examples
    --------
    >>> redacted("root://me:pw@host//a.root?authz=Bearer%20eyJhb&x=1")
    'root://me:<hidden>@host//a.root?authz=<hidden>&x=1'
    >>> redacted("no such file: https://host/a.root?X-Amz-Signature=0f3b")
    'no such file: https://host/a.root?X-Amz-Signature=<hidden>'
    """
    if "@" in text:
        text = _PASSWORD.sub(rf"\1:{HIDDEN}@", text)
        text = _LONE_TOKEN.sub(rf"\1{HIDDEN}@", text)
    if "=" in text:
        text = _QUERY.sub(rf"\1{HIDDEN}", text)
    if "eyJ" in text:
        text = _JWT.sub(HIDDEN, text)
    return _BEARER.sub(rf"\1{HIDDEN}", text) if "earer" in text.lower() else text
