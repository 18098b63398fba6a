"""PyKMIP's clients, at the versions that they are used with.

What the gateway returns is checked with the `cryptography` package, which knows nothing of PyKMIP or of the gateway.
Where PyKMIP is peculiar, a comment says how.
"""

import hashlib
import hmac
import os
import time

import pytest
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import PrivateFormat, PublicFormat

import material
import ttlv
from kmip.core import enums, primitives
from kmip.core import objects as core
from kmip.core.enums import (
    AttributeType,
    BlockCipherMode,
    CryptographicAlgorithm,
    CryptographicUsageMask,
    HashingAlgorithm,
    KeyFormatType,
    KMIPVersion,
    ObjectType,
    PaddingMethod,
    ResultReason,
    RevocationReasonCode,
    State,
)
from kmip.core.exceptions import OperationFailure
from kmip.core.factories.attributes import AttributeFactory
from kmip.core.messages import payloads
from kmip.core.messages.contents import ProtocolVersion, UniqueBatchItemID
from kmip.core.messages.messages import RequestBatchItem
from kmip.pie import objects
from kmip.pie.client import ProxyKmipClient
from kmip.pie.exceptions import KmipOperationFailure
from material import unique

TOKENS = ("sim", "softhsm", "kryoptic")
VERSIONS = (KMIPVersion.KMIP_1_2, KMIPVersion.KMIP_1_4, KMIPVersion.KMIP_2_0)
MASK = CryptographicUsageMask


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda version: str(version.value))
def version(request):
    """The protocol version."""
    return request.param


def only(*versions):
    """For what the other versions lack, or PyKMIP cannot say in them."""
    return pytest.mark.parametrize(
        "version", versions, indirect=True, ids=[str(version.value) for version in versions], scope="module"
    )


@pytest.fixture(scope="module")
def client(gateway, version):
    """One connection for all tests of a version, as long-lived clients keep one."""
    host, port = gateway.kmip
    with ProxyKmipClient(
        hostname=host,
        port=port,
        cert=gateway.tls("client.pem"),
        key=gateway.tls("client.key"),
        ca=gateway.tls("ca.pem"),
        kmip_version=version,
    ) as client:
        yield client


def attribute(kind: AttributeType, value):
    """An attribute as PyKMIP builds it for Locate and Modify."""
    return AttributeFactory().create_attribute(kind, value)


def values(client, uid: str, *names: str) -> dict:
    """Attributes by name. PyKMIP turns 2.x attributes into the 1.x form on the way in."""
    _uid, attributes = client.get_attributes(uid, list(names))
    # Structures such as Name have no value of their own.
    return {
        each.attribute_name.value: getattr(each.attribute_value, "value", each.attribute_value) for each in attributes
    }


def state(client, uid: str) -> State:
    """The state of an object."""
    return values(client, uid, "State")["State"]


def refused(failure, version, before_2, since_2=None) -> None:
    """The exact reason, which differs by version."""
    expected = before_2 if since_2 is None or version < KMIPVersion.KMIP_2_0 else since_2
    assert failure.value.reason == expected, failure.value


def aes_key(client, *masks, length=256) -> str:
    """An active AES key."""
    uid = client.create(CryptographicAlgorithm.AES, length, cryptographic_usage_mask=list(masks) or None)
    client.activate(uid)
    return uid


# What the server is


def test_discover_versions_answers_newest_first(client):
    result = client.proxy.discover_versions()
    assert result.result_status.value == enums.ResultStatus.SUCCESS
    found = [(each.major, each.minor) for each in result.protocol_versions]
    assert found == sorted(found, reverse=True)
    assert {(1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (2, 0), (2, 1)} <= set(found)


def test_discover_versions_answers_the_intersection(client):
    asked = [ProtocolVersion(1, 2), ProtocolVersion(9, 9), ProtocolVersion(1, 4)]
    found = client.proxy.discover_versions(protocol_versions=asked).protocol_versions
    assert [(each.major, each.minor) for each in found] == [(1, 4), (1, 2)]


def test_query_names_operations_and_object_types(client):
    result = client.proxy.query(
        query_functions=[
            enums.QueryFunction.QUERY_OPERATIONS,
            enums.QueryFunction.QUERY_OBJECTS,
            enums.QueryFunction.QUERY_SERVER_INFORMATION,
        ]
    )
    assert result.result_status.value == enums.ResultStatus.SUCCESS
    for name in ("CREATE", "CREATE_KEY_PAIR", "REGISTER", "GET", "LOCATE", "ENCRYPT", "SIGN", "MAC", "DESTROY"):
        assert enums.Operation[name] in result.operations, name
    for kind in (ObjectType.SYMMETRIC_KEY, ObjectType.PRIVATE_KEY, ObjectType.SECRET_DATA, ObjectType.CERTIFICATE):
        assert kind in result.object_types
    assert "Portcullis" in result.vendor_identification


# Create, Get, Get Attributes


@pytest.mark.parametrize("length", (128, 192, 256))
def test_created_key_comes_back(client, length):
    name = unique("created")
    uid = client.create(CryptographicAlgorithm.AES, length, name=name)
    key = client.get(uid)
    assert isinstance(key, objects.SymmetricKey)
    assert key.cryptographic_algorithm == CryptographicAlgorithm.AES
    assert key.cryptographic_length == length
    assert len(key.value) * 8 == length
    assert client.get(uid).value == key.value
    client.destroy(uid)


def test_created_key_has_its_attributes(client):
    name = unique("attributes")
    before = int(time.time())
    uid = client.create(CryptographicAlgorithm.AES, 256, name=name)
    found = values(
        client,
        uid,
        "Unique Identifier",
        "Name",
        "Object Type",
        "Cryptographic Algorithm",
        "Cryptographic Length",
        "Cryptographic Usage Mask",
        "State",
        "Initial Date",
    )
    assert found["Unique Identifier"] == uid
    assert found["Name"].name_value.value == name
    assert found["Name"].name_type.value == enums.NameType.UNINTERPRETED_TEXT_STRING
    assert found["Object Type"] == ObjectType.SYMMETRIC_KEY
    assert found["Cryptographic Algorithm"] == CryptographicAlgorithm.AES
    assert found["Cryptographic Length"] == 256
    assert found["Cryptographic Usage Mask"] == MASK.ENCRYPT.value | MASK.DECRYPT.value
    assert found["State"] == State.PRE_ACTIVE
    assert before - 1 <= found["Initial Date"] <= time.time() + 1
    client.destroy(uid)


def test_attribute_list_names_what_can_be_asked(client):
    uid = client.create(CryptographicAlgorithm.AES, 128, name=unique("list"))
    names = client.get_attribute_list(uid)
    assert {"Unique Identifier", "Name", "State", "Object Type", "Cryptographic Algorithm"} <= set(names)
    assert len(names) == len(set(names))
    client.destroy(uid)


def test_name_is_unique(client, version):
    name = unique("taken")
    uid = client.create(CryptographicAlgorithm.AES, 128, name=name)
    with pytest.raises(KmipOperationFailure) as failure:
        client.create(CryptographicAlgorithm.AES, 128, name=name)
    refused(failure, version, ResultReason.INVALID_FIELD, ResultReason.NON_UNIQUE_NAME_ATTRIBUTE)
    client.destroy(uid)


def test_unknown_identifier_is_refused(client, version):
    unknown = "00000000-0000-4000-8000-000000000000"
    for attempt in (client.get, client.activate, client.destroy, client.get_attribute_list):
        with pytest.raises((KmipOperationFailure, OperationFailure)) as failure:
            attempt(unknown)
        refused(failure, version, ResultReason.ITEM_NOT_FOUND, ResultReason.OBJECT_NOT_FOUND)


@pytest.mark.parametrize("length", (7, 100, 4096))
def test_impossible_key_length_is_refused(client, length):
    with pytest.raises(KmipOperationFailure):
        client.create(CryptographicAlgorithm.AES, length)


# Register


REGISTRABLE = (
    "3des aes certificate hmac opaque password private-pkcs1 private-pkcs8 public-pkcs1 public-spki seed".split()
)


def registrable() -> dict:
    """One object of each kind, in the forms PyKMIP can express."""
    sign, verify = [MASK.SIGN], [MASK.VERIFY]
    rsa_2048 = (CryptographicAlgorithm.RSA, 2048)
    return {
        "aes": objects.SymmetricKey(CryptographicAlgorithm.AES, 256, os.urandom(32), [MASK.ENCRYPT, MASK.DECRYPT]),
        "3des": objects.SymmetricKey(
            CryptographicAlgorithm.TRIPLE_DES,
            192,
            bytes.fromhex("0123456789abcdef23456789abcdef01456789abcdef0123"),
            [MASK.ENCRYPT],
        ),
        "hmac": objects.SymmetricKey(CryptographicAlgorithm.HMAC_SHA256, 256, os.urandom(32), [MASK.MAC_GENERATE]),
        "private-pkcs8": objects.PrivateKey(*rsa_2048, material.private_key(), KeyFormatType.PKCS_8, sign),
        "private-pkcs1": objects.PrivateKey(
            *rsa_2048, material.private_key(form=PrivateFormat.TraditionalOpenSSL), KeyFormatType.PKCS_1, sign
        ),
        "public-spki": objects.PublicKey(*rsa_2048, material.public_key(), KeyFormatType.X_509, verify),
        "public-pkcs1": objects.PublicKey(
            *rsa_2048, material.public_key(form=PublicFormat.PKCS1), KeyFormatType.PKCS_1, verify
        ),
        "password": objects.SecretData("pässwort, 密码".encode(), enums.SecretDataType.PASSWORD, [MASK.EXPORT]),
        "seed": objects.SecretData(os.urandom(64), enums.SecretDataType.SEED, [MASK.DERIVE_KEY]),
        "opaque": objects.OpaqueObject(os.urandom(3000), enums.OpaqueDataType.NONE),
        "certificate": objects.X509Certificate(material.certificate(), [MASK.VERIFY]),
    }


@pytest.mark.parametrize("kind", REGISTRABLE)
def test_registered_object_comes_back(client, kind):
    given = registrable()[kind]
    # PyKMIP gives each object a name such as "Symmetric Key", the same for all; names are unique with us.
    given.names = [unique(kind)]
    uid = client.register(given)
    found = client.get(uid)
    assert type(found) is type(given)
    assert found.value == given.value
    for field in ("cryptographic_algorithm", "cryptographic_length", "key_format_type", "data_type", "opaque_type"):
        assert getattr(found, field, None) == getattr(given, field, None), field
    assert values(client, uid, "Object Type")["Object Type"] == given.object_type
    client.destroy(uid)


def test_registered_key_encrypts(client):
    value = os.urandom(32)
    given = objects.SymmetricKey(CryptographicAlgorithm.AES, 256, value, [MASK.ENCRYPT, MASK.DECRYPT], unique("own"))
    uid = client.register(given)
    client.activate(uid)
    iv = os.urandom(16)
    parameters = {
        "cryptographic_algorithm": CryptographicAlgorithm.AES,
        "block_cipher_mode": BlockCipherMode.CBC,
        "padding_method": PaddingMethod.PKCS5,
    }
    data, _ = client.encrypt(b"known to us", uid, parameters, iv)
    assert data == cbc(value, iv, b"known to us")


def test_key_of_another_length_than_its_value_is_refused(client, gateway, version):
    # PyKMIP's own check stands in the way, so the length is changed after it.
    given = objects.SymmetricKey(CryptographicAlgorithm.AES, 256, os.urandom(32), [MASK.ENCRYPT], unique("wrong"))
    given.cryptographic_length = 128
    with pytest.raises(KmipOperationFailure):
        client.register(given)


# Get wrapped


def wrapping(kek: str, mode, option=enums.EncodingOption.NO_ENCODING) -> dict:
    return {
        "wrapping_method": enums.WrappingMethod.ENCRYPT,
        "encryption_key_information": {
            "unique_identifier": kek,
            "cryptographic_parameters": {"block_cipher_mode": mode},
        },
        "encoding_option": option,
    }


def answer_to_get(client, uid: str, specification: dict) -> ttlv.Node:
    """PyKMIP asks, we read: it takes a wrapped key value for a structure only, and the published test cases (TC-141,
    TC-SENSITIVE-1) have a byte string in its place."""
    proxy = client.proxy
    payload = payloads.GetRequestPayload(
        unique_identifier=uid, key_wrapping_specification=client._build_key_wrapping_specification(specification)
    )
    operation = primitives.Enumeration(enums.Operation, enums.Operation.GET, tag=enums.Tags.OPERATION)
    proxy._send_message(proxy._build_request_message(None, [RequestBatchItem(operation, request_payload=payload)]))
    (message,) = ttlv.parse(bytes(proxy._receive_message().buffer))
    found = ttlv.result(message.one(ttlv.BATCH_ITEM))
    assert found.status == ttlv.SUCCESS, found
    return found.payload


def test_key_comes_wrapped_under_another(client):
    kek = aes_key(client, MASK.WRAP_KEY)
    uid = client.create(CryptographicAlgorithm.AES, 256)
    payload = answer_to_get(client, uid, wrapping(kek, BlockCipherMode.NIST_KEY_WRAP))
    block = payload.one(enums.Tags.SYMMETRIC_KEY.value).one(enums.Tags.KEY_BLOCK.value)
    said = block.one(enums.Tags.KEY_WRAPPING_DATA.value)
    assert said.one(enums.Tags.WRAPPING_METHOD.value).value == enums.WrappingMethod.ENCRYPT.value
    assert said.one(enums.Tags.ENCODING_OPTION.value).value == enums.EncodingOption.NO_ENCODING.value
    information = said.one(enums.Tags.ENCRYPTION_KEY_INFORMATION.value)
    assert information.one(ttlv.UNIQUE_IDENTIFIER).value == kek
    wrapped = block.one(enums.Tags.KEY_VALUE.value).value
    assert keywrap.aes_key_unwrap(client.get(kek).value, wrapped) == client.get(uid).value


def test_wrapping_key_must_exist(client, version):
    uid = client.create(CryptographicAlgorithm.AES, 256)
    with pytest.raises(KmipOperationFailure) as failure:
        client.get(uid, wrapping("00000000-0000-4000-8000-000000000000", BlockCipherMode.NIST_KEY_WRAP))
    refused(failure, version, ResultReason.ITEM_NOT_FOUND, ResultReason.WRAPPING_OBJECT_NOT_FOUND)


def test_wrapping_key_must_be_meant_for_it(client, version):
    kek = aes_key(client)
    uid = client.create(CryptographicAlgorithm.AES, 256)
    with pytest.raises(KmipOperationFailure) as failure:
        client.get(uid, wrapping(kek, BlockCipherMode.NIST_KEY_WRAP))
    refused(failure, version, ResultReason.PERMISSION_DENIED, ResultReason.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK)


# Locate


def test_locate_by_name_and_algorithm(client):
    name = unique("find me")
    uid = client.create(CryptographicAlgorithm.AES, 192, name=name)
    by_name = [attribute(AttributeType.NAME, name)]
    assert client.locate(attributes=by_name) == [uid]
    narrowed = [
        *by_name,
        attribute(AttributeType.OBJECT_TYPE, ObjectType.SYMMETRIC_KEY),
        attribute(AttributeType.CRYPTOGRAPHIC_ALGORITHM, CryptographicAlgorithm.AES),
        attribute(AttributeType.CRYPTOGRAPHIC_LENGTH, 192),
        attribute(AttributeType.STATE, State.PRE_ACTIVE),
    ]
    assert client.locate(attributes=narrowed) == [uid]
    client.activate(uid)
    assert client.locate(attributes=narrowed) == []
    other = [*by_name, attribute(AttributeType.CRYPTOGRAPHIC_LENGTH, 256)]
    assert client.locate(attributes=other) == []
    assert client.locate(attributes=[attribute(AttributeType.NAME, name + " ")]) == []


def test_locate_in_pages(client, version):
    group = [client.register(secret(unique("page"))) for _ in range(5)]
    try:
        kind = [
            attribute(AttributeType.OBJECT_TYPE, ObjectType.SECRET_DATA),
            attribute(AttributeType.STATE, State.PRE_ACTIVE),
        ]
        everything = client.locate(attributes=kind)
        assert set(group) <= set(everything)
        assert client.locate(maximum_items=2, attributes=kind) == everything[:2]
        # Offset Items came with 1.3.
        if version >= KMIPVersion.KMIP_1_3:
            assert client.locate(maximum_items=2, offset_items=2, attributes=kind) == everything[2:4]
    finally:
        for uid in group:
            client.destroy(uid)


def secret(name: str):
    return objects.SecretData(os.urandom(16), enums.SecretDataType.PASSWORD, [MASK.EXPORT], name)


def test_destroyed_objects_are_not_located(client):
    name = unique("gone")
    uid = client.create(CryptographicAlgorithm.AES, 128, name=name)
    client.destroy(uid)
    assert client.locate(attributes=[attribute(AttributeType.NAME, name)]) == []


# Life


def test_life_of_a_key(client, version):
    uid = client.create(CryptographicAlgorithm.AES, 256)
    assert state(client, uid) == State.PRE_ACTIVE
    client.activate(uid)
    assert state(client, uid) == State.ACTIVE
    with pytest.raises(KmipOperationFailure) as failure:
        client.destroy(uid)
    refused(failure, version, ResultReason.PERMISSION_DENIED)
    client.revoke(RevocationReasonCode.CESSATION_OF_OPERATION, uid, "no longer needed")
    assert state(client, uid) == State.DEACTIVATED
    with pytest.raises(KmipOperationFailure) as failure:
        client.activate(uid)
    client.destroy(uid)
    with pytest.raises(KmipOperationFailure) as failure:
        client.get(uid)
    refused(failure, version, ResultReason.ITEM_NOT_FOUND, ResultReason.OBJECT_DESTROYED)


def test_compromised_key_says_so(client):
    uid = aes_key(client)
    client.revoke(RevocationReasonCode.KEY_COMPROMISE, uid, "lost", int(time.time()) - 60)
    assert state(client, uid) == State.COMPROMISED
    client.destroy(uid)


def test_deactivated_key_decrypts_but_does_not_encrypt(client, version):
    uid = aes_key(client)
    parameters = {"block_cipher_mode": BlockCipherMode.CBC, "padding_method": PaddingMethod.PKCS5}
    iv = os.urandom(16)
    data, _ = client.encrypt(b"before", uid, parameters, iv)
    client.revoke(RevocationReasonCode.CESSATION_OF_OPERATION, uid)
    with pytest.raises(KmipOperationFailure) as failure:
        client.encrypt(b"after", uid, parameters, iv)
    refused(failure, version, ResultReason.PERMISSION_DENIED)
    assert client.decrypt(data, uid, parameters, iv) == b"before"


def test_check_of_the_usage_mask(client, version):
    uid = aes_key(client)
    assert client.check(uid, cryptographic_usage_mask=[MASK.ENCRYPT]) == uid
    # PyKMIP's check expects a payload in refusals as well, so the message is sent beside it.
    payload = payloads.CheckRequestPayload(unique_identifier=uid, cryptographic_usage_mask=MASK.SIGN.value)
    with pytest.raises(OperationFailure) as failure:
        client.proxy.send_request_payload(enums.Operation.CHECK, payload)
    refused(failure, version, ResultReason.PERMISSION_DENIED, ResultReason.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK)


# Encrypt, Decrypt


def cbc(key: bytes, iv: bytes, data: bytes) -> bytes:
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()


def test_cbc_is_what_everybody_computes(client):
    uid = aes_key(client)
    key = client.get(uid).value
    parameters = {
        "cryptographic_algorithm": CryptographicAlgorithm.AES,
        "block_cipher_mode": BlockCipherMode.CBC,
        "padding_method": PaddingMethod.PKCS5,
    }
    for size in (0, 1, 15, 16, 17, 4096):
        plain, iv = os.urandom(size), os.urandom(16)
        data, generated = client.encrypt(plain, uid, parameters, iv)
        assert generated is None
        assert data == cbc(key, iv, plain)
        assert client.decrypt(data, uid, parameters, iv) == plain


def test_server_generates_the_iv(client):
    uid = aes_key(client)
    parameters = {
        "block_cipher_mode": BlockCipherMode.CBC,
        "padding_method": PaddingMethod.PKCS5,
        "random_iv": True,
    }
    data, iv = client.encrypt(b"twice", uid, parameters)
    again, other = client.encrypt(b"twice", uid, parameters)
    assert len(iv) == len(other) == 16
    assert iv != other
    assert data != again
    assert data == cbc(client.get(uid).value, iv, b"twice")
    assert client.decrypt(data, uid, parameters, iv) == b"twice"


@pytest.mark.parametrize("mode", (BlockCipherMode.ECB, BlockCipherMode.CTR))
def test_other_modes(client, mode):
    uid = aes_key(client)
    key = client.get(uid).value
    plain, iv = os.urandom(64), os.urandom(16)
    parameters = {"cryptographic_algorithm": CryptographicAlgorithm.AES, "block_cipher_mode": mode}
    if mode == BlockCipherMode.ECB:
        parameters["padding_method"] = PaddingMethod.NONE
        ours, nonce = Cipher(algorithms.AES(key), modes.ECB()).encryptor(), None
    else:
        ours, nonce = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor(), iv
    data, _ = client.encrypt(plain, uid, parameters, nonce)
    assert data == ours.update(plain) + ours.finalize()
    assert client.decrypt(data, uid, parameters, nonce) == plain


def test_damaged_padding_is_a_cryptographic_failure(client):
    uid = aes_key(client)
    parameters = {"block_cipher_mode": BlockCipherMode.CBC, "padding_method": PaddingMethod.PKCS5}
    key, iv = client.get(uid).value, os.urandom(16)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    damaged = encryptor.update(bytes(16)) + encryptor.finalize()
    with pytest.raises(KmipOperationFailure) as failure:
        client.decrypt(damaged, uid, parameters, iv)
    assert failure.value.reason == ResultReason.CRYPTOGRAPHIC_FAILURE


def test_pre_active_key_does_not_encrypt(client, version):
    uid = client.create(CryptographicAlgorithm.AES, 256)
    parameters = {"block_cipher_mode": BlockCipherMode.CBC, "padding_method": PaddingMethod.PKCS5}
    with pytest.raises(KmipOperationFailure) as failure:
        client.encrypt(b"too early", uid, parameters, bytes(16))
    refused(failure, version, ResultReason.PERMISSION_DENIED)


def test_key_without_the_mask_does_not_encrypt(client, version):
    given = objects.SymmetricKey(CryptographicAlgorithm.AES, 128, os.urandom(16), [MASK.DECRYPT], unique("decrypts"))
    uid = client.register(given)
    client.activate(uid)
    parameters = {"block_cipher_mode": BlockCipherMode.CBC, "padding_method": PaddingMethod.PKCS5}
    with pytest.raises(KmipOperationFailure) as failure:
        client.encrypt(b"no", uid, parameters, bytes(16))
    refused(failure, version, ResultReason.PERMISSION_DENIED, ResultReason.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK)


# Key pairs, Sign, Signature Verify


def key_pair(client, algorithm, length):
    """An active pair: public, private."""
    public, private = client.create_key_pair(
        algorithm,
        length,
        public_name=unique("public"),
        public_usage_mask=[MASK.VERIFY],
        private_name=unique("private"),
        private_usage_mask=[MASK.SIGN],
    )
    client.activate(public)
    client.activate(private)
    return public, private


@pytest.fixture(scope="module")
def rsa_pair(client):
    """RSA keys take time to make: one pair a version."""
    return key_pair(client, CryptographicAlgorithm.RSA, 2048)


PKCS1_SHA256 = {
    "padding_method": PaddingMethod.PKCS1v15,
    "cryptographic_algorithm": CryptographicAlgorithm.RSA,
    "hashing_algorithm": HashingAlgorithm.SHA_256,
}
PSS_SHA256 = {**PKCS1_SHA256, "padding_method": PaddingMethod.PSS}
SHA256_WITH_RSA = {"digital_signature_algorithm": enums.DigitalSignatureAlgorithm.SHA256_WITH_RSA_ENCRYPTION}


def public_key(client, uid: str):
    found = client.get(uid)
    assert isinstance(found, objects.PublicKey)
    # cryptography reads both forms with one function.
    assert found.key_format_type in (KeyFormatType.PKCS_1, KeyFormatType.X_509)
    return serialization.load_der_public_key(found.value)


def test_pair_fits_together(client, rsa_pair):
    public, private = rsa_pair
    found = client.get(private)
    assert isinstance(found, objects.PrivateKey)
    assert found.cryptographic_length == 2048
    assert found.key_format_type in (KeyFormatType.PKCS_1, KeyFormatType.PKCS_8)
    ours = serialization.load_der_private_key(found.value, None)
    assert ours.public_key().public_numbers() == public_key(client, public).public_numbers()


@pytest.mark.parametrize(
    ("parameters", "scheme"),
    (
        (PKCS1_SHA256, padding.PKCS1v15()),
        (SHA256_WITH_RSA, padding.PKCS1v15()),
        (PSS_SHA256, padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)),
    ),
    ids=("pkcs1", "by signature algorithm", "pss"),
)
def test_rsa_signature_holds_everywhere(client, rsa_pair, parameters, scheme):
    public, private = rsa_pair
    data = os.urandom(200)
    signature = client.sign(data, private, parameters)
    public_key(client, public).verify(signature, data, scheme, hashes.SHA256())
    assert client.signature_verify(data, signature, public, parameters) == enums.ValidityIndicator.VALID
    assert client.signature_verify(data + b"!", signature, public, parameters) == enums.ValidityIndicator.INVALID
    damaged = bytes([signature[0], signature[1] ^ 1]) + signature[2:]
    assert client.signature_verify(data, damaged, public, parameters) == enums.ValidityIndicator.INVALID


def test_ec_signature_holds_everywhere(client):
    public, private = key_pair(client, CryptographicAlgorithm.EC, 256)
    parameters = {
        "cryptographic_algorithm": CryptographicAlgorithm.ECDSA,
        "hashing_algorithm": HashingAlgorithm.SHA_256,
    }
    data = b"signed on a curve"
    signature = client.sign(data, private, parameters)
    # DER, as KMIP has it; tokens answer r and s side by side.
    public_key(client, public).verify(signature, data, ec.ECDSA(hashes.SHA256()))
    assert client.signature_verify(data, signature, public, parameters) == enums.ValidityIndicator.VALID
    assert client.signature_verify(b"other", signature, public, parameters) == enums.ValidityIndicator.INVALID


def test_pair_of_a_pre_active_life_is_destroyed_without_revoke(client):
    public, private = client.create_key_pair(
        CryptographicAlgorithm.RSA, 2048, private_usage_mask=[MASK.SIGN], public_usage_mask=[MASK.VERIFY]
    )
    client.destroy(private)
    client.destroy(public)
    for uid in (private, public):
        with pytest.raises(KmipOperationFailure):
            client.get(uid)


# MAC


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    ((CryptographicAlgorithm.HMAC_SHA256, hashlib.sha256), (CryptographicAlgorithm.HMAC_SHA512, hashlib.sha512)),
    ids=("sha256", "sha512"),
)
def test_mac_is_what_everybody_computes(client, algorithm, digest):
    # SoftHSM2 refuses keys that are shorter than the hash.
    value = os.urandom(digest().digest_size)
    masks = [MASK.MAC_GENERATE, MASK.MAC_VERIFY]
    uid = client.register(objects.SymmetricKey(algorithm, len(value) * 8, value, masks, unique("mac")))
    client.activate(uid)
    answered, code = client.mac(b"to be authenticated", uid, algorithm)
    assert answered == uid
    assert code == hmac.new(value, b"to be authenticated", digest).digest()


def test_created_mac_key(client):
    # PyKMIP adds Encrypt and Decrypt to the mask of everything it creates.
    algorithm = CryptographicAlgorithm.HMAC_SHA256
    uid = client.create(algorithm, 256, cryptographic_usage_mask=[MASK.MAC_GENERATE])
    client.activate(uid)
    _, code = client.mac(b"made there", uid, algorithm)
    assert code == hmac.new(client.get(uid).value, b"made there", hashlib.sha256).digest()


# Attributes that change


def test_name_is_modified(client, version):
    old, new = unique("old"), unique("new")
    uid = client.create(CryptographicAlgorithm.AES, 128, name=old)
    factory = AttributeFactory()
    if version < KMIPVersion.KMIP_2_0:
        changed = factory.create_attribute(AttributeType.NAME, new, index=0)
        answered, attribute_back = client.modify_attribute(uid, attribute=changed)
        assert attribute_back.attribute_value == changed.attribute_value
    else:
        value = factory.value_factory.create_attribute_value(AttributeType.NAME, new)
        before = factory.value_factory.create_attribute_value(AttributeType.NAME, old)
        answered, _ = client.modify_attribute(
            uid,
            current_attribute=core.CurrentAttribute(attribute=before),
            new_attribute=core.NewAttribute(attribute=value),
        )
    assert answered == uid
    assert client.locate(attributes=[attribute(AttributeType.NAME, new)]) == [uid]
    assert client.locate(attributes=[attribute(AttributeType.NAME, old)]) == []


def test_name_is_deleted(client, version):
    name = unique("short-lived")
    uid = client.create(CryptographicAlgorithm.AES, 128, name=name)
    if version < KMIPVersion.KMIP_2_0:
        answered, _ = client.delete_attribute(uid, attribute_name="Name", attribute_index=0)
    else:
        value = AttributeFactory().value_factory.create_attribute_value(AttributeType.NAME, name)
        answered, _ = client.delete_attribute(uid, current_attribute=core.CurrentAttribute(attribute=value))
    assert answered == uid
    assert client.locate(attributes=[attribute(AttributeType.NAME, name)]) == []
    assert "Name" not in client.get_attribute_list(uid)


def test_read_only_attribute_stays(client, version):
    uid = client.create(CryptographicAlgorithm.AES, 128)
    if version < KMIPVersion.KMIP_2_0:
        changed = AttributeFactory().create_attribute(AttributeType.STATE, State.ACTIVE, index=0)
        arguments = {"attribute": changed}
    else:
        value = primitives.Enumeration(State, State.ACTIVE, tag=enums.Tags.STATE)
        arguments = {"new_attribute": core.NewAttribute(attribute=value)}
    with pytest.raises(OperationFailure) as failure:
        client.modify_attribute(uid, **arguments)
    refused(failure, version, ResultReason.PERMISSION_DENIED, ResultReason.ATTRIBUTE_READ_ONLY)
    assert state(client, uid) == State.PRE_ACTIVE


# PyKMIP sends Set Attribute from 2.0 on.
@only(KMIPVersion.KMIP_2_0)
def test_sensitive_key_is_not_given_out(client):
    uid = client.create(CryptographicAlgorithm.AES, 256)
    assert client.set_attribute(uid, attribute_name="Sensitive", attribute_value=True) == uid
    with pytest.raises(KmipOperationFailure) as failure:
        client.get(uid)
    assert failure.value.reason == ResultReason.SENSITIVE


# 2.0 has no Operation Policy Name.
@only(*VERSIONS[:2])
def test_operation_policy_name_is_kept(client):
    uid = client.create(CryptographicAlgorithm.AES, 128, operation_policy_name="default")
    assert values(client, uid, "Operation Policy Name")["Operation Policy Name"] == "default"


# PyKMIP cannot express it from 2.0 on.
@only(*VERSIONS[:2])
def test_own_attributes_are_kept(client):
    information = {"application_namespace": "ssl", "application_data": unique("www.example.org")}
    given = objects.SymmetricKey(CryptographicAlgorithm.AES, 128, os.urandom(16), [MASK.ENCRYPT], unique("asi"))
    given._application_specific_informations = [information]
    uid = client.register(given)
    found = values(client, uid, "Application Specific Information")
    kept = found["Application Specific Information"]
    assert kept.application_namespace == "ssl"
    assert kept.application_data == information["application_data"]
    assert client.locate(attributes=[attribute(AttributeType.APPLICATION_SPECIFIC_INFORMATION, information)]) == [uid]


# Two at once


def test_batch_of_two(client):
    proxy = client.proxy
    proxy.batch_items = []
    proxy.discover_versions(batch=True)
    proxy.query(batch=True, query_functions=[enums.QueryFunction.QUERY_OPERATIONS])
    for index, item in enumerate(proxy.batch_items):
        # PyKMIP leaves the identifier out, and the standard wants it in a batch.
        item.unique_batch_item_id = UniqueBatchItemID(bytes([index + 1]))
    request = proxy._build_request_message(None, proxy.batch_items)
    results = proxy._process_batch_items(proxy._send_and_receive_message(request))
    assert [result.result_status.value for result in results] == [enums.ResultStatus.SUCCESS] * 2


# Replacement and derivation


# At 2.0 PyKMIP sends the Template-Attribute of 1.x, which 2.0 does not have.
@only(KMIPVersion.KMIP_1_2, KMIPVersion.KMIP_1_4)
def test_rekey_moves_the_name_to_a_new_key(client):
    name = unique("rekey")
    old = client.create(CryptographicAlgorithm.AES, 256, name=name)
    client.activate(old)
    new = client.rekey(uid=old)
    assert new != old and client.get(new).value != client.get(old).value
    assert client.locate(attributes=[attribute(AttributeType.NAME, name)]) == [new]
    assert len(client.get(new).value) == 32


def test_pbkdf2_is_what_everybody_computes(client):
    password = objects.SecretData(b"correct horse", enums.SecretDataType.PASSWORD, [MASK.DERIVE_KEY], unique("pw"))
    base = client.register(password)
    client.activate(base)
    parameters = {
        "cryptographic_parameters": {"hashing_algorithm": HashingAlgorithm.SHA_256},
        "salt": b"battery staple",
        "iteration_count": 100,
    }
    uid = client.derive_key(
        ObjectType.SYMMETRIC_KEY,
        [base],
        enums.DerivationMethod.PBKDF2,
        parameters,
        cryptographic_algorithm=CryptographicAlgorithm.AES,
        cryptographic_length=256,
        cryptographic_usage_mask=[MASK.ENCRYPT],
    )
    expected = hashlib.pbkdf2_hmac("sha256", b"correct horse", b"battery staple", 100, 32)
    assert client.get(uid).value == expected


# The client below: KMIPProxy, whose calls answer with results instead of exceptions


def succeeded(result):
    """A result that is a success; PyKMIP gives some as objects and some as dictionaries."""
    status = result["result_status"] if isinstance(result, dict) else result.result_status.value
    assert status == enums.ResultStatus.SUCCESS, result
    return result


def template(*attributes) -> core.TemplateAttribute:
    return core.TemplateAttribute(attributes=list(attributes))


def aes_template(name: str, *masks) -> core.TemplateAttribute:
    return template(
        attribute(AttributeType.CRYPTOGRAPHIC_ALGORITHM, CryptographicAlgorithm.AES),
        attribute(AttributeType.CRYPTOGRAPHIC_LENGTH, 256),
        attribute(AttributeType.CRYPTOGRAPHIC_USAGE_MASK, list(masks)),
        attribute(AttributeType.NAME, name),
    )


def test_proxy_life_of_a_key(client):
    proxy, name = client.proxy, unique("proxy")
    made = succeeded(proxy.create(ObjectType.SYMMETRIC_KEY, aes_template(name, MASK.ENCRYPT, MASK.DECRYPT)))
    uid = made.uuid
    assert succeeded(proxy.locate(attributes=[attribute(AttributeType.NAME, name)])).uuids == [uid]
    got = succeeded(proxy.get(uid))
    assert len(got.secret.key_block.key_value.key_material.value) == 32
    found = succeeded(proxy.get_attributes(uid, ["State", "Cryptographic Length"]))
    assert {each.attribute_name.value for each in found.attributes} == {"State", "Cryptographic Length"}
    assert "State" in succeeded(proxy.get_attribute_list(uid)).names
    checked = succeeded(proxy.check(uuid=uid, cryptographic_usage_mask=[MASK.ENCRYPT]))
    assert checked["unique_identifier"] == uid
    succeeded(proxy.activate(uid))
    parameters = core.attributes.CryptographicParameters(
        block_cipher_mode=BlockCipherMode.CBC, padding_method=PaddingMethod.PKCS5
    )
    sealed = succeeded(proxy.encrypt(b"through the proxy", uid, parameters, bytes(16)))
    assert sealed["data"] == cbc(got.secret.key_block.key_value.key_material.value, bytes(16), b"through the proxy")
    opened = succeeded(proxy.decrypt(sealed["data"], uid, parameters, bytes(16)))
    assert opened["data"] == b"through the proxy"
    succeeded(proxy.revoke(RevocationReasonCode.CESSATION_OF_OPERATION, uid, "done"))
    succeeded(proxy.destroy(uid))
    assert proxy.get(uid).result_status.value == enums.ResultStatus.OPERATION_FAILED


def test_proxy_pair_and_mac(client):
    proxy = client.proxy
    common = core.TemplateAttribute(
        attributes=[
            attribute(AttributeType.CRYPTOGRAPHIC_ALGORITHM, CryptographicAlgorithm.RSA),
            attribute(AttributeType.CRYPTOGRAPHIC_LENGTH, 2048),
        ],
        tag=enums.Tags.COMMON_TEMPLATE_ATTRIBUTE,
    )
    half = lambda tag, mask: core.TemplateAttribute(
        attributes=[attribute(AttributeType.CRYPTOGRAPHIC_USAGE_MASK, [mask])], tag=tag
    )
    pair = succeeded(
        proxy.create_key_pair(
            common_template_attribute=common,
            private_key_template_attribute=half(enums.Tags.PRIVATE_KEY_TEMPLATE_ATTRIBUTE, MASK.SIGN),
            public_key_template_attribute=half(enums.Tags.PUBLIC_KEY_TEMPLATE_ATTRIBUTE, MASK.VERIFY),
        )
    )
    private, public = pair.private_key_uuid, pair.public_key_uuid
    for uid in (private, public):
        succeeded(proxy.activate(uid))
    parameters = core.attributes.CryptographicParameters(
        padding_method=PaddingMethod.PKCS1v15,
        hashing_algorithm=HashingAlgorithm.SHA_256,
        cryptographic_algorithm=CryptographicAlgorithm.RSA,
    )
    signed = succeeded(proxy.sign(b"signed below", private, parameters))
    for message, expected in ((b"signed below", "VALID"), (b"signed above", "INVALID")):
        verified = succeeded(proxy.signature_verify(message, signed["signature"], public, parameters))
        assert verified["validity_indicator"].name == expected

    value = os.urandom(64)
    algorithm = CryptographicAlgorithm.HMAC_SHA512
    key = objects.SymmetricKey(algorithm, 512, value, [MASK.MAC_GENERATE], unique("mac"))
    uid = client.register(key)
    succeeded(proxy.activate(uid))
    mac = core.attributes.CryptographicParameters(cryptographic_algorithm=algorithm)
    answered = succeeded(proxy.mac(b"authenticated", uid, mac))
    assert answered.mac_data.value == hmac.new(value, b"authenticated", hashlib.sha512).digest()


def test_proxy_rekey(client):
    proxy = client.proxy
    uid = succeeded(proxy.create(ObjectType.SYMMETRIC_KEY, aes_template(unique("proxy"), MASK.ENCRYPT))).uuid
    assert succeeded(proxy.rekey(uuid=uid))["unique_identifier"] != uid


@only(KMIPVersion.KMIP_1_2, KMIPVersion.KMIP_1_4)
def test_proxy_rekey_key_pair(client):
    # PyKMIP has no 2.0 form of this payload.
    public, private = key_pair(client, CryptographicAlgorithm.RSA, 2048)
    named = core.attributes.PrivateKeyUniqueIdentifier(private)
    answer = succeeded(client.proxy.rekey_key_pair(private_key_uuid=named))
    assert {answer.private_key_uuid, answer.public_key_uuid}.isdisjoint({public, private})


def test_proxy_knows_its_profiles(client):
    from kmip.core.enums import AuthenticationSuite, ConformanceClause

    proxy = client.proxy
    for clause in proxy.get_supported_conformance_clauses():
        for suite in proxy.get_supported_authentication_suites():
            assert proxy.is_profile_supported(clause, suite)
    assert proxy.is_conformance_clause_supported(ConformanceClause.DISCOVER_VERSIONS)
    assert proxy.is_authentication_suite_supported(AuthenticationSuite.BASIC)
