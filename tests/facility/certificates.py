"""Certificates that tests make for themselves: an authority, a user, a proxy, a token."""

from __future__ import annotations

import base64
import ipaddress
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed.security import Security


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, hours: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(hours=hours))
    )


def _pem(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bytes:
    encoding = serialization.Encoding.PEM
    return certificate.public_bytes(encoding) + key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_secrets(folder: Path, authority: str = "authority") -> Path:
    """Write ``ca.pem``, and ``hostcert.pem`` with certificate and key, as coffea-casa does."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    basic = x509.BasicConstraints(ca=True, path_length=None)
    uses = [False] * 9
    uses[0] = uses[5] = uses[6] = True  # signatures, certificates, revocation lists
    ca = (
        _builder(authority, authority, ca_key, 24)
        .add_extension(basic, critical=True)
        .add_extension(x509.KeyUsage(*uses), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    host = (
        _builder("dask", authority, key, 24)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "hostcert.pem").write_bytes(_pem(key, host))
    return folder


def security(secrets: Path) -> Security:
    certificate = str(secrets / "hostcert.pem")
    return Security(
        tls_ca_file=str(secrets / "ca.pem"),
        tls_client_cert=certificate,
        tls_client_key=certificate,
        require_encryption=True,
    )


def make_proxy(path: Path, hours: float) -> Path:
    """Write a file as ``voms-proxy-init`` does: a certificate with its key, then the user's."""
    key, user = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    proxy = _builder("proxy", "user", key, hours).sign(user, hashes.SHA256())
    own = _builder("user", "authority", user, 5000).sign(user, hashes.SHA256())
    path.write_bytes(_pem(key, proxy) + own.public_bytes(serialization.Encoding.PEM))
    path.chmod(0o600)
    return path


def make_token(hours: float) -> str:
    """Make a JSON web token; nobody checks its signature."""
    exp = int((datetime.now(UTC) + timedelta(hours=hours)).timestamp())
    parts = [{"alg": "none"}, {"exp": exp, "sub": "somebody"}]
    texts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in parts]
    return b".".join([*texts, b"c2lnbmF0dXJl"]).decode()
