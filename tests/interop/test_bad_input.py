"""What no client should send, over the wire: the gateway answers as the contracts word it, and goes on serving."""

import base64
import itertools
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import time

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

import material
import portcullis
import ttlv
from ttlv import Connection

UNKNOWN = "00000000-0000-4000-8000-000000000000"
VERSIONS = ((1, 0), (1, 2), (1, 4), (2, 0), (2, 1))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway with short time-outs: the configuration that `dev` wrote, with lines of ours."""
    folder = tmp_path_factory.mktemp("bad-input") / "dev"
    command = portcullis.dev_command(folder)
    with portcullis.running(command, folder):
        pass
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("[kmip]\n", "[kmip]\nmessage_seconds = 2\nidle_seconds = 4\n", 1))
    with portcullis.running(command, folder) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def still_serves(gateway):
    """After every test, both protocols answer."""
    yield
    assert gateway.process.poll() is None, gateway.errors()
    with enrolled(gateway) as connection:
        (found,) = connection.ask(ttlv.discover())
        assert found.status == ttlv.SUCCESS
    assert requests.get(gateway.rest, timeout=60).status_code == 300
    assert "panicked" not in gateway.log.read_text(errors="replace")


def enrolled(gateway, **named) -> Connection:
    """A connection of the client that `dev` enrols."""
    return Connection(
        gateway.kmip, gateway.tls("ca.pem"), gateway.tls("client.pem"), gateway.tls("client.key"), **named
    )


def handshake_failures(gateway, reason: str) -> float:
    """What the metric counts for a reason on the KMIP listener."""
    total = 0.0
    for line in requests.get(f"{gateway.ops}/metrics", timeout=60).text.splitlines():
        if (
            line.startswith("portcullis_tls_handshake_failures_total")
            and f'reason="{reason}"' in line
            and '"kmip"' in line
        ):
            total += float(line.rsplit(" ", 1)[1])
    return total


# Who may come in


def test_plain_http_on_the_kmip_port(gateway):
    before = handshake_failures(gateway, "not-tls")
    with socket.create_connection(gateway.kmip, timeout=60) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: kmip\r\n\r\n")
        answer = b""
        while more := plain.recv(4096):
            answer += more
    assert b"HTTP" not in answer
    # A TLS alert, or nothing.
    assert answer[:1] in (b"", b"\x15")
    assert handshake_failures(gateway, "not-tls") == before + 1


def test_plain_ttlv_on_the_kmip_port(gateway):
    with socket.create_connection(gateway.kmip, timeout=60) as plain:
        plain.sendall(ttlv.discover())
        answer = b""
        while more := plain.recv(4096):
            answer += more
    assert answer[:1] in (b"", b"\x15")


def refused_handshake(gateway, reason: str, certificate=None, key=None) -> None:
    """TLS 1.3 tells a client that its certificate is refused with the first bytes it reads."""
    before = handshake_failures(gateway, reason)
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        with Connection(gateway.kmip, gateway.tls("ca.pem"), certificate, key) as connection:
            connection.ask(ttlv.discover())
    assert handshake_failures(gateway, reason) == before + 1


def write_identity(folder, certificate, key) -> tuple[str, str]:
    """A certificate and its key as files."""
    paths = folder / "c.pem", folder / "k.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(material.private_key(Encoding.PEM, key=key))
    return str(paths[0]), str(paths[1])


def dev_ca(gateway):
    """The CA of this gateway, with its key."""
    authority = x509.load_pem_x509_certificate((gateway.folder / "tls/ca.pem").read_bytes())
    return authority, load_pem_private_key((gateway.folder / "tls/ca.key").read_bytes(), None)


def test_no_client_certificate(gateway):
    refused_handshake(gateway, "no-certificate")


def test_expired_client_certificate(gateway, tmp_path):
    authority, authority_key = dev_ca(gateway)
    key = ec.generate_private_key(ec.SECP256R1())
    expired = material.issue("expired", key, authority, authority_key, days=(-30, -1))
    refused_handshake(gateway, "certificate-expired", *write_identity(tmp_path, expired, key))


def test_client_certificate_that_is_not_valid_yet(gateway, tmp_path):
    authority, authority_key = dev_ca(gateway)
    key = ec.generate_private_key(ec.SECP256R1())
    early = material.issue("early", key, authority, authority_key, days=(1, 30))
    refused_handshake(gateway, "certificate-not-yet-valid", *write_identity(tmp_path, early, key))


def test_client_certificate_from_another_authority(gateway, tmp_path):
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = material.issue("another authority", authority_key)
    certificate = material.issue("demo", key, authority, authority_key)
    refused_handshake(gateway, "certificate-unknown-issuer", *write_identity(tmp_path, certificate, key))


def test_client_certificate_that_only_claims_the_issuer(gateway, tmp_path):
    authority, _ = dev_ca(gateway)
    key = ec.generate_private_key(ec.SECP256R1())
    forged = material.issue("demo", key, authority, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        with Connection(gateway.kmip, gateway.tls("ca.pem"), *write_identity(tmp_path, forged, key)) as connection:
            connection.ask(ttlv.discover())


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_valid_certificate_that_is_not_enrolled(gateway, tmp_path, version):
    authority, authority_key = dev_ca(gateway)
    key = ec.generate_private_key(ec.SECP256R1())
    stranger = material.issue("demo", key, authority, authority_key)
    with Connection(gateway.kmip, gateway.tls("ca.pem"), *write_identity(tmp_path, stranger, key)) as connection:
        for request in (ttlv.get(UNKNOWN, version=version), ttlv.message(ttlv.batch_item(ttlv.QUERY), version=version)):
            found = connection.ask(request)
            assert [(each.status, each.reason, each.payload) for each in found] == [
                (ttlv.FAILED, ttlv.AUTHENTICATION_NOT_SUCCESSFUL, None)
            ]


def test_tls_1_1_is_refused(gateway):
    if not shutil.which("openssl"):
        pytest.skip("skipped, because there is no openssl command")
    host, port = gateway.kmip
    tried = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        input=b"",
        capture_output=True,
        timeout=120,
    )
    assert tried.returncode != 0
    assert b"Cipher is (NONE)" in tried.stdout


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), ids=str)
def test_tls_1_2_and_1_3_are_spoken(gateway, version):
    context = ssl.create_default_context(cafile=gateway.tls("ca.pem"))
    context.load_cert_chain(gateway.tls("client.pem"), gateway.tls("client.key"))
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(gateway.kmip, timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall(ttlv.discover())
        assert tls.recv(8)[:3] == ttlv.RESPONSE_MESSAGE.to_bytes(3, "big")


# Frames


@pytest.mark.parametrize(
    "head",
    (
        bytes(8),
        b"\xff" * 8,
        b"GET / HT",
        # A response, a request of another type, a request with a length that no message may have.
        struct.pack(">I", ttlv.RESPONSE_MESSAGE << 8 | ttlv.STRUCTURE) + struct.pack(">I", 8),
        struct.pack(">I", ttlv.REQUEST_MESSAGE << 8 | ttlv.TEXT) + struct.pack(">I", 8),
        struct.pack(">I", ttlv.REQUEST_MESSAGE << 8 | ttlv.STRUCTURE) + struct.pack(">I", 1 << 30),
        struct.pack(">I", ttlv.REQUEST_MESSAGE << 8 | ttlv.STRUCTURE) + struct.pack(">I", 0xFFFF_FFFF),
    ),
    ids=("zeros", "ones", "http", "response", "text", "1 GiB", "4 GiB"),
)
def test_what_is_no_request_closes_the_connection(gateway, head):
    with enrolled(gateway) as connection:
        connection.send(head)
        assert connection.closed()


def test_zero_length_message_is_answered(gateway):
    with enrolled(gateway) as connection:
        (found,) = connection.ask(ttlv.structure(ttlv.REQUEST_MESSAGE))
        assert (found.status, found.reason) == (ttlv.FAILED, ttlv.INVALID_MESSAGE)
        # The framing was sound, so the connection stays.
        assert connection.ask(ttlv.discover())[0].status == ttlv.SUCCESS


def test_truncated_message_waits_and_is_closed(gateway):
    request = ttlv.discover()
    with enrolled(gateway) as connection:
        connection.send(request[:-9])
        started = time.monotonic()
        assert connection.closed()
        assert 1 < time.monotonic() - started < 60


def test_slow_sender_is_closed(gateway):
    """A byte now and then does not buy time: the whole message has to come."""
    with enrolled(gateway) as connection:
        started = time.monotonic()
        try:
            for byte in ttlv.discover():
                connection.send(bytes([byte]))
                time.sleep(0.3)
            closed = connection.closed()
        except (ConnectionError, ssl.SSLError):
            closed = True
        assert closed
        # Were each byte given two seconds, it would be half an hour.
        assert time.monotonic() - started < 90


def test_byte_by_byte_is_fine_when_it_is_fast(gateway):
    with enrolled(gateway) as connection:
        for byte in ttlv.discover():
            connection.send(bytes([byte]))
        assert connection.receive()[:3] == ttlv.RESPONSE_MESSAGE.to_bytes(3, "big")


def test_silent_client_is_closed(gateway):
    with enrolled(gateway) as connection:
        started = time.monotonic()
        assert connection.closed()
        assert 3 < time.monotonic() - started < 60


def test_client_that_leaves_in_the_middle(gateway):
    for cut in (1, 7, 8, 9, 40):
        with enrolled(gateway) as connection:
            connection.send(ttlv.discover()[:cut])


def test_requests_that_arrive_together_are_answered_in_order(gateway):
    with enrolled(gateway) as connection:
        connection.send(b"".join(ttlv.discover(version=version) for version in VERSIONS * 4))
        buffered = b""
        for version in VERSIONS * 4:
            while len(buffered) < 8 or len(buffered) < 8 + struct.unpack(">I", buffered[4:8])[0]:
                buffered += connection.socket.recv(65536)
            end = 8 + struct.unpack(">I", buffered[4:8])[0]
            # 1.0 has no Discover Versions; the answer's version is the request's all the same.
            assert ttlv.protocol_version(buffered[:end]) == version
            buffered = buffered[end:]
        assert not buffered


# Items


def broken_bodies():
    good = ttlv.discover()
    inner = good[8:]
    head = ttlv.header((1, 2), 1)
    wrap = lambda *items: ttlv.structure(ttlv.REQUEST_MESSAGE, *items)
    deep = b""
    for _ in range(64):
        deep = ttlv.structure(ttlv.REQUEST_PAYLOAD, deep)
    operation = ttlv.enumeration(ttlv.OPERATION, ttlv.GET)
    payload = lambda *items: ttlv.structure(ttlv.BATCH_ITEM, operation, ttlv.structure(ttlv.REQUEST_PAYLOAD, *items))
    return {
        "child longer than its parent": wrap(
            head, ttlv.item(ttlv.BATCH_ITEM, ttlv.STRUCTURE, operation, length=1 << 30)
        ),
        "child of zero length with bytes": wrap(head, ttlv.item(ttlv.OPERATION, ttlv.ENUMERATION, b"", length=0)),
        "integer of three bytes": wrap(head, payload(ttlv.item(ttlv.UNIQUE_IDENTIFIER, ttlv.INTEGER, b"abc"))),
        "integer of eight bytes": wrap(
            ttlv.structure(ttlv.REQUEST_HEADER, ttlv.item(ttlv.BATCH_COUNT, ttlv.INTEGER, bytes(8))), payload()
        ),
        "boolean that is two": wrap(head, payload(ttlv.item(0x420007, ttlv.BOOLEAN, struct.pack(">Q", 2)))),
        "text that is not utf-8": wrap(head, payload(ttlv.item(ttlv.UNIQUE_IDENTIFIER, ttlv.TEXT, b"\xff\xfe\xfd"))),
        "unknown type": wrap(head, payload(ttlv.item(ttlv.UNIQUE_IDENTIFIER, 0x2A, b"abcdefgh"))),
        "type zero": wrap(head, payload(ttlv.item(ttlv.UNIQUE_IDENTIFIER, 0, b"abcdefgh"))),
        "structure of seven bytes": wrap(head, ttlv.item(ttlv.BATCH_ITEM, ttlv.STRUCTURE, b"1234567")),
        "no header": wrap(payload()),
        "no batch item": wrap(ttlv.header((1, 2), 1)),
        "batch count too high": wrap(ttlv.header((1, 2), 2), ttlv.batch_item(ttlv.DISCOVER_VERSIONS)),
        "batch count negative": wrap(ttlv.header((1, 2), -1), ttlv.batch_item(ttlv.DISCOVER_VERSIONS)),
        "header twice": wrap(head, head, ttlv.batch_item(ttlv.DISCOVER_VERSIONS)),
        "nested 64 deep": wrap(head, ttlv.structure(ttlv.BATCH_ITEM, operation, deep)),
        "identifier as a structure": wrap(head, payload(ttlv.structure(ttlv.UNIQUE_IDENTIFIER, operation))),
        "operation as text": wrap(head, ttlv.structure(ttlv.BATCH_ITEM, ttlv.text(ttlv.OPERATION, "Get"))),
        "no operation": wrap(head, ttlv.structure(ttlv.BATCH_ITEM, ttlv.structure(ttlv.REQUEST_PAYLOAD))),
        "inner length beyond the message": ttlv.item(
            ttlv.REQUEST_MESSAGE, ttlv.STRUCTURE, inner[:4] + b"\x7f" + inner[5:]
        ),
        "random bytes": ttlv.item(ttlv.REQUEST_MESSAGE, ttlv.STRUCTURE, bytes(range(200))),
    }


@pytest.mark.parametrize("fault", broken_bodies())
def test_broken_body_is_an_invalid_message_and_the_connection_stays(gateway, fault):
    with enrolled(gateway) as connection:
        (found,) = connection.ask(broken_bodies()[fault])
        assert found.status == ttlv.FAILED
        assert found.reason == ttlv.INVALID_MESSAGE, found
        assert found.payload is None
        assert connection.ask(ttlv.discover())[0].status == ttlv.SUCCESS


def test_every_cut_of_a_message_is_answered(gateway):
    """The frame says how much there is; what is inside may end anywhere."""
    whole = ttlv.get(UNKNOWN)
    with enrolled(gateway) as connection:
        for end in range(8, len(whole), 8):
            cut = ttlv.item(ttlv.REQUEST_MESSAGE, ttlv.STRUCTURE, whole[8:end])
            (found,) = connection.ask(cut)
            assert found.status == ttlv.FAILED, end


def test_every_flipped_byte_is_answered(gateway):
    """Two bits of each byte of the body; any answer will do, as long as there is one."""
    whole = ttlv.get(UNKNOWN)
    with enrolled(gateway) as connection:
        for place, flip in itertools.product(range(8, len(whole)), (0x01, 0x80)):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            found = connection.ask(bytes(damaged))
            assert all(each.status == ttlv.FAILED for each in found), (place, flip, found)


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_unknown_identifier(gateway, version):
    expected = {ttlv.ITEM_NOT_FOUND} if version < (2, 0) else {ttlv.OBJECT_NOT_FOUND}
    with enrolled(gateway) as connection:
        for uid in (UNKNOWN, "", "no uuid at all", "x" * 60_000, "\N{LOCK}", "../../etc/passwd"):
            (found,) = connection.ask(ttlv.get(uid, version=version))
            assert (found.status, found.operation) == (ttlv.FAILED, ttlv.GET)
            assert found.reason in expected, (uid[:20], found)


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_unknown_operation(gateway, version):
    with enrolled(gateway) as connection:
        (found,) = connection.ask(ttlv.message(ttlv.batch_item(0x7FFF), version=version))
        assert (found.status, found.reason) == (ttlv.FAILED, ttlv.OPERATION_NOT_SUPPORTED)


@pytest.mark.parametrize("version", ((0, 0), (0, 9), (4, 0), (9, 9)), ids=str)
def test_unknown_major_version(gateway, version):
    with enrolled(gateway) as connection:
        connection.send(ttlv.discover(version=version))
        answer = connection.receive()
        (major, minor) = ttlv.protocol_version(answer)
        assert (2, 1) <= (major, minor) <= (3, 0)
        (found,) = ttlv.parse(answer)
        said = ttlv.result(found.one(ttlv.BATCH_ITEM))
        # Before 2.0 there was no reason of its own for it.
        expected = ttlv.INVALID_MESSAGE if version < (2, 0) else ttlv.UNSUPPORTED_PROTOCOL_VERSION
        assert (said.status, said.reason) == (ttlv.FAILED, expected)


def test_unknown_field_is_refused(gateway):
    with enrolled(gateway) as connection:
        (found,) = connection.ask(ttlv.message(ttlv.batch_item(ttlv.GET, ttlv.text(0x42FFFF, "?"))))
        assert found.status == ttlv.FAILED


def test_answer_larger_than_asked_for(gateway):
    more = (ttlv.integer(ttlv.MAXIMUM_RESPONSE_SIZE, 128),)
    query = ttlv.batch_item(ttlv.QUERY, ttlv.enumeration(0x420074, 1), ttlv.enumeration(0x420074, 2))
    with enrolled(gateway) as connection:
        (found,) = connection.ask(ttlv.message(query, more=more))
        assert (found.status, found.reason, found.payload) == (ttlv.FAILED, ttlv.RESPONSE_TOO_LARGE, None)


def test_too_many_items(gateway):
    items = [ttlv.batch_item(ttlv.DISCOVER_VERSIONS, identifier=struct.pack(">I", index)) for index in range(1025)]
    with enrolled(gateway) as connection:
        found = connection.ask(ttlv.message(*items))
        assert len(found) == 1
        assert (found[0].status, found[0].reason) == (ttlv.FAILED, ttlv.INVALID_MESSAGE)
        found = connection.ask(ttlv.message(*items[:1024]))
        assert [each.status for each in found] == [ttlv.SUCCESS] * 1024


# REST


def post(gateway, body: bytes, content_type: str | None = "application/json", path: str = "secrets", **headers):
    """A POST with a body as it is."""
    sent = {"X-Project-Id": "bad-input", **headers}
    if content_type:
        sent["Content-Type"] = content_type
    return requests.post(f"{gateway.rest}/v1/{path}", data=body, headers=sent, timeout=120)


def said(answer) -> dict:
    """The body of an error."""
    body = answer.json()
    assert body["code"] == answer.status_code
    return body


@pytest.mark.parametrize(
    "body",
    (
        b"",
        b"{",
        b"\xff\xfe{}",
        b'{"name": "\xe9"}',
        b'{"name": "\xed\xa0\x80"}',
        b"[" * 10_000,
        b'{"name": ' + b"1" * 5_000,
        b'{"name": NaN}',
        b"\0",
    ),
    ids=("empty", "cut short", "bom", "latin-1", "surrogate", "deep", "endless", "nan", "nul"),
)
@pytest.mark.parametrize("path", ("secrets", "orders", "containers"))
def test_body_that_is_no_json(gateway, path, body):
    answer = post(gateway, body, path=path)
    assert answer.status_code == 400
    said(answer)


@pytest.mark.parametrize("body", (b"[]", b"null", b'"text"', b"1"))
@pytest.mark.parametrize("path", ("secrets", "orders", "containers"))
def test_json_of_the_wrong_shape(gateway, path, body):
    answer = post(gateway, body, path=path)
    assert answer.status_code == 400
    said(answer)


def test_body_too_large_is_400(gateway):
    for size in (25_001, 1_000_000):
        body = json.dumps({"name": "x"}).encode()
        answer = post(gateway, body + b" " * (size - len(body)))
        assert answer.status_code == 400
        assert said(answer)["description"] == "Malformed JSON"
    assert post(gateway, body + b" " * (25_000 - len(body))).status_code == 201


def test_payload_too_large_is_413(gateway):
    text = {"payload_content_type": "text/plain"}
    answer = post(gateway, json.dumps({"payload": "x" * 20_001, **text}).encode())
    assert answer.status_code == 413
    assert said(answer)["description"] == "Provided information too large to process"
    assert post(gateway, json.dumps({"payload": "x" * 20_000, **text}).encode()).status_code == 201


def put(gateway, reference: str, body: bytes, content_type: str, **headers):
    return requests.put(
        reference, data=body, headers={"X-Project-Id": "bad-input", "Content-Type": content_type, **headers}, timeout=120
    )


def test_second_step(gateway):
    reference = post(gateway, b"{}").json()["secret_ref"]
    assert put(gateway, reference, b"x" * 20_001, "text/plain").status_code == 413
    assert put(gateway, reference, b"", "text/plain").status_code == 400
    assert put(gateway, reference, b"x", "application/json").status_code == 415
    assert put(gateway, reference, b"x", "application/pkcs8").status_code == 415
    answer = put(gateway, reference, b"not!base64", "application/octet-stream", **{"Content-Encoding": "base64"})
    assert answer.status_code == 400
    assert put(gateway, reference, b"\xff\xfe", "application/octet-stream").status_code == 204
    assert put(gateway, reference, b"again", "text/plain").status_code == 409


@pytest.mark.parametrize("payload", ("a", "abc", "====", "a b c", "YWJj!", "YWJj\u00e4", "YQ==YQ=="))
def test_payload_that_is_no_base64(gateway, payload):
    answer = post(
        gateway,
        json.dumps(
            {
                "payload": payload,
                "payload_content_type": "application/octet-stream",
                "payload_content_encoding": "base64",
            }
        ).encode(),
    )
    assert answer.status_code == 400
    said(answer)


def test_base64_with_line_breaks_is_fine(gateway):
    value = os.urandom(200)
    answer = post(
        gateway,
        json.dumps(
            {
                "payload": base64.encodebytes(value).decode(),
                "payload_content_type": "application/octet-stream",
                "payload_content_encoding": "base64",
            }
        ).encode(),
    )
    assert answer.status_code == 201
    found = requests.get(answer.json()["secret_ref"] + "/payload", headers={"X-Project-Id": "bad-input"}, timeout=60)
    assert found.content == value


def test_content_type_is_judged(gateway):
    assert post(gateway, b"{}", content_type="text/plain").status_code == 415
    assert post(gateway, b"{}", content_type="application/xml").status_code == 415


def test_missing_project(gateway):
    answer = requests.get(f"{gateway.rest}/v1/secrets", timeout=60)
    assert answer.status_code == 400
    assert "Missing X-Project-Id" in answer.text


@pytest.mark.parametrize("identifier", (UNKNOWN, "x", "%00", "..%2f..", "x" * 3000, "%F0%9F%94%92"))
@pytest.mark.parametrize("resource", ("secrets", "orders", "containers"))
def test_unknown_resources(gateway, resource, identifier):
    for method in ("GET", "DELETE"):
        answer = requests.request(
            method, f"{gateway.rest}/v1/{resource}/{identifier}", headers={"X-Project-Id": "bad-input"}, timeout=60
        )
        assert answer.status_code in (404, 414), answer.text
        if answer.status_code == 404:
            said(answer)


def test_wrong_methods(gateway):
    for method in ("PUT", "PATCH", "DELETE"):
        answer = requests.request(method, f"{gateway.rest}/v1/secrets", headers={"X-Project-Id": "p"}, timeout=60)
        assert answer.status_code == 405


@pytest.mark.parametrize(
    "raw",
    (
        b"\x16\x03\x01\x00\x05hello",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/secrets HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"POST /v1/secrets HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
    ),
    ids=("tls", "version", "two lengths", "long header", "bad chunk"),
)
def test_broken_http(gateway, raw):
    host, port = gateway.rest.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as plain:
        plain.sendall(raw)
        answer = b""
        try:
            while more := plain.recv(4096):
                answer += more
        except ConnectionResetError:
            pass
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))


def test_slow_body_does_not_hold_the_others(gateway):
    host, port = gateway.rest.removeprefix("http://").split(":")
    held = []
    try:
        for _ in range(20):
            plain = socket.create_connection((host, int(port)), timeout=60)
            plain.sendall(b"POST /v1/secrets HTTP/1.1\r\nHost: x\r\nX-Project-Id: p\r\n")
            plain.sendall(b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
            held.append(plain)
        started = time.monotonic()
        assert post(gateway, b"{}").status_code == 201
        assert time.monotonic() - started < 30
    finally:
        for plain in held:
            plain.close()
