"""What real clients say, message by message, as their wire traces describe it.

No client library is involved: the messages are put together here, so that versions, batches, credentials and the order of
fields are those of the client that is named. Answers are read strictly.
"""

import concurrent.futures
import http.client
import ssl
import struct
import urllib.parse

import pytest

import ttlv
from material import unique
from ttlv import STRUCTURE, Node, data, enumeration, integer, item, structure, text

TOKENS = ("sim",)

# Tags and values: KMIP 1.0 §9.1.3 and its successors.
ATTRIBUTE, ATTRIBUTE_NAME, ATTRIBUTE_VALUE = 0x420008, 0x42000A, 0x42000B
TEMPLATE_ATTRIBUTE, COMMON_ATTRIBUTES = 0x420091, 0x42001F
PRIVATE_ATTRIBUTES, PUBLIC_ATTRIBUTES = 0x420065, 0x42006E
OBJECT_TYPE, UID, KEY_FORMAT_TYPE = 0x420057, 0x420094, 0x420042
PRIVATE_UID, PUBLIC_UID = 0x420066, 0x42006F
NAME_VALUE, NAME_TYPE = 0x420055, 0x420054
KEY_BLOCK, KEY_VALUE, KEY_MATERIAL = 0x420040, 0x420045, 0x420043
ALGORITHM, LENGTH = 0x420028, 0x42002A
SYMMETRIC_KEY, PUBLIC_KEY, PRIVATE_KEY, SECRET_DATA = 0x42008F, 0x42006D, 0x420064, 0x420085
SECRET_DATA_TYPE, REVOCATION_REASON, REVOCATION_REASON_CODE = 0x420086, 0x420081, 0x420082
MAXIMUM_ITEMS, QUERY_FUNCTION, VENDOR = 0x42004F, 0x420074, 0x42009D
AUTHENTICATION, CREDENTIAL, CREDENTIAL_TYPE, CREDENTIAL_VALUE = 0x42000C, 0x420023, 0x420024, 0x420025
USERNAME, PASSWORD, BATCH_ORDER = 0x420099, 0x4200A1, 0x420010
PARAMETERS, CIPHER_MODE, PADDING, RANDOM_IV = 0x42002B, 0x420011, 0x42005F, 0x4200C5
DATA, IV = 0x4200C2, 0x42003D
TAG_LENGTH, AUTH_TAG = 0x4200CE, 0x4200FF
BOOLEAN, DATE = 6, 9

CREATE, CREATE_KEY_PAIR, REGISTER, RE_KEY, LOCATE, GET = 0x01, 0x02, 0x03, 0x04, 0x08, 0x0A
GET_ATTRIBUTES, GET_ATTRIBUTE_LIST, ADD_ATTRIBUTE, MODIFY_ATTRIBUTE = 0x0B, 0x0C, 0x0D, 0x0E
ACTIVATE, REVOKE, DESTROY, QUERY, DISCOVER, ENCRYPT, DECRYPT = 0x12, 0x13, 0x14, 0x18, 0x1E, 0x1F, 0x20
TYPE_SYMMETRIC, TYPE_PUBLIC, TYPE_PRIVATE, TYPE_SECRET = 2, 3, 4, 7
AES, RSA, HMAC_SHA1, RAW, PASSWORD_SECRET = 3, 4, 7, 1, 1
SIGN, VERIFY, ENCRYPTS, MAC_GENERATE = 1, 2, 0xC, 0x80
PRE_ACTIVE, ACTIVE = 1, 2
CBC, GCM, PKCS5 = 1, 9, 3
CRYPTOGRAPHIC_FAILURE = 0x0A


def truth(tag: int, value: bool) -> bytes:
    return item(tag, BOOLEAN, struct.pack(">Q", value))


def attribute(name: str, value: bytes) -> bytes:
    return structure(ATTRIBUTE, text(ATTRIBUTE_NAME, name), value)


def named(name: str) -> bytes:
    value = structure(ATTRIBUTE_VALUE, text(NAME_VALUE, name), enumeration(NAME_TYPE, 1))
    return attribute("Name", value)


def algorithm(number: int) -> bytes:
    return attribute("Cryptographic Algorithm", enumeration(ATTRIBUTE_VALUE, number))


def length(bits: int) -> bytes:
    return attribute("Cryptographic Length", integer(ATTRIBUTE_VALUE, bits))


def mask(bits: int) -> bytes:
    return attribute("Cryptographic Usage Mask", integer(ATTRIBUTE_VALUE, bits))


def object_type(number: int) -> bytes:
    return attribute("Object Type", enumeration(ATTRIBUTE_VALUE, number))


def words(name: str, value: str) -> bytes:
    return attribute(name, text(ATTRIBUTE_VALUE, value))


def uid(value: str) -> bytes:
    return text(UID, value)


AES_256 = (algorithm(AES), length(256), mask(ENCRYPTS))
UNSPECIFIED = structure(REVOCATION_REASON, enumeration(REVOCATION_REASON_CODE, 1))


def block(material: bytes, *more: bytes) -> bytes:
    value = structure(KEY_VALUE, data(KEY_MATERIAL, material))
    return structure(KEY_BLOCK, enumeration(KEY_FORMAT_TYPE, RAW), value, *more)


def symmetric(material: bytes, number: int) -> bytes:
    said = (enumeration(ALGORITHM, number), integer(LENGTH, 8 * len(material)))
    return structure(SYMMETRIC_KEY, block(material, *said))


def template(*attributes: bytes) -> bytes:
    return structure(TEMPLATE_ATTRIBUTE, *attributes)


def material_of(payload: Node, tag: int = SYMMETRIC_KEY) -> bytes:
    return payload.one(tag).one(KEY_BLOCK).one(KEY_VALUE).one(KEY_MATERIAL).value


def attributes_of(payload: Node) -> dict[str, list]:
    found: dict[str, list] = {}
    for each in payload.all(ATTRIBUTE):
        value = each.one(ATTRIBUTE_VALUE)
        found.setdefault(each.one(ATTRIBUTE_NAME).value, []).append(
            value.one(NAME_VALUE).value if value.kind == STRUCTURE and value.has(NAME_VALUE) else value.value
        )
    return found


class Client:
    """A client of one version on a connection of its own."""

    def __init__(self, gateway, version: tuple[int, int]):
        tls = [gateway.tls(name) for name in ("ca.pem", "client.pem", "client.key")]
        self.version, self.connection = version, ttlv.Connection(gateway.kmip, *tls)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.connection.__exit__()

    def exchange(self, raw: bytes) -> list[ttlv.Result]:
        return self.connection.ask(raw)

    def batch(self, *items: bytes, more: tuple[bytes, ...] = ()) -> list[ttlv.Result]:
        return self.exchange(ttlv.message(*items, version=self.version, more=more))

    def ask(self, operation: int, *payload: bytes) -> Node:
        """One operation that succeeds."""
        (found,) = self.batch(ttlv.batch_item(operation, *payload))
        assert (found.operation, found.status) == (operation, ttlv.SUCCESS), found
        return found.payload

    def refused(self, operation: int, *payload: bytes) -> int:
        """One operation that fails: its reason."""
        (found,) = self.batch(ttlv.batch_item(operation, *payload))
        assert found.status == ttlv.FAILED, found
        return found.reason

    def make(self, operation: int, *payload: bytes) -> str:
        return self.ask(operation, *payload).one(UID).value

    def create_aes(self, *more: bytes) -> str:
        return self.make(CREATE, enumeration(OBJECT_TYPE, TYPE_SYMMETRIC), template(*AES_256, *more))

    def locate(self, *conditions: bytes) -> list[str]:
        return [found.value for found in self.ask(LOCATE, *conditions).all(UID)]

    def revoke_and_destroy(self, key: str) -> None:
        self.ask(REVOKE, uid(key), UNSPECIFIED)
        self.ask(DESTROY, uid(key))
        assert self.refused(GET, uid(key)) == ttlv.ITEM_NOT_FOUND


class Https(Client):
    """The same over HTTPS, in TTLV."""

    def __init__(self, gateway, version: tuple[int, int]):
        url = urllib.parse.urlsplit(gateway.addresses["kmip_https"])
        context = ssl.create_default_context(cafile=gateway.tls("ca.pem"))
        context.load_cert_chain(gateway.tls("client.pem"), gateway.tls("client.key"))
        self.version, self.path = version, url.path
        self.http = http.client.HTTPSConnection(url.hostname, url.port, timeout=60, context=context)

    def __exit__(self, *_error):
        self.http.close()

    def exchange(self, raw: bytes) -> list[ttlv.Result]:
        self.http.request("POST", self.path, raw, {"Content-Type": "application/octet-stream"})
        answer = self.http.getresponse()
        assert (answer.status, answer.getheader("content-type")) == (200, "application/octet-stream")
        (found,) = ttlv.parse(answer.read())
        return [ttlv.result(each) for each in found.all(ttlv.BATCH_ITEM)]


def query(*functions: int) -> tuple[bytes, ...]:
    return tuple(enumeration(QUERY_FUNCTION, function) for function in functions)


def test_vcenter_never_activates_its_keys(gateway):
    def one_host(_number: int) -> None:
        with Client(gateway, (1, 1)) as client:
            client.ask(DISCOVER)
            said = client.ask(QUERY, *query(1, 2, 3))
            operations = {found.value for found in said.all(ttlv.OPERATION)}
            assert {CREATE, GET, GET_ATTRIBUTES, ADD_ATTRIBUTE} <= operations
            key = client.create_aes()
            assert attributes_of(client.ask(GET_ATTRIBUTES, uid(key)))["State"] == [PRE_ACTIVE]
            for name, value in [("x-Product_Version", "8.0.3"), ("x-Vendor", "VMware, Inc."), ("x-Product", "vCenter")]:
                echoed = client.ask(ADD_ATTRIBUTE, uid(key), words(name, value))
                assert attributes_of(echoed) == {name: [value]}
            assert attributes_of(client.ask(GET_ATTRIBUTES, uid(key)))["x-Vendor"] == ["VMware, Inc."]
            assert len(material_of(client.ask(GET, uid(key)))) == 32

    with concurrent.futures.ThreadPoolExecutor(20) as hosts:
        for done in [hosts.submit(one_host, number) for number in range(40)]:
            done.result()


def test_veeam_destroys_a_pair_that_was_never_active(gateway):
    with Client(gateway, (1, 4)) as client:
        pair = client.ask(
            CREATE_KEY_PAIR,
            structure(COMMON_ATTRIBUTES, algorithm(RSA), length(2048)),
            structure(PRIVATE_ATTRIBUTES, mask(SIGN)),
            structure(PUBLIC_ATTRIBUTES, mask(VERIFY)),
        )
        private, public = pair.one(PRIVATE_UID).value, pair.one(PUBLIC_UID).value
        assert material_of(client.ask(GET, uid(public)), PUBLIC_KEY)
        assert material_of(client.ask(GET, uid(private)), PRIVATE_KEY)
        for key in (private, public):
            client.ask(DESTROY, uid(key))
            assert client.refused(GET, uid(key)) == ttlv.ITEM_NOT_FOUND


def test_vast_over_https(gateway):
    with Https(gateway, (1, 4)) as client:
        client.ask(DISCOVER)
        name = unique("vast")
        key = client.create_aes()
        for added in (named(name), words("Object Group", "vast"), words("Operation Policy Name", "default")):
            client.ask(ADD_ATTRIBUTE, uid(key), added)
        client.ask(ACTIVATE, uid(key))
        assert client.locate(named(name)) == [key]
        first = material_of(client.ask(GET, uid(key)))
        asked = [text(ATTRIBUTE_NAME, wanted) for wanted in ("State", "Activation Date", "Operation Policy Name")]
        found = attributes_of(client.ask(GET_ATTRIBUTES, uid(key), *asked))
        assert found["State"] == [ACTIVE] and found["Activation Date"] and found["Operation Policy Name"] == ["default"]
        newer = client.make(RE_KEY, uid(key))
        assert newer != key
        assert client.locate(named(name)) == [newer], "the name moves to the new key"
        assert material_of(client.ask(GET, uid(newer))) != first
        assert material_of(client.ask(GET, uid(key))) == first
        for each in (key, newer):
            if attributes_of(client.ask(GET_ATTRIBUTES, uid(each), asked[0]))["State"] == [ACTIVE]:
                client.ask(REVOKE, uid(each), UNSPECIFIED)
            client.ask(DESTROY, uid(each))


# What 1.3 and 1.4 added: a client of 1.2 does not know these names.
LATER = {"Random Number Generator", "Sensitive", "Always Sensitive", "Extractable", "Never Extractable", "Comment",
         "Description", "PKCS#12 Friendly Name"}  # fmt: skip


def test_synology_sees_nothing_newer_than_it_is(gateway):
    with Client(gateway, (1, 2)) as client:
        for functions in ((1,), (2,), (3,), (1, 2)):
            client.ask(QUERY, *query(*functions))
        name, other = unique("dsm"), unique("dsm")
        assert client.locate(named(name)) == []
        secret = structure(SECRET_DATA, enumeration(SECRET_DATA_TYPE, PASSWORD_SECRET), block(b"volume passphrase"))
        attributes = template(named(other), mask(0), words("Operation Policy Name", "default"))
        key = client.make(REGISTER, enumeration(OBJECT_TYPE, TYPE_SECRET), attributes, secret)
        client.ask(MODIFY_ATTRIBUTE, uid(key), named(name))
        assert client.locate(named(name)) == [key] and client.locate(named(other)) == []
        client.ask(ACTIVATE, uid(key))
        listed = {found.value for found in client.ask(GET_ATTRIBUTE_LIST, uid(key)).all(ATTRIBUTE_NAME)}
        assert "Operation Policy Name" in listed and not listed & LATER
        found = attributes_of(client.ask(GET_ATTRIBUTES, uid(key)))
        assert found["Name"] == [name] and not set(found) & LATER
        assert material_of(client.ask(GET, uid(key)), SECRET_DATA) == b"volume passphrase"
        client.revoke_and_destroy(key)


def test_fortios_asks_in_batches_with_a_credential(gateway):
    proof = structure(CREDENTIAL_VALUE, text(USERNAME, "forti"), text(PASSWORD, "gate"))
    credential = structure(AUTHENTICATION, structure(CREDENTIAL, enumeration(CREDENTIAL_TYPE, 1), proof))
    more = (credential, truth(BATCH_ORDER, True))
    keys = {}
    with Client(gateway, (1, 0)) as client:
        for kind, bits, number in ((MAC_GENERATE, 160, HMAC_SHA1), (ENCRYPTS, 256, AES)) * 2:
            name = unique("vpn-tunnel")
            value = bytes([len(keys)]) * (bits // 8)
            attributes = template(named(name), algorithm(number), length(bits), mask(kind))
            key = client.make(
                REGISTER, enumeration(OBJECT_TYPE, TYPE_SYMMETRIC), attributes, symmetric(value, number)
            )
            keys[name] = (key, number, bits, kind, value)
        located = client.batch(
            *(
                ttlv.batch_item(
                    LOCATE,
                    integer(MAXIMUM_ITEMS, 1),
                    named(name),
                    algorithm(number),
                    length(bits),
                    mask(kind),
                    identifier=bytes([place]),
                )
                for place, (name, (_, number, bits, kind, _)) in enumerate(keys.items())
            ),
            more=more,
        )
        assert [found.payload.one(UID).value for found in located] == [key for key, *_ in keys.values()]
        got = client.batch(
            *(ttlv.batch_item(GET, uid(key), identifier=bytes([place])) for place, (key, *_) in enumerate(keys.values())),
            more=more,
        )
        assert [material_of(found.payload) for found in got] == [value for *_, value in keys.values()]
        name = next(iter(keys))
        for wrong in (name[:-1], name + "x", name.upper()):
            assert client.locate(named(wrong)) == [], "names match exactly"


def test_mysql_keyring(gateway):
    with Client(gateway, (1, 1)) as client:
        key = client.create_aes(named(unique("mysql")))
        client.ask(ACTIVATE, uid(key))
        assert len(material_of(client.ask(GET, uid(key)))) == 32
        client.revoke_and_destroy(key)


def test_percona_keyring(gateway):
    with Client(gateway, (1, 4)) as client:
        name, value = unique("percona"), bytes(range(32))
        attributes = template(*AES_256, named(name))
        key = client.make(REGISTER, enumeration(OBJECT_TYPE, TYPE_SYMMETRIC), attributes, symmetric(value, AES))
        assert client.locate(object_type(TYPE_SYMMETRIC), named(name)) == [key]
        assert material_of(client.ask(GET, uid(key))) == value
        client.ask(ACTIVATE, uid(key))
        client.revoke_and_destroy(key)
        assert client.locate(object_type(TYPE_SYMMETRIC), named(name)) == []


def test_mongodb_master_key(gateway):
    with Client(gateway, (1, 0)) as client:
        name = unique("mongod")
        key = client.create_aes(named(name))
        assert client.locate(named(name)) == [key]
        assert len(material_of(client.ask(GET, uid(key)))) == 32
        client.ask(DESTROY, uid(key))


CBC_PKCS5 = structure(PARAMETERS, enumeration(CIPHER_MODE, CBC), enumeration(PADDING, PKCS5))


@pytest.mark.parametrize("version", [(1, 2), (1, 4)], ids=["1.2", "1.4"])
def test_data_keys_are_wrapped_by_encrypt(gateway, version):
    """EDB Postgres and recent MongoDB: Encrypt answers with the IV, Decrypt gets it beside the data."""
    with Client(gateway, version) as client:
        key = client.create_aes()
        client.ask(ACTIVATE, uid(key))
        data_key = bytes(range(64))
        said = client.ask(ENCRYPT, uid(key), CBC_PKCS5, data(DATA, data_key))
        sealed, vector = said.one(DATA).value, said.one(IV).value
        assert len(vector) == 16 and len(sealed) == 80
        opened = client.ask(DECRYPT, uid(key), CBC_PKCS5, data(DATA, sealed), data(IV, vector))
        assert opened.one(DATA).value == data_key
        # The other variant keeps IV and data in one string of its own and takes them apart before it asks.
        kept = vector + sealed
        opened = client.ask(DECRYPT, uid(key), CBC_PKCS5, data(DATA, kept[16:]), data(IV, kept[:16]))
        assert opened.one(DATA).value == data_key
        assert client.refused(DECRYPT, uid(key), CBC_PKCS5, data(DATA, sealed)) == ttlv.INVALID_MESSAGE
        client.ask(REVOKE, uid(key), UNSPECIFIED)
        opened = client.ask(DECRYPT, uid(key), CBC_PKCS5, data(DATA, sealed), data(IV, vector))
        assert opened.one(DATA).value == data_key, "what was sealed stays readable"


@pytest.mark.parametrize("version", [(1, 2), (1, 3)], ids=["1.2", "1.3"])
def test_a_tag_stands_behind_the_data_before_1_4(gateway, version):
    """1.4 gave the authentication tag a field; without one, what GCM has encrypted must still be decrypted again."""
    with Client(gateway, version) as client, Client(gateway, (1, 4)) as newer:
        key = client.create_aes()
        client.ask(ACTIVATE, uid(key))
        parameters = structure(PARAMETERS, enumeration(CIPHER_MODE, GCM), integer(TAG_LENGTH, 12))
        nonce, plain = bytes(range(12)), b"attack at dawn"
        said = client.ask(ENCRYPT, uid(key), parameters, data(DATA, plain), data(IV, nonce))
        assert not said.has(AUTH_TAG)
        # Some tokens make the IV themselves, whatever they are given.
        nonce = said.one(IV).value if said.has(IV) else nonce
        sealed = said.one(DATA).value
        assert len(sealed) == len(plain) + 12
        opened = client.ask(DECRYPT, uid(key), parameters, data(DATA, sealed), data(IV, nonce))
        assert opened.one(DATA).value == plain
        # The two forms are one.
        apart = (data(DATA, sealed[:-12]), data(IV, nonce), data(AUTH_TAG, sealed[-12:]))
        assert newer.ask(DECRYPT, uid(key), parameters, *apart).one(DATA).value == plain
        for wrong in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:11], b""):
            refused = client.refused(DECRYPT, uid(key), parameters, data(DATA, wrong), data(IV, nonce))
            assert refused == CRYPTOGRAPHIC_FAILURE
        client.revoke_and_destroy(key)

def test_swift_keymaster_looks_at_its_root_secret(gateway):
    with Client(gateway, (1, 2)) as client:
        key = client.create_aes()
        asked = [text(ATTRIBUTE_NAME, wanted) for wanted in ("Cryptographic Algorithm", "Cryptographic Length")]
        found = attributes_of(client.ask(GET_ATTRIBUTES, uid(key), *asked))
        assert found == {"Cryptographic Algorithm": [AES], "Cryptographic Length": [256]}
        once, again = (material_of(client.ask(GET, uid(key))) for _ in range(2))
        assert once == again and len(once) == 32


def test_ceph_gateway_finds_keys_by_name(gateway):
    names = [unique("rgw-bucket") for _ in range(3)]
    with Client(gateway, (1, 0)) as maker:
        keys = [maker.create_aes(named(name)) for name in names]
    with Client(gateway, (1, 0)) as client:
        for name, key in zip(names, keys):
            assert client.locate(named(name)) == [key]
            assert len(material_of(client.ask(GET, uid(key)))) == 32
        assert client.locate(named(unique("rgw-bucket"))) == []
