"""One object, two protocols, one HSM: what one protocol makes, the other uses; on every kind of token.

PyKMIP stands for the KMIP clients, python-barbicanclient for OpenStack. Both work in the project `demo`.
"""

import hashlib
import hmac
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from barbicanclient import client as barbicanclient
from barbicanclient.exceptions import HTTPClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding
from keystoneauth1 import session
from kmip.core import enums
from kmip.core.enums import CryptographicAlgorithm, CryptographicUsageMask, KMIPVersion, ResultReason, State
from kmip.pie import objects
from kmip.pie.client import ProxyKmipClient
from kmip.pie.exceptions import KmipOperationFailure

import material
from material import unique

TOKENS = ("sim", "softhsm", "kryoptic")
AES = CryptographicAlgorithm.AES
MASK = CryptographicUsageMask
CBC = {
    "cryptographic_algorithm": AES,
    "block_cipher_mode": enums.BlockCipherMode.CBC,
    "padding_method": enums.PaddingMethod.PKCS5,
}
RSA_SHA256 = {
    "cryptographic_algorithm": CryptographicAlgorithm.RSA,
    "hashing_algorithm": enums.HashingAlgorithm.SHA_256,
    "padding_method": enums.PaddingMethod.PKCS1v15,
}


def kmip_of(gateway) -> ProxyKmipClient:
    """A client that is not connected yet."""
    host, port = gateway.kmip
    files = {
        name: gateway.tls(file) for name, file in (("cert", "client.pem"), ("key", "client.key"), ("ca", "ca.pem"))
    }
    return ProxyKmipClient(hostname=host, port=port, kmip_version=KMIPVersion.KMIP_1_4, **files)


@pytest.fixture(scope="module")
def kmip(gateway):
    with kmip_of(gateway) as client:
        yield client


def barbican_as(gateway, **headers):
    client = barbicanclient.Client(session=session.Session(), endpoint=gateway.rest, project_id="demo")
    client.client._default_headers |= headers
    return client


@pytest.fixture(scope="module")
def barbican(gateway):
    return barbican_as(gateway)


def reference(gateway, uid: str) -> str:
    """One identifier for both."""
    return f"{gateway.rest}/v1/secrets/{uid}"


def identifier(reference: str) -> str:
    return reference.rsplit("/", 1)[1]


def ordered(barbican, **meta) -> str:
    """The secret of a key order."""
    return wait(barbican, barbican.orders.create_key(name=unique("ordered"), **meta).submit()).secret_ref


def wait(barbican, order: str):
    deadline = time.monotonic() + 60
    while (found := barbican.orders.get(order)).status == "PENDING":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found.status == "ACTIVE", found.error_reason
    return found


def cbc(key: bytes, iv: bytes, data: bytes) -> bytes:
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()


# From KMIP to Barbican


@pytest.mark.parametrize("bits", (128, 256))
def test_key_of_kmip_create_is_a_barbican_payload(gateway, kmip, barbican, bits):
    name = unique("kmip")
    uid = kmip.create(AES, bits, name=name)
    secret = barbican.secrets.get(reference(gateway, uid))
    assert secret.payload == kmip.get(uid).value
    assert len(secret.payload) * 8 == bits
    assert (secret.secret_type, secret.algorithm.lower(), secret.bit_length) == ("symmetric", "aes", bits)
    assert secret.payload_content_type == "application/octet-stream"
    assert secret.status == "ACTIVE"
    assert reference(gateway, uid) in [each.secret_ref for each in barbican.secrets.list(limit=100)]


def test_what_kmip_encrypts_opens_with_the_barbican_payload(gateway, kmip, barbican):
    uid = kmip.create(AES, 256)
    kmip.activate(uid)
    iv = os.urandom(16)
    data, _ = kmip.encrypt(b"across the protocols", uid, CBC, iv)
    assert data == cbc(barbican.secrets.get(reference(gateway, uid)).payload, iv, b"across the protocols")


def test_registered_objects_are_barbican_secrets(gateway, kmip, barbican):
    password = "pässwort, 秘密".encode()
    registered = {
        "symmetric": objects.SymmetricKey(AES, 128, os.urandom(16), [MASK.ENCRYPT], unique("k")),
        "passphrase": objects.SecretData(password, enums.SecretDataType.PASSWORD, [MASK.EXPORT], unique("p")),
        "opaque": objects.OpaqueObject(os.urandom(2000), enums.OpaqueDataType.NONE, unique("o")),
    }
    for kind, given in registered.items():
        secret = barbican.secrets.get(reference(gateway, kmip.register(given)))
        assert secret.secret_type == kind
        payload = secret.payload.encode() if isinstance(secret.payload, str) else secret.payload
        assert payload == given.value


def test_pair_of_kmip_is_pem_in_barbican(gateway, kmip, barbican):
    public, private = kmip.create_key_pair(
        CryptographicAlgorithm.RSA, 2048, public_usage_mask=[MASK.VERIFY], private_usage_mask=[MASK.SIGN]
    )
    kmip.activate(private)
    secret = barbican.secrets.get(reference(gateway, private))
    assert secret.secret_type == "private"
    opened = serialization.load_pem_private_key(secret.payload, None)
    other = barbican.secrets.get(reference(gateway, public))
    assert other.secret_type == "public"
    loaded = serialization.load_pem_public_key(other.payload)
    assert opened.public_key().public_numbers() == loaded.public_numbers()
    signature = kmip.sign(b"signed within", private, RSA_SHA256)
    loaded.verify(signature, b"signed within", padding.PKCS1v15(), hashes.SHA256())


# From Barbican to KMIP


def test_key_of_a_barbican_order_works_through_kmip(kmip, barbican):
    made = ordered(barbican, algorithm="aes", bit_length=256, mode="cbc")
    uid, value = identifier(made), barbican.secrets.get(made).payload
    found = kmip.get(uid)
    assert (found.value, found.cryptographic_algorithm, found.cryptographic_length) == (value, AES, 256)
    _, attributes = kmip.get_attributes(uid, ["State"])
    assert attributes[0].attribute_value.value == State.ACTIVE
    iv = os.urandom(16)
    for size in (0, 16, 5000):
        plain = os.urandom(size)
        data, _ = kmip.encrypt(plain, uid, CBC, iv)
        assert data == cbc(value, iv, plain)
        assert kmip.decrypt(data, uid, CBC, iv) == plain


def test_mac_key_of_a_barbican_order_works_through_kmip(kmip, barbican):
    made = ordered(barbican, algorithm="hmacsha256", bit_length=256)
    _, code = kmip.mac(b"to be authenticated", identifier(made), CryptographicAlgorithm.HMAC_SHA256)
    assert code == hmac.new(barbican.secrets.get(made).payload, b"to be authenticated", hashlib.sha256).digest()


def test_pair_of_a_barbican_order_signs_through_kmip(kmip, barbican):
    order = barbican.orders.create_asymmetric(name=unique("pair"), algorithm="rsa", bit_length=2048).submit()
    container = barbican.containers.get(wait(barbican, order).container_ref)
    private, public = identifier(container.secret_refs["private_key"]), identifier(container.secret_refs["public_key"])
    signature = kmip.sign(b"signed within", private, RSA_SHA256)
    loaded = serialization.load_pem_public_key(container.public_key.payload)
    loaded.verify(signature, b"signed within", padding.PKCS1v15(), hashes.SHA256())
    verified = kmip.signature_verify(b"signed within", signature, public, RSA_SHA256)
    assert verified == enums.ValidityIndicator.VALID


def test_stored_key_works_through_kmip(kmip, barbican):
    value = os.urandom(32)
    made = barbican.secrets.create(
        name=unique("stored"), payload=value, secret_type="symmetric", algorithm="aes", bit_length=256
    ).store()
    assert kmip.get(identifier(made)).value == value
    iv = os.urandom(16)
    data, _ = kmip.encrypt(b"known to both", identifier(made), CBC, iv)
    assert data == cbc(value, iv, b"known to both")


def test_stored_pem_key_signs_through_kmip_and_keeps_its_bytes(kmip, barbican):
    given = material.private_key(Encoding.PEM)
    made = barbican.secrets.create(
        name=unique("pem"), payload=given, secret_type="private", algorithm="rsa", bit_length=2048
    ).store()
    signature = kmip.sign(b"signed within", identifier(made), RSA_SHA256)
    material.rsa_key().public_key().verify(signature, b"signed within", padding.PKCS1v15(), hashes.SHA256())
    assert barbican.secrets.get(made).payload == given


def test_text_and_octets_come_back_on_this_token(kmip, barbican):
    for payload in ("", "x", "grüße, 世界", b"\0", os.urandom(4000), os.urandom(15_000)):
        if not payload:
            continue
        made = barbican.secrets.create(name=unique("any"), payload=payload).store()
        assert barbican.secrets.get(made).payload == payload
        assert kmip.get(identifier(made)).value == (payload.encode() if isinstance(payload, str) else payload)


# Destroying


def test_destroyed_through_kmip_is_gone_in_barbican(gateway, kmip, barbican):
    uid = kmip.create(AES, 256)
    secret = barbican.secrets.get(reference(gateway, uid))
    assert len(secret.payload) == 32
    kmip.destroy(uid)
    with pytest.raises(HTTPClientError) as failure:
        barbican.secrets.get(reference(gateway, uid)).status
    assert failure.value.status_code == 404
    assert reference(gateway, uid) not in [each.secret_ref for each in barbican.secrets.list(limit=100)]


def test_deleted_through_barbican_is_gone_in_kmip(kmip, barbican):
    made = ordered(barbican, algorithm="aes", bit_length=128)
    uid = identifier(made)
    assert len(kmip.get(uid).value) == 16
    barbican.secrets.delete(made)
    with pytest.raises(KmipOperationFailure) as failure:
        kmip.get(uid)
    assert failure.value.reason == ResultReason.ITEM_NOT_FOUND


def test_kmip_may_destroy_what_barbican_made(kmip, barbican):
    made = ordered(barbican, algorithm="aes", bit_length=128)
    uid = identifier(made)
    # It is active from the start, so it is revoked first.
    with pytest.raises(KmipOperationFailure) as failure:
        kmip.destroy(uid)
    assert failure.value.reason == ResultReason.PERMISSION_DENIED
    kmip.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, uid)
    kmip.destroy(uid)
    with pytest.raises(HTTPClientError) as failure:
        barbican.secrets.get(made).status
    assert failure.value.status_code == 404


def test_member_reads_but_does_not_delete_what_kmip_made(gateway, kmip):
    uid = kmip.create(AES, 256)
    member = barbican_as(gateway, **{"X-User-Id": "mia", "X-Roles": "member"})
    assert member.secrets.get(reference(gateway, uid)).payload == kmip.get(uid).value
    with pytest.raises(HTTPClientError) as failure:
        member.secrets.delete(reference(gateway, uid))
    assert failure.value.status_code == 403
    assert kmip.get(uid) is not None
    barbican_as(gateway, **{"X-User-Id": "anna", "X-Roles": "admin"}).secrets.delete(reference(gateway, uid))
    with pytest.raises(KmipOperationFailure):
        kmip.get(uid)


def test_other_projects_see_nothing(gateway, kmip):
    uid = kmip.create(AES, 256)
    other = barbicanclient.Client(session=session.Session(), endpoint=gateway.rest, project_id="other")
    with pytest.raises(HTTPClientError) as failure:
        other.secrets.get(reference(gateway, uid)).payload
    assert failure.value.status_code == 403
    foreign = other.secrets.create(name=unique("foreign"), payload=os.urandom(16), secret_type="symmetric").store()
    with pytest.raises(KmipOperationFailure) as failure:
        kmip.get(identifier(foreign))
    assert failure.value.reason == ResultReason.ITEM_NOT_FOUND


# All at once


def test_many_clients_of_both_protocols_at_once(gateway):
    """Sixteen connections work at the same time, each on objects of its own, and every answer is right."""

    def over_kmip(_worker: int) -> int:
        with kmip_of(gateway) as client:
            for round_ in range(6):
                uid = client.create(AES, 256)
                client.activate(uid)
                iv, plain = os.urandom(16), os.urandom(100 + round_)
                data, _ = client.encrypt(plain, uid, CBC, iv)
                assert data == cbc(client.get(uid).value, iv, plain)
                assert client.decrypt(data, uid, CBC, iv) == plain
                client.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, uid)
                client.destroy(uid)
            return round_ + 1

    def over_rest(_worker: int) -> int:
        client = barbican_as(gateway)
        for round_ in range(6):
            payload = os.urandom(1 + 700 * round_)
            made = client.secrets.create(name=unique("parallel"), payload=payload).store()
            assert client.secrets.get(made).payload == payload
            key = ordered(client, algorithm="aes", bit_length=128)
            assert len(client.secrets.get(key).payload) == 16
            client.secrets.delete(made)
            client.secrets.delete(key)
        return round_ + 1

    before = barbican_as(gateway).secrets.total()
    with ThreadPoolExecutor(16) as pool:
        work = [pool.submit(kind, worker) for worker in range(8) for kind in (over_kmip, over_rest)]
        assert [each.result(timeout=120) for each in work] == [6] * 16
    assert barbican_as(gateway).secrets.total() == before
