"""Keys and certificates of the tests, made by the `cryptography` package, which no client or gateway had a hand in."""

import datetime
import functools
import hashlib
import ipaddress
import itertools
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_names = itertools.count()


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{os.getpid()}-{next(_names)}"


@functools.cache
def rsa_key():
    """One for all tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_key(encoding=Encoding.DER, form=PrivateFormat.PKCS8, key=None) -> bytes:
    """A private key."""
    return (key or rsa_key()).private_bytes(encoding, form, NoEncryption())


def public_key(encoding=Encoding.DER, form=PublicFormat.SubjectPublicKeyInfo, key=None) -> bytes:
    """Its public key."""
    return (key or rsa_key()).public_key().public_bytes(encoding, form)


@functools.cache
def certificate(encoding=Encoding.DER) -> bytes:
    """A self-signed certificate."""
    return issue("interop").public_bytes(encoding)


def make_tls(folder: Path) -> str:
    """A CA, a server certificate for 127.0.0.1 and a client certificate; the hash of the client's public key."""
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "server", "client")}
    authority = issue("interop CA", keys["ca"])
    made = {
        "ca": authority,
        "server": issue("gateway", keys["server"], authority, keys["ca"], server=True),
        "client": issue("client", keys["client"], authority, keys["ca"]),
    }
    for name, certificate_ in made.items():
        (folder / f"{name}.pem").write_bytes(certificate_.public_bytes(Encoding.PEM))
        path = folder / f"{name}.key"
        path.touch(0o600)
        path.write_bytes(private_key(Encoding.PEM, key=keys[name]))
    return hashlib.sha256(public_key(key=keys["client"])).hexdigest()


def issue(name: str, key=None, issuer=None, issuer_key=None, days: tuple[int, int] = (-1, 365), server: bool = False):
    """A certificate: self-signed unless an issuer is given, valid between these days from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(
        issuer_name=issuer.subject if issuer else subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now + datetime.timedelta(days=days[0]),
        not_valid_after=now + datetime.timedelta(days=days[1]),
    )
    builder = builder.add_extension(x509.BasicConstraints(issuer is None, None), critical=True)
    usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    if issuer is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if server:
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([here]), critical=False)
    return builder.sign(issuer_key or key, hashes.SHA256())
