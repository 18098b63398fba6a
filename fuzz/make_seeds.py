#!/usr/bin/env python3
"""Turns the golden vectors into seeds: each whole message is one for every target that reads messages."""
import json, pathlib

here = pathlib.Path(__file__).parent
messages = []
for path in sorted((here.parent / "kmip-codec/tests/vectors").glob("**/*")):
    if path.is_file():
        word = ""
        for line in [*path.read_text(errors="replace").splitlines(), "end:"]:
            if line.startswith(" "):
                word += line.strip()
            elif word:
                messages.append(bytes.fromhex(word))
                word = ""
vectors = here.parent.parent / "shared/kmip/ttlv-vectors.jsonl"
if vectors.exists():
    for number, line in enumerate(vectors.open()):
        if number % 12 == 0:
            record = json.loads(line)
            if record.get("direction") == "request":
                messages.append(bytes.fromhex(record["ttlv_hex"]))
for target in ("ttlv_decode", "ttlv_round_trip", "framing", "messages", "kmip_connection"):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, message in enumerate(messages):
        (folder / f"vector-{number:04}").write_bytes(message)
# The same messages as text, made from the published XML where it is at hand, and some by hand.
texts = {"text_xml": [b'<D type="Integer" value="7"/>', b'<?xml version="1.0"?><TTLV tag="0x540001" type="TextString" value="&lt;&#10;"/>'],
         "text_json": [b'{"tag":"D","type":"LongInteger","value":"0x0010000000000001"}',
                       b'{"value":[{"tag":"AttributeName","type":"TextString","value":"State"},'
                       b'{"tag":"AttributeValue","type":"Enumeration","value":"Active"}],"tag":"Attribute"}']}
TYPES = {"Integer", "Enumeration", "TextString", "ByteString", "DateTime", "Boolean", "Interval", "LongInteger", "BigInteger"}

def as_json(element):
    if element.get("type") in TYPES:
        return {"tag": element.tag, "type": element.get("type"), "value": element.get("value")}
    return {"tag": element.tag, "value": [as_json(child) for child in element]}

if vectors.exists():
    import xml.etree.ElementTree
    for number, line in enumerate(vectors.open()):
        if number % 40 == 0:
            xml_text = json.loads(line)["xml"]
            texts["text_xml"].append(xml_text.encode())
            texts["text_json"].append(json.dumps(as_json(xml.etree.ElementTree.fromstring(xml_text))).encode())
for target, messages_of_text in texts.items():
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, message in enumerate(messages_of_text):
        (folder / f"text-{number:04}").write_bytes(message)
bodies = [b'\x00{"name":"n","payload":"cGF5","payload_content_type":"application/octet-stream","payload_content_encoding":"base64"}',
          b'\x00{}', b'\x01{"type":"generic","secret_refs":[{"name":"a","secret_ref":"http://x/v1/secrets/6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f"}]}',
          b'\x02{"type":"key","meta":{"algorithm":"aes","bit_length":256,"mode":"cbc"}}',
          b'\x02{"type":"asymmetric","meta":{"algorithm":"ec","bit_length":256}}',
          b'\x04{"metadata":{"k":"v"}}', b'\x05{"key":"k","value":"v"}', b'\x06{"read":{"users":["u"],"project-access":false}}',
          b'\x08{"service":"s","resource_type":"t","resource_id":"r"}', b'\x09{"name":"n","URL":"u"}']
folder = here / "corpus" / "json_bodies"
folder.mkdir(parents=True, exist_ok=True)
for number, body in enumerate(bodies):
    (folder / f"body-{number}").write_bytes(body)
controls = [b'{"do":"stats"}', b'{"do":"scenario","name":"flaky","seed":1}',
            b'{"do":"set","plan":"[[faults.rule]]\\naction = { return = \\"CKR_DEVICE_ERROR\\" }"}',
            b'[faults]\nseed = 1\n[[faults.rule]]\nmatch = { function = "C_Sign*" }\naction = { delay = "1s" }']
records = [b"\x01", b"\x01" + bytes(8) + (8).to_bytes(4, "little") + (4).to_bytes(8, "little")]
for target, seeds in (("hsm_control", controls), ("hsm_record", records)):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(seed)
(here / "corpus" / ".made").write_text(f"{len(messages)} messages, {len(bodies)} bodies\n")
print(f"seeds: {len(messages)} messages, {len(bodies)} bodies")
