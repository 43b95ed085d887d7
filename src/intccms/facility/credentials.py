"""What workers need of the user: X509 proxy and bearer token, and environment variables."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from intccms.datasets.files import WAITING
from intccms.errors import InputError

Kind = Literal["X509 proxy", "bearer token"]

VARIABLES: dict[Kind, str] = {
    "X509 proxy": "X509_USER_PROXY",
    "bearer token": "BEARER_TOKEN_FILE",
}
REMEDIES: dict[Kind, str] = {
    "X509 proxy": "voms-proxy-init --voms cms --valid 192:00",
    "bearer token": "get a new token, e.g. by a new session at the facility",
}


@dataclass(frozen=True)
class Credential:
    """One proxy or token.

    Parameters
    ----------
    kind
        Which.
    origin
        The file, or the variable, that it comes from.
    content
        Never shown.
    is_named
        Whether the user has named it; else it was found at the usual place.
    expires
        None: it does not say, or cannot be read without the package ``cryptography``.
    """

    kind: Kind
    origin: str
    content: bytes = field(repr=False)
    is_named: bool
    expires: datetime | None

    @property
    def variable(self) -> str:
        """The variable that names the file on a worker."""
        return VARIABLES[self.kind]

    @property
    def remedy(self) -> str:
        """What to do when it has expired."""
        return REMEDIES[self.kind]

    def left(self) -> timedelta | None:
        """Time until it expires; negative if it has."""
        return None if self.expires is None else self.expires - datetime.now(UTC)

    def check(self) -> None:
        """Refuse it if it has expired.

        Raises
        ------
        InputError
            With what to do.
        """
        left = self.left()
        if left is not None and left <= timedelta(0):
            when = f"{self.expires:%Y-%m-%d %H:%M} UTC"
            raise InputError(f"the {self.kind} {self.origin} expired on {when}; {self.remedy}")


def find_credentials(
    token_files: tuple[str, ...] = (),
    *,
    proxy: str | Path | bool | None = None,
    token: str | Path | bool | None = None,
) -> list[Credential]:
    """Find the user's credentials.

    Parameters
    ----------
    token_files
        Where the site keeps a token, if not at the usual places.
    proxy, token
        A file; None: look for one; False: none is wanted.

    Raises
    ------
    InputError
        If a file that the user has named is not there.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    uid = os.getuid()
    proxies = (f"/tmp/x509up_u{uid}",)  # noqa: S108 - where voms-proxy-init puts it
    tokens = (*([f"{runtime}/bt_u{uid}"] if runtime else []), f"/tmp/bt_u{uid}", *token_files)  # noqa: S108
    found = [] if proxy is False else [_credential("X509 proxy", proxy, proxies)]
    if token is not False:
        text = os.environ.get("BEARER_TOKEN", "").strip() if token in (None, True) else ""
        if text:
            found.append(_made("bearer token", "BEARER_TOKEN", text.encode(), is_named=True))
        else:
            found.append(_credential("bearer token", token, tokens))
    return [one for one in found if one is not None]


def _credential(
    kind: Kind, given: str | Path | bool | None, usual: tuple[str, ...]
) -> Credential | None:
    named = os.environ.get(VARIABLES[kind]) if given in (None, True) else str(given)
    for place in (named,) if named else usual:
        try:
            content = Path(place).expanduser().read_bytes()
        except OSError as error:
            if named:
                why = error.strerror or type(error).__name__
                raise InputError(f"cannot read the {kind} {place}: {why}") from error
            continue
        return _made(kind, place, content, is_named=bool(named))
    return None


def _made(kind: Kind, origin: str, content: bytes, *, is_named: bool) -> Credential:
    expires = _proxy_end(content) if kind == "X509 proxy" else _token_end(content)
    return Credential(kind, origin, content, is_named, expires)


def _proxy_end(content: bytes) -> datetime | None:
    """Say when the first certificate of the chain ends."""
    try:
        from cryptography.x509 import load_pem_x509_certificates
    except ModuleNotFoundError:
        return None
    try:
        return min(one.not_valid_after_utc for one in load_pem_x509_certificates(content))
    except ValueError:
        return None


def _token_end(content: bytes) -> datetime | None:
    """Read ``exp`` of a JSON web token; its signature is the server's business."""
    try:
        payload = content.strip().split(b".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError):
        return None


_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"(?P<quote>['\"])(?P<text>.*)(?P=quote)\s*(?:#.*)?")


def worker_environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Collect what workers get; later ones win: XRootD, ``.env``, what is given.

    Parameters
    ----------
    given
        Of the user, for this connection.
    """
    ours = {name: value for name, value in os.environ.items() if name.startswith("XRD_")}
    return {**WAITING, **ours, **read_dotenv(Path.cwd() / ".env"), **(given or {})}


def read_dotenv(path: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines; ``export``, quotes and comments as in a shell.

    Parameters
    ----------
    path
        May be absent. Nothing in it is expanded.

    Raises
    ------
    InputError
        If a line is something else; it is named by its number, as it may hold a secret.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {type(error).__name__}") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise InputError(f"{path}, line {number}: not of the form NAME=value")
        name, value = match.groups()
        quoted = _QUOTED.fullmatch(value)
        found[name] = quoted["text"] if quoted else re.split(r"\s#", value)[0].strip()
    return found
