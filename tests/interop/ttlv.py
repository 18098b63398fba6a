"""Enough TTLV to say things that no client says: any item, also wrong ones, and a reader for the answers.

Numbers are those of the KMIP specification, §9.1.3.
"""

import socket
import ssl
import struct
from dataclasses import dataclass

STRUCTURE, INTEGER, LONG, BIG, ENUMERATION, BOOLEAN, TEXT, BYTES, TIME, INTERVAL = range(1, 11)

REQUEST_MESSAGE, REQUEST_HEADER, RESPONSE_MESSAGE = 0x420078, 0x420077, 0x42007B
PROTOCOL_VERSION, MAJOR, MINOR = 0x420069, 0x42006A, 0x42006B
BATCH_COUNT, BATCH_ITEM, OPERATION = 0x42000D, 0x42000F, 0x42005C
REQUEST_PAYLOAD, RESPONSE_PAYLOAD = 0x420079, 0x42007C
RESULT_STATUS, RESULT_REASON, RESULT_MESSAGE = 0x42007F, 0x42007E, 0x42007D
UNIQUE_IDENTIFIER, UNIQUE_BATCH_ITEM_ID = 0x420094, 0x420093
MAXIMUM_RESPONSE_SIZE = 0x420050

GET, QUERY, DISCOVER_VERSIONS = 0x0A, 0x18, 0x1E
SUCCESS, FAILED = 0, 1
AUTHENTICATION_NOT_SUCCESSFUL, INVALID_MESSAGE, OPERATION_NOT_SUPPORTED = 0x03, 0x04, 0x05
ITEM_NOT_FOUND, RESPONSE_TOO_LARGE, OBJECT_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION = 0x01, 0x02, 0x37, 0x3F


def item(tag: int, kind: int, value: bytes, length: int | None = None) -> bytes:
    """An item; `length` may lie."""
    head = tag.to_bytes(3, "big") + bytes([kind]) + struct.pack(">I", len(value) if length is None else length)
    return head + value + bytes(-len(value) % 8)


def structure(tag: int, *items: bytes) -> bytes:
    return item(tag, STRUCTURE, b"".join(items))


def integer(tag: int, value: int) -> bytes:
    return item(tag, INTEGER, struct.pack(">i", value))


def enumeration(tag: int, value: int) -> bytes:
    return item(tag, ENUMERATION, struct.pack(">I", value))


def text(tag: int, value: str) -> bytes:
    return item(tag, TEXT, value.encode())


def data(tag: int, value: bytes) -> bytes:
    return item(tag, BYTES, value)


def header(version: tuple[int, int], count: int, *more: bytes) -> bytes:
    major, minor = version
    shown = structure(PROTOCOL_VERSION, integer(MAJOR, major), integer(MINOR, minor))
    return structure(REQUEST_HEADER, shown, *more, integer(BATCH_COUNT, count))


def batch_item(operation: int, *payload: bytes, identifier: bytes | None = None) -> bytes:
    named = [data(UNIQUE_BATCH_ITEM_ID, identifier)] if identifier else []
    return structure(BATCH_ITEM, enumeration(OPERATION, operation), *named, structure(REQUEST_PAYLOAD, *payload))


def message(*items: bytes, version: tuple[int, int] = (1, 2), more: tuple[bytes, ...] = ()) -> bytes:
    """A whole request."""
    return structure(REQUEST_MESSAGE, header(version, len(items), *more), *items)


def get(uid: str, **named) -> bytes:
    return message(batch_item(GET, text(UNIQUE_IDENTIFIER, uid)), **named)


def discover(**named) -> bytes:
    return message(batch_item(DISCOVER_VERSIONS), **named)


@dataclass
class Node:
    """One item of an answer."""

    tag: int
    kind: int
    value: object

    def all(self, tag: int) -> list["Node"]:
        return [child for child in self.value if child.tag == tag]

    def one(self, tag: int) -> "Node":
        (found,) = self.all(tag)
        return found

    def has(self, tag: int) -> bool:
        return bool(self.all(tag))


def parse(raw: bytes) -> list[Node]:
    """The items of well-formed bytes; anything else is an error of the gateway."""
    found = []
    while raw:
        tag, kind = int.from_bytes(raw[:3], "big"), raw[3]
        (length,) = struct.unpack(">I", raw[4:8])
        end = 8 + length + (-length % 8)
        assert len(raw) >= end, "the answer is cut short"
        value = raw[8 : 8 + length]
        assert raw[8 + length : end] == bytes(end - 8 - length), "padding is not zero"
        if kind == STRUCTURE:
            value = parse(value)
        elif kind in (INTEGER, ENUMERATION, INTERVAL, LONG, TIME, BOOLEAN):
            value = int.from_bytes(value, "big")
        elif kind == TEXT:
            value = value.decode()
        found.append(Node(tag, kind, value))
        raw = raw[end:]
    return found


@dataclass
class Result:
    """What one batch item of an answer says."""

    operation: int | None
    status: int
    reason: int | None
    message: str | None
    payload: Node | None


class Connection:
    """A TLS connection to the KMIP port; without a certificate where none is given."""

    def __init__(self, address, ca: str, certificate: str | None = None, key: str | None = None, timeout: float = 60):
        context = ssl.create_default_context(cafile=ca)
        if certificate:
            context.load_cert_chain(certificate, key)
        plain = socket.create_connection(address, timeout=timeout)
        try:
            self.socket = context.wrap_socket(plain, server_hostname=address[0])
        except BaseException:
            plain.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.socket.close()

    def send(self, raw: bytes) -> None:
        self.socket.sendall(raw)

    def receive(self) -> bytes:
        """One whole answer, or nothing when the connection is closed."""
        raw = b""
        while len(raw) < 8 or len(raw) < 8 + struct.unpack(">I", raw[4:8])[0]:
            more = self.socket.recv(65536)
            if not more:
                assert not raw, "the connection was closed within an answer"
                return b""
            raw += more
        return raw

    def closed(self) -> bool:
        """Whether the gateway closes it without another byte."""
        try:
            return self.socket.recv(1) == b""
        except (ConnectionResetError, ssl.SSLEOFError, BrokenPipeError):
            return True

    def ask(self, raw: bytes) -> list[Result]:
        """Sends a request and reads what its items say."""
        self.send(raw)
        answer = self.receive()
        assert answer, "the connection was closed"
        (found,) = parse(answer)
        assert found.tag == RESPONSE_MESSAGE
        return [result(each) for each in found.all(BATCH_ITEM)]


def result(node: Node) -> Result:
    value = lambda tag: node.one(tag).value if node.has(tag) else None
    payload = node.one(RESPONSE_PAYLOAD) if node.has(RESPONSE_PAYLOAD) else None
    return Result(value(OPERATION), value(RESULT_STATUS), value(RESULT_REASON), value(RESULT_MESSAGE), payload)


def protocol_version(answer: bytes) -> tuple[int, int]:
    """The version of an answer."""
    (found,) = parse(answer)
    version = found.value[0].one(PROTOCOL_VERSION)
    return version.one(MAJOR).value, version.one(MINOR).value
