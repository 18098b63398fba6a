"""The conformance checklist of the Barbican API, one test a row, on each kind of token.

A row is an endpoint and a verb: its success, every refusal that it can be brought to, and what else the list says of it.
`common` checks what holds for all of them. Texts are exact. The development context stands for Keystone; what tokens do is
tested in test_keystone.py and test_bearer.py.
"""

import base64
import re
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

import portcullis

TOKENS = ("sim", "softhsm", "kryoptic")

NOBODY = "6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f"
MISSING = {"secrets": "Secret not found.", "containers": "Secrets container not found."}
REFUSED = " attempt not allowed - please review your user/project privileges"
QUOTA = " issue seen - Creation not allowed because a quota has been reached."
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")
JSON = "application/json"
OCTETS = "application/octet-stream"


class Api:
    """One project's view of a gateway."""

    def __init__(self, root, project=None, user="alice", roles=None):
        self.root = root
        self.project = project or f"p-{uuid.uuid4().hex}"
        self.user = user
        self.roles = roles
        self.session = requests.Session()
        self.session.headers.clear()

    def other(self, **changed):
        """Somebody else."""
        whole = {"project": self.project, "user": self.user, "roles": self.roles} | changed
        return Api(self.root, **whole)

    def __call__(self, method, path, *, json=None, data=None, version=None, accept=None, type=None, headers=None):
        sent = {"X-Project-Id": self.project, "X-User-Id": self.user}
        if self.roles is not None:
            sent["X-Roles"] = self.roles
        if version:
            sent["OpenStack-API-Version"] = f"key-manager {version}"
        if accept is not None:
            sent["Accept"] = accept
        if type:
            sent["Content-Type"] = type
        url = path if path.startswith("http") else self.root + path
        return self.session.request(method, url, json=json, data=data, headers=sent | (headers or {}), timeout=60)

    def secret(self, **body):
        """A secret that must be taken; its path."""
        made = self("POST", "/v1/secrets", json=body)
        assert made.status_code == 201, made.text
        return "/v1/secrets/" + ident(made.json()["secret_ref"])

    def text(self, name="s"):
        return self.secret(name=name, payload="beer", payload_content_type="text/plain")

    def container(self, **body):
        made = self("POST", "/v1/containers", json={"type": "generic"} | body)
        assert made.status_code == 201, made.text
        return "/v1/containers/" + ident(made.json()["container_ref"])

    def order(self, kind, meta):
        """An order in its final state."""
        made = self("POST", "/v1/orders", json={"type": kind, "meta": meta})
        assert made.status_code == 202, made.text
        path = "/v1/orders/" + ident(made.json()["order_ref"])
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = self("GET", path).json()
            if found["status"] != "PENDING":
                return path, found
            time.sleep(0.1)
        raise AssertionError(f"still pending: {found}")

    def quota(self, **quotas):
        set_ = self("PUT", f"/v1/project-quotas/{self.project}", json={"project_quotas": quotas})
        assert set_.status_code == 204, set_.text

    def ref(self, path):
        return self.root + path


def ident(href):
    return href.rsplit("/", 1)[1]


def refused(answer, status, description):
    """The error, with its exact text."""
    body = answer.json()
    assert (answer.status_code, body["code"], body["description"]) == (status, status, description), answer.text
    assert body["title"]


def denied(answer, operation):
    refused(answer, 403, operation + REFUSED)


def schema(answer, name, reason, prop):
    refused(answer, 400, f"Provided object does not match schema '{name}': {reason}. Invalid property: '{prop}'")


def common(api, method, path, json_answer=True, body=None):
    """What every row under /v1 answers: bad microversions, headers, and `Accept`."""
    call = dict(json=body) if body is not None else {}
    answer = api(method, path, version="1.9", **call)
    assert answer.status_code == 406 and "Unacceptable version header: 1.9" in answer.text
    assert "OpenStack-API-Version" not in answer.headers
    assert api(method, path, version="abc", **call).status_code == 400
    if json_answer:
        answer = api(method, path, accept="application/xml", **call)
        assert answer.status_code == 406
        assert answer.json() == {"code": 406, "title": "Not Acceptable", "description": None}
    answer = api(method, path, version="1.1", accept="application/xml" if json_answer else None, **call)
    assert answer.headers["OpenStack-API-Version"] == "key-manager 1.1"
    assert "OpenStack-API-Version" in answer.headers["Vary"]
    assert re.fullmatch(r"req-[0-9a-f-]{36}", answer.headers["x-openstack-request-id"])


def not_allowed(api, methods, path, allow=None):
    for method in methods:
        answer = api(method, path)
        refused(answer, 405, "")
        if allow:
            assert answer.headers["Allow"] == allow, method


@pytest.fixture
def api(gateway):
    return Api(gateway.rest)


@pytest.fixture(scope="module")
def stores(gateway, tmp_path_factory):
    """A gateway whose tokens may be chosen."""
    folder = tmp_path_factory.mktemp("stores")
    command = portcullis.dev_command(folder / "dev")
    with portcullis.running(command, folder / "dev", {"PORTCULLIS_REST__SECRET_STORES__ENABLED": "true"}) as made:
        yield made


@pytest.fixture(scope="module")
def legacy(tmp_path_factory):
    """A gateway with the rules of Barbican 22."""
    folder = tmp_path_factory.mktemp("legacy")
    with portcullis.running(portcullis.dev_command(folder / "dev", None, "--policy", "legacy"), folder / "dev") as made:
        yield made


# ------------------------------------------------------------------------------------------------- versions and the rest


def test_01_get_root(api):
    links = [
        {"rel": "self", "href": f"{api.root}/v1/"},
        {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
    ]
    bare = requests.get(api.root + "/", timeout=30)
    media = [{"base": "application/json", "type": "application/vnd.openstack.key-manager-v1+json"}]
    old = {"id": "v1", "status": "stable", "links": links, "media-types": media}
    assert (bare.status_code, bare.json()) == (300, {"versions": {"values": [old]}})
    new = {"id": "v1", "status": "CURRENT", "min_version": "1.0", "max_version": "1.2", "links": links}
    for version, effective in (("1.1", "1.1"), ("1.2", "1.2"), ("latest", "1.2")):
        answer = api("GET", "/", version=version)
        assert (answer.status_code, answer.json()) == (300, {"versions": [new]})
        assert answer.headers["OpenStack-API-Version"] == f"key-manager {effective}"
    assert api("GET", "/", version="1.9").status_code == 406
    assert api("GET", "/", version="abc").status_code == 400
    assert api("GET", "/", accept="application/xml").status_code == 406


def test_02_post_root(api):
    answer = api("POST", "/")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


def test_03_get_root_build(api):
    answer = api("GET", "/?build")
    assert answer.status_code == 200 and re.match(r"\d+\.\d+", answer.json()["build"])


def test_04_get_v1(api):
    for path in ("/v1", "/v1/"):
        assert api("GET", path).json()["version"]["status"] == "stable"
        assert api("GET", path, version="1.1").json()["version"]["max_version"] == "1.2"
    assert requests.get(api.root + "/v1", timeout=30).status_code == 400  # without X-Project-Id
    common(api, "GET", "/v1")


def test_05_other_verbs_on_v1(api):
    not_allowed(api, ("POST", "PUT", "DELETE", "PATCH"), "/v1", "GET")


def test_06_unknown_paths(api):
    for path in ("/v2", "/foo", "/V1/secrets"):
        answer = api("GET", path)
        assert answer.status_code == 404 and answer.headers["Content-Type"].startswith("text/plain")
    for path in ("/v1/foo", "/v1/cas", f"/v1/orders/{NOBODY}/x", "/v1/quotas/x"):
        refused(api("GET", path), 404, "")


def test_07_healthcheck(api, tmp_path):
    plain = requests.get(api.root + "/healthcheck", timeout=30)
    assert (plain.status_code, plain.text) == (200, "OK")
    assert "OpenStack-API-Version" not in plain.headers
    asked = requests.get(api.root + "/healthcheck", headers={"Accept": JSON}, timeout=30)
    assert (asked.status_code, asked.json()) == (200, {"detailed": False, "reasons": ["OK"]})
    page = requests.get(api.root + "/healthcheck", headers={"Accept": "text/html"}, timeout=30)
    assert page.status_code == 200 and "OK" in page.text
    head = requests.head(api.root + "/healthcheck", timeout=30)
    assert (head.status_code, head.content) == (204, b"")


def test_08_options(api):
    answer = api("OPTIONS", "/v1/secrets")
    assert (answer.status_code, answer.content) == (200, b"")
    answer = api("GET", "/v1/secrets", headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 200 and "Access-Control-Allow-Origin" not in answer.headers


def test_09_head(api):
    path = api.text()
    for each in ("/", "/v1", "/v1/secrets", path):
        assert api("HEAD", each).status_code == 405, each


# ----------------------------------------------------------------------------------------------------------- secrets


def test_10_post_secret(api):
    for path in ("/v1/secrets", "/v1/secrets/"):
        made = api("POST", path, json={})
        assert made.status_code == 201 and made.headers["Location"] == made.json()["secret_ref"]
        assert made.json() == {"secret_ref": f"{api.root}/v1/secrets/{ident(made.json()['secret_ref'])}"}
    for data in ("", "{", "[1", "nonsense"):
        refused(api("POST", "/v1/secrets", data=data, type=JSON), 400, "Malformed JSON")
    for field, value, reason in (
        ("name", 5, "5 is not of type 'string', 'null'"),
        ("algorithm", None, "None is not of type 'string'"),
        ("bit_length", 0, "0 is less than the minimum of 1"),
        ("bit_length", 32768, "32768 is greater than the maximum of 32767"),
        ("bit_length", True, "True is not of type 'integer'"),
        ("mode", "x" * 256, f"'{'x' * 256}' is too long"),
        ("secret_type", "foo", "'foo' is not one of ['symmetric', 'passphrase', 'private', 'public', 'certificate', 'opaque']"),
        ("expiration", None, "None is not of type 'string'"),
    ):
        schema(api("POST", "/v1/secrets", json={field: value}), "Secret", reason, field)
    denied(api.other(roles="reader")("POST", "/v1/secrets", json={}), "Secret creation")
    text = "Unexpected content type. Expected content types are: ['application/json']"
    refused(api("POST", "/v1/secrets", data="{}", type="text/plain"), 415, text)
    refused(api("POST", "/v1/secrets", data="{}"), 415, text)
    api.quota(secrets=2)
    refused(api("POST", "/v1/secrets", json={}), 403, "Secret creation" + QUOTA)
    refused(api("POST", "/v1/secrets", data="{", type=JSON), 400, "Malformed JSON")
    common(api, "POST", "/v1/secrets", body={})


def test_11_post_secret_with_text(api):
    path = api.secret(payload="  täxt\n", payload_content_type="text/plain; charset=utf-8")
    assert api("GET", path + "/payload", accept="text/plain").content == "täxt".encode()
    assert api("GET", path).json()["content_types"] == {"default": "text/plain"}
    post = lambda **body: api("POST", "/v1/secrets", json=body)
    schema(post(payload=" ", payload_content_type="text/plain"), "Secret", "If 'payload' specified, must be non empty", "payload")
    reason = "If 'payload' is supplied, 'payload_content_type' must also be supplied."
    schema(post(payload="x"), "Secret", reason, "payload_content_type")
    reason = "payload must be provided when payload_content_type is specified"
    schema(post(payload_content_type=None), "Secret", reason, "payload")
    reason = (
        "payload_content_type is not one of ['text/plain', 'text/plain;charset=utf-8', 'text/plain; charset=utf-8', "
        "'application/octet-stream', 'application/pkcs8']"
    )
    for wrong in ("text/html", "", "text/plain; charset=latin-1", "text/plain;foo"):
        schema(post(payload="x", payload_content_type=wrong), "Secret", reason, "payload_content_type")
    answer = post(payload="x", payload_content_type="text/plain", payload_content_encoding="base64")
    schema(answer, "Secret", "payload_content_encoding is not one of None", "payload_content_encoding")
    assert api.secret(payload="x" * 20_000, payload_content_type="text/plain")
    answer = post(payload="x" * 20_001, payload_content_type="text/plain")
    refused(answer, 413, "Provided information too large to process")
    assert answer.json()["title"] == "Request Entity Too Large"


def test_12_post_secret_with_bytes(api):
    value = bytes(range(256)) * 3
    coded = base64.encodebytes(value).decode()
    assert "\n" in coded.strip()
    path = api.secret(payload=coded, payload_content_type=OCTETS, payload_content_encoding="base64")
    assert api("GET", path + "/payload").content == value
    post = lambda **body: api("POST", "/v1/secrets", json={"payload_content_type": OCTETS} | body)
    schema(post(payload="AA=="), "Secret", "payload_content_encoding is not one of ['base64', 'binary']", "payload_content_encoding")
    schema(post(payload="AA==", payload_content_encoding="binary"), "Secret", "'binary' is not one of ['base64']", "payload_content_encoding")
    schema(post(payload="abc", payload_content_encoding="base64"), "Secret", "Invalid payload for payload_content_encoding", "payload")
    refused(post(payload="A" * 20_004, payload_content_encoding="base64"), 413, "Provided information too large to process")


def test_13_post_secret_with_expiration(api):
    for given, shown in (
        ("2098-12-31T23:00:00.5", "2098-12-31T23:00:00.500000"),
        ("2098-12-31T23:00:00Z", "2098-12-31T23:00:00"),
        ("2099-01-01T04:00:00+05:00", "2098-12-31T23:00:00"),
        ("2098-12-31 19:30:00-0330", "2098-12-31T23:00:00"),
        ("2099-01-01", "2099-01-01T00:00:00"),
        ("", None),
    ):
        assert api("GET", api.secret(expiration=given)).json()["expiration"] == shown, given
    post = lambda text: api("POST", "/v1/secrets", json={"expiration": text})
    schema(post("2001-01-01"), "Secret", "'expiration' is before current time", "expiration")
    schema(post("tomorrow"), "Secret", "Invalid date for 'expiration'", "expiration")


def test_14_post_secret_that_is_too_long(api):
    frame = '{"name": "x", "hint": ""}'
    for length, status in ((25_000, 201), (25_001, 400)):
        body = frame.replace('""', '"' + "h" * (length - len(frame)) + '"')
        assert len(body) == length
        answer = api("POST", "/v1/secrets", data=body, type=JSON)
        assert answer.status_code == status, length
    refused(answer, 400, "Malformed JSON")


def test_15_list_secrets(api):
    paths = [api.secret(name=f"n{n}", bit_length=n + 1, algorithm="aes" if n % 2 else "des") for n in range(12)]
    listed = api("GET", "/v1/secrets").json()
    assert [ident(each["secret_ref"]) for each in listed["secrets"]] == [ident(path) for path in paths[:10]]
    assert (listed["total"], listed["next"], "previous" in listed) == (12, f"{api.root}/v1/secrets?limit=10&offset=10", False)
    last = api("GET", listed["next"]).json()
    assert (len(last["secrets"]), last["previous"], "next" in last) == (2, f"{api.root}/v1/secrets?limit=10&offset=0", False)
    for query, count in (("limit=0", 1), ("limit=-3", 1), ("limit=x", 10), ("limit=1000", 12), ("offset=-1", 10), ("offset=50", 0)):
        found = api("GET", "/v1/secrets?" + query).json()
        assert (len(found["secrets"]), found["total"]) == (count, 12), query
    assert set(api("GET", "/v1/secrets?offset=50").json()) == {"secrets", "total"}
    names = lambda query: [each["name"] for each in api("GET", "/v1/secrets?limit=100&" + query).json()["secrets"]]
    assert names("name=N3") == ["n3"]
    assert names("name=n1%25") == ["n1", "n10", "n11"]
    assert names("name=n1_") == ["n10", "n11"]
    assert names("alg=AES&bits=4") == ["n3"]
    assert names("bits=0") == names("") and names("secret_type=foo") == []
    assert names("sort=name:desc")[:2] == ["n9", "n8"]
    assert names("sort=algorithm:asc,bit_length:desc")[0] == "n11"
    assert names("sort=created:desc")[0] == "n11"
    assert len(names("created=gt:2020-01-01T00:00:00Z")) == 12
    assert names("created=lt:2020-01-01,gt:2021-01-01") == []
    for wrong in ("name=a&name=b", "created=bogus", "created=eq:2020-01-01", "created=gt:2020-01-01,gte:2020-01-01", "sort=size", "sort=name,name", "sort=name:up"):
        refused(api("GET", "/v1/secrets?" + wrong), 400, "URI provided invalid query string parameters.")
    link = api("GET", "/v1/secrets?limit=1&created=gt:2020-01-01T00:00:00&x=1").json()["next"]
    assert link == f"{api.root}/v1/secrets?limit=1&offset=1&created=gt%3A2020-01-01T00%3A00%3A00&x=1"
    assert "consumers" not in listed["secrets"][0]
    assert api("GET", "/v1/secrets", version="1.1").json()["secrets"][0]["consumers"] == []
    denied(api.other(roles="reader")("GET", "/v1/secrets"), "Secret(s) retrieval")
    common(api, "GET", "/v1/secrets")


def test_16_list_secrets_by_acl(api):
    path = api.text("shared")
    bob = api.other(project=f"q-{uuid.uuid4().hex}", user=f"bob-{uuid.uuid4().hex}", roles="member")
    assert bob("GET", "/v1/secrets?acl_only=true").json()["total"] == 0
    api("PUT", path + "/acl", json={"read": {"users": [bob.user]}})
    for word in ("true", "TRUE"):
        listed = bob("GET", f"/v1/secrets?acl_only={word}").json()
        assert [each["secret_ref"] for each in listed["secrets"]] == [api.ref(path)]
    assert bob("GET", "/v1/secrets?acl_only=1").json()["total"] == 0
    denied(bob.other(roles="nobody")("GET", "/v1/secrets?acl_only=true"), "Secret(s) retrieval")


def test_17_other_verbs_on_secrets(api):
    not_allowed(api, ("PUT", "PATCH", "DELETE"), "/v1/secrets", "GET, POST")


def test_18_get_secret(api):
    path = api.secret(name="n", secret_type="passphrase", algorithm="AES", bit_length=256.0, mode="cbc")
    shown = api("GET", path).json()
    assert TIME.match(shown.pop("created")) and TIME.match(shown.pop("updated"))
    assert shown == {
        "status": "ACTIVE", "name": "n", "secret_type": "passphrase", "expiration": None, "algorithm": "AES",
        "bit_length": 256, "mode": "cbc", "creator_id": "alice", "secret_ref": api.ref(path),
    }
    assert api("GET", path, version="1.1").json()["consumers"] == []
    api("PUT", path, data=b"x", type="text/plain")
    assert api("GET", path).json()["content_types"] == {"default": "text/plain"}
    for wrong in ("1", NOBODY.upper(), NOBODY.replace("-", "")):
        refused(api("GET", f"/v1/secrets/{wrong}"), 404, "Not Found. Provided secret id is invalid.")
    refused(api("GET", f"/v1/secrets/{NOBODY}"), 404, "Secret not found.")
    soon = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 3))
    brief = api("POST", "/v1/secrets", json={"expiration": soon, "payload": "x", "payload_content_type": "text/plain"})
    if brief.status_code == 201:
        deadline = time.monotonic() + 60
        while api("GET", brief.json()["secret_ref"]).status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.2)
        refused(api("GET", brief.json()["secret_ref"]), 404, "Secret not found.")
    denied(api.other(project="elsewhere", roles="member")("GET", path), "Secret retrieval")
    api("PUT", path + "/acl", json={"read": {"project-access": False}})
    denied(api.other(user="carol", roles="member")("GET", path), "Secret retrieval")
    assert api.other(user="carol", roles="admin")("GET", path).status_code == 200
    common(api, "GET", path, json_answer=False)


def test_19_get_secret_with_the_accept_of_a_payload(api, legacy):
    path = api.text()
    answer = api("GET", path, accept="text/plain")
    assert (answer.text, answer.headers["Content-Type"]) == ("beer", "text/plain; charset=UTF-8")
    assert api("GET", path, accept="").headers["Content-Type"] == OCTETS
    refused(api("GET", path, accept="application/json;q=0.9"), 406, "Secret retrieval issue seen - Wrong payload content-type.")
    text = "Secret retrieval issue seen - content-type of 'TEXT/PLAIN' not supported."
    refused(api("GET", path, accept="TEXT/PLAIN"), 400, text)
    empty = api.secret(name="empty")
    refused(api("GET", empty, accept=OCTETS), 404, "Not Found. Sorry but your secret has no payload.")
    old = Api(legacy.rest)
    path = old.text()
    auditor = old.other(user="auditor", roles="audit")
    assert auditor("GET", path).status_code == 200
    denied(auditor("GET", path, accept="text/plain"), "Secret retrieval")


def test_20_put_secret(api):
    issue = "Secret update issue seen - "
    path = api.secret(name="late")
    text = "Unexpected content type. Expected content types are: ['application/octet-stream', 'text/plain']"
    for wrong in ("application/pkcs8", JSON, "TEXT/PLAIN", "text/html"):
        refused(api("PUT", path, data=b"x", type=wrong), 415, text)
    refused(api("PUT", path, data=b"", type="text/plain"), 400, issue + "No data supplied to process..")
    too_long = api("PUT", path, data=b"x" * 20_001, type="text/plain")
    refused(too_long, 413, issue + "Provided information too large to process.")
    answer = api("PUT", path, data=b"x", type=OCTETS, headers={"Content-Encoding": "gzip"})
    text = "Text-based binary secret payloads must specify a content-encoding of 'base64'."
    refused(answer, 400, issue + text)
    answer = api("PUT", path, data=b"abc", type=OCTETS, headers={"Content-Encoding": "base64"})
    refused(answer, 400, issue + "Problem decoding payload.")
    answer = api("PUT", path + f"?transport_key_id={NOBODY}", data=b"x", type=OCTETS)
    refused(answer, 400, issue + "Provided transport key was not found..")
    denied(api.other(roles="reader")("PUT", path, data=b"x", type=OCTETS), "Secret update")
    refused(api("PUT", f"/v1/secrets/{NOBODY}", data=b"x", type=OCTETS), 404, "Secret not found.")
    answer = api("PUT", path, data=b"YmVl\ncg==", type=OCTETS, headers={"Content-Encoding": "base64"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert api("GET", path + "/payload").content == b"beer"
    refused(api("PUT", path, data=b"x", type=OCTETS), 409, "Secret already has data, cannot modify it.")
    other = api.secret(name="text")
    assert api("PUT", other, data=b" \xff kept ", type="text/plain; charset=x").status_code == 204
    assert api("GET", other + "/payload", accept=OCTETS).content == b" \xff kept "
    largest = api.secret(name="largest")
    assert api("PUT", largest, data=b"x" * 20_000, type=OCTETS).status_code == 204
    common(api, "PUT", path, json_answer=False)


def test_21_delete_secret(api):
    path = api.text()
    holder = api.container(secret_refs=[{"name": "a", "secret_ref": api.ref(path)}])
    denied(api.other(roles="reader")("DELETE", path), "Secret deletion")
    answer = api("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    for tail in ("", "/payload", "/metadata", "/acl", "/consumers"):
        refused(api("GET", path + tail), 404, "Secret not found.")
    refused(api("DELETE", path), 404, "Secret not found.")
    assert api("GET", holder).json()["secret_refs"] == []
    common(api, "DELETE", path, json_answer=False)


def test_22_delete_secret_with_consumers(api):
    def used():
        path = api.text()
        consumer = {"service": "s", "resource_type": "t", "resource_id": "r"}
        assert api("POST", path + "/consumers", json=consumer).status_code == 200
        return path

    bad = "URI provided invalid query string parameters."
    text = "Secret deletion issue seen - Secret cannot be deleted as it has consumers.."
    path = used()
    for word in ("", "maybe", "2"):
        refused(api("DELETE", f"{path}?force={word}", version="1.2"), 400, bad)
    for query in ("", "?force=false", "?force=NO", "?force=0"):
        refused(api("DELETE", path + query, version="1.2"), 400, text)
    assert api("DELETE", path + "?force=True", version="1.2").status_code == 204
    assert api("DELETE", used(), version="1.1").status_code == 204
    assert api("DELETE", used() + "?force=maybe").status_code == 204
    refused(api("DELETE", api.text() + "?force=maybe", version="1.2"), 400, bad)


def test_23_other_verbs_on_a_secret(api):
    not_allowed(api, ("POST", "PATCH"), api.text(), "DELETE, GET, PUT")


def test_24_get_payload(api):
    path = api.text() + "/payload"
    for accept, kind in (
        (None, None),
        ("", OCTETS),
        (OCTETS, OCTETS),
        ("application/pkcs8", "application/pkcs8"),
        ("text/plain", "text/plain; charset=UTF-8"),
        ("text/plain;charset=utf-8", "text/plain;charset=utf-8"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("*/*", "text/plain"),
    ):
        answer = api("GET", path, accept=accept)
        assert (answer.status_code, answer.content) == (200, b"beer"), accept
        assert kind is None or answer.headers["Content-Type"] == kind, accept
    wrong = "Secret payload retrieval issue seen - Wrong payload content-type."
    for accept in (JSON, "application/xml", "text/html", "text/*", "text/plain; charset=latin-1", "junk"):
        refused(api("GET", path, accept=accept), 406, wrong)
    binary = api.secret(payload="/w==", payload_content_type=OCTETS, payload_content_encoding="base64")
    refused(api("GET", binary + "/payload", accept="text/plain"), 406, wrong)
    refused(api("GET", api.secret() + "/payload", accept=JSON), 404, "Not Found. Sorry but your secret has no payload.")
    refused(api("GET", f"/v1/secrets/{NOBODY}/payload"), 404, "Secret not found.")
    refused(api("GET", "/v1/secrets/1/payload"), 404, "Not Found. Provided secret id is invalid.")
    denied(api.other(project="elsewhere", roles="admin")("GET", path), "Secret payload retrieval")
    text = (
        "Transport key wrapped session key has been provided to wrap secrets for retrieval, but the transport key id "
        "has not been provided."
    )
    refused(api("GET", path + "?trans_wrapped_session_key=x"), 400, text)
    text = "Secret payload retrieval issue seen - Provided transport key was not found.."
    refused(api("GET", path + f"?trans_wrapped_session_key=x&transport_key_id={NOBODY}"), 400, text)
    common(api, "GET", path, json_answer=False)


def test_25_other_verbs_on_a_payload(api):
    not_allowed(api, ("POST", "PUT", "PATCH", "DELETE"), api.text() + "/payload")


# ---------------------------------------------------------------------------------------------------------- metadata


def test_26_get_metadata(api):
    path = api.text() + "/metadata"
    assert api("GET", path).json() == {"metadata": {}}
    denied(api.other(roles="reader")("GET", path), "Secret metadata retrieval")
    refused(api("GET", f"/v1/secrets/{NOBODY}/metadata"), 404, "Secret not found.")
    common(api, "GET", path)


def test_27_put_metadata(api):
    path = api.text() + "/metadata"
    put = lambda body: api("PUT", path, json=body)
    made = put({"metadata": {"Key-1": " v ", "b_2": ""}})
    assert (made.status_code, made.json()) == (201, {"metadata_ref": api.ref(path)})
    assert "Location" not in made.headers
    assert api("GET", path).json() == {"metadata": {"key-1": "v", "b_2": ""}}
    assert put({"metadata": {"c": "d"}}).status_code == 201
    assert api("GET", path).json() == {"metadata": {"c": "d"}}
    schema(put({}), "SecretMetadata", "'metadata' is a required property", "metadata")
    schema(put({"metadata": []}), "SecretMetadata", "[] is not of type 'object'", "metadata")
    refused(put({"metadata": {"a": 5}}), 400, "Invalid Metadata. Keys and Values must be Strings.")
    for key in ("a b", "ä", "a/b", ""):
        refused(put({"metadata": {key: "x"}}), 400, "Invalid Key. Key must be URL safe.")
    assert put({"metadata": {"a": "x" * 256}}).status_code == 400
    assert put({"metadata": {}}).status_code == 201
    denied(api.other(roles="reader")("PUT", path, json={"metadata": {}}), "Secret metadata creation")
    refused(api("PUT", f"/v1/secrets/{NOBODY}/metadata", json={}), 404, "Secret not found.")
    assert api("PUT", path, data="{}", type="text/plain").status_code == 415
    common(api, "PUT", path, body={"metadata": {}})


def test_28_post_metadata(api):
    path = api.text() + "/metadata"
    made = api("POST", path + "/", json={"key": "NewKey", "value": "v"})
    assert (made.status_code, made.json()) == (201, {"key": "newkey", "value": "v"})
    assert made.headers["Location"] == api.ref(path + "/newkey")
    text = "Conflict. Key in request is already in the secret metadata"
    refused(api("POST", path, json={"key": "newkey", "value": "w"}), 409, text)
    schema(api("POST", path, json={"key": "a"}), "SecretMetadatum", "'value' is a required property", "value")
    reason = "Additional properties are not allowed ('x' was unexpected)"
    schema(api("POST", path, json={"key": "a", "value": "b", "x": 1}), "SecretMetadatum", reason, "None")
    denied(api.other(roles="reader")("POST", path, json={"key": "a", "value": "b"}), "Secret metadatum creation")
    refused(api("POST", f"/v1/secrets/{NOBODY}/metadata", json={}), 404, "Secret not found.")
    assert api("POST", path, data="{}", type="text/plain").status_code == 415
    common(api, "POST", path, body={"key": "z", "value": "z"})


def test_29_other_verbs_on_metadata(api):
    not_allowed(api, ("DELETE", "PATCH"), api.text() + "/metadata", "GET, POST, PUT")


def item(api):
    path = api.text() + "/metadata"
    api("POST", path, json={"key": "Key", "value": "v"})
    return path


def test_30_get_metadata_item(api):
    path = item(api)
    assert api("GET", path + "/key").json() == {"key": "key", "value": "v"}
    for key in ("Key", "other"):
        refused(api("GET", f"{path}/{key}"), 404, "Secret metadata not found.")
    denied(api.other(roles="reader")("GET", path + "/key"), "Secret metadatum retrieval")
    refused(api("GET", f"/v1/secrets/{NOBODY}/metadata/key"), 404, "Secret not found.")
    common(api, "GET", path + "/key")


def test_31_put_metadata_item(api):
    path = item(api)
    changed = api("PUT", path + "/key", json={"key": "Key", "value": "w"})
    assert (changed.status_code, changed.json()) == (200, {"key": "key", "value": "w"})
    text = "Key in request data does not match key in the "
    refused(api("PUT", path + "/key", json={"key": "other", "value": "w"}), 409, text)
    refused(api("PUT", path + "/nope", json={"key": "nope", "value": "w"}), 404, "Secret metadata not found.")
    schema(api("PUT", path + "/key", json={"key": "key", "value": 5}), "SecretMetadatum", "5 is not of type 'string'", "value")
    denied(api.other(roles="reader")("PUT", path + "/key", json={"key": "key", "value": "w"}), "Secret metadatum update")
    refused(api("PUT", f"/v1/secrets/{NOBODY}/metadata/key", json={}), 404, "Secret not found.")
    assert api("PUT", path + "/key", data="{}", type="text/plain").status_code == 415
    common(api, "PUT", path + "/key", body={"key": "key", "value": "w"})


def test_32_delete_metadata_item(api):
    path = item(api)
    for _ in range(2):
        answer = api("DELETE", path + "/key")
        assert (answer.status_code, answer.content) == (204, b"")
    denied(api.other(roles="reader")("DELETE", path + "/key"), "Secret metadatum removal")
    refused(api("DELETE", f"/v1/secrets/{NOBODY}/metadata/key"), 404, "Secret not found.")


def test_33_other_verbs_on_a_metadata_item(api):
    not_allowed(api, ("POST", "PATCH"), item(api) + "/key")


# -------------------------------------------------------------------------------------------------------------- ACLs


@pytest.fixture(params=("secret", "container"))
def entity(api, request):
    """A secret or a container, and its word in texts."""
    return (api.text(), "Secret") if request.param == "secret" else (api.container(), "Container")


def unknown(path, tail):
    collection = path.split("/")[2]
    return f"/v1/{collection}/{NOBODY}{tail}", MISSING[collection]


def test_34_get_acl(api, entity):
    path, word = entity
    assert api("GET", path + "/acl").json() == {"read": {"project-access": True}}
    api("PUT", path + "/acl", json={"read": {"users": ["u1", "u2", "u1"], "project-access": False}})
    shown = api("GET", path + "/acl").json()["read"]
    assert TIME.match(shown.pop("created")) and TIME.match(shown.pop("updated"))
    assert (shown.pop("project-access"), sorted(shown.pop("users")), shown) == (False, ["u1", "u2"], {})
    denied(api.other(roles="reader")("GET", path + "/acl"), f"{word}ACL(s) retrieval")
    where, text = unknown(path, "/acl")
    refused(api("GET", where), 404, text)
    common(api, "GET", path + "/acl")


def test_35_put_acl(api, entity):
    path, word = entity
    put = lambda body: api("PUT", path + "/acl", json=body)
    answer = put({"read": {"users": ["u"]}})
    assert (answer.status_code, answer.json()) == (200, {"acl_ref": api.ref(path + "/acl")})
    assert put({"read": {"project-access": False}}).status_code == 200
    shown = api("GET", path + "/acl").json()["read"]
    assert (shown["project-access"], shown["users"]) == (False, [])
    for empty in ({}, {"read": {}}):
        put({"read": {"users": ["u"]}})
        assert put(empty).status_code == 200
        assert api("GET", path + "/acl").json() == {"read": {"project-access": True}}
    schema(put({"write": {}}), "ACL", "Additional properties are not allowed ('write' was unexpected)", "None")
    schema(put({"read": {"x": 1}}), "ACL", "Additional properties are not allowed ('x' was unexpected)", "read")
    schema(put({"read": {"users": ["a", 5]}}), "ACL", "5 is not of type 'string'", "read")
    schema(put({"read": {"project-access": "yes"}}), "ACL", "'yes' is not of type 'boolean'", "read")
    denied(api.other(roles="reader")("PUT", path + "/acl", json={}), f"{word}ACL(s) Update")
    where, text = unknown(path, "/acl")
    refused(api("PUT", where, json={}), 404, text)
    assert api("PUT", path + "/acl", data="{}", type="text/plain").status_code == 415
    common(api, "PUT", path + "/acl", body={})


def test_36_patch_acl(api, entity):
    path, word = entity
    patch = lambda body: api("PATCH", path + "/acl", json=body)
    assert patch({"read": {"users": ["u"]}}).json() == {"acl_ref": api.ref(path + "/acl")}
    assert patch({"read": {"project-access": False}}).status_code == 200
    for nothing in ({}, {"read": {}}):
        assert patch(nothing).status_code == 200
    shown = api("GET", path + "/acl").json()["read"]
    assert (shown["project-access"], shown["users"]) == (False, ["u"])
    schema(patch({"read": 5}), "ACL", "5 is not of type 'object'", "read")
    denied(api.other(roles="reader")("PATCH", path + "/acl", json={}), f"{word}ACL(s) Update")
    where, text = unknown(path, "/acl")
    refused(api("PATCH", where, json={}), 404, text)
    assert api("PATCH", path + "/acl", data="{}", type="text/plain").status_code == 415
    common(api, "PATCH", path + "/acl", body={})


def test_37_delete_acl(api, entity):
    path, word = entity
    api("PUT", path + "/acl", json={"read": {"users": ["u"]}})
    for _ in range(2):
        answer = api("DELETE", path + "/acl")
        assert (answer.status_code, answer.text) == (200, "null")
    denied(api.other(roles="reader")("DELETE", path + "/acl"), f"{word}ACL(s) deletion")
    where, text = unknown(path, "/acl")
    refused(api("DELETE", where), 404, text)


def test_38_post_acl(api, entity):
    not_allowed(api, ("POST",), entity[0] + "/acl", "DELETE, GET, PATCH, PUT")


# --------------------------------------------------------------------------------------------------------- consumers


def consumer(number="r", container=False):
    if container:
        return {"name": f"n{number}", "URL": f"lb://{number}"}
    return {"service": "s", "resource_type": "t", "resource_id": str(number)}


def is_container(path):
    return path.startswith("/v1/containers")


def test_39_get_consumers(api, entity):
    path, word = entity
    for number in (3, 1, 2):
        assert api("POST", path + "/consumers", json=consumer(number, is_container(path))).status_code == 200
    listed = api("GET", path + "/consumers").json()
    assert listed["total"] == 3
    first = dict(listed["consumers"][0])
    assert TIME.match(first.pop("created")) and TIME.match(first.pop("updated"))
    # Those of a container are ordered by name, those of a secret by time.
    assert first == {"status": "ACTIVE"} | consumer(1 if is_container(path) else 3, is_container(path))
    page = api("GET", path + "/consumers?limit=1&offset=1").json()
    assert (len(page["consumers"]), page["next"], page["previous"]) == (
        1,
        api.ref(path + "/consumers?limit=1&offset=2"),
        api.ref(path + "/consumers?limit=1&offset=0"),
    )
    denied(api.other(roles="reader")("GET", path + "/consumers"), f"{word}Consumers(s) retrieval")
    where, text = unknown(path, "/consumers")
    refused(api("GET", where), 404, text)
    common(api, "GET", path + "/consumers")


def test_40_post_consumer(api, entity):
    path, word = entity
    body = consumer("r", is_container(path))
    for where in ("/consumers", "/consumers/"):
        answer = api("POST", path + where, json=body)
        assert answer.status_code == 200
        assert answer.headers["Location"] == f"{api.root}/v1/consumers/{ident(path)}/consumers"
        assert answer.json()["consumers"] == [body]
        assert answer.json()["container_ref" if is_container(path) else "secret_ref"] == api.ref(path)
    assert api("GET", path + "/consumers").json()["total"] == 1
    name = "Consumer" if is_container(path) else "Secret Consumer"
    for field in body:
        short = {key: value for key, value in body.items() if key != field}
        schema(api("POST", path + "/consumers", json=short), name, f"'{field}' is a required property", "None")
        schema(api("POST", path + "/consumers", json=short | {field: ""}), name, "'' should be non-empty", field)
        assert api("POST", path + "/consumers", json=short | {field: "x" * 256}).status_code == 400
    denied(api.other(roles="reader")("POST", path + "/consumers", json=body), f"{word}Consumer creation")
    where, text = unknown(path, "/consumers")
    refused(api("POST", where, json=body), 404, text)
    assert api("POST", path + "/consumers", data="{}", type="text/plain").status_code == 415
    api.quota(consumers=1)
    for each in (body, consumer("other", is_container(path))):
        refused(api("POST", path + "/consumers", json=each), 403, f"{word}Consumer creation" + QUOTA)
    common(api, "POST", path + "/consumers", body=body)


def test_41_delete_consumer(api, entity):
    path, word = entity
    body = consumer("r", is_container(path))
    api("POST", path + "/consumers", json=body)
    refused(api("DELETE", path + "/consumers", json=consumer("x", is_container(path))), 404, "Consumer not found.")
    assert api("DELETE", path + "/consumers", json={}).status_code == 400
    assert api("DELETE", path + "/consumers").status_code == 415
    # Read by an access list from another project, which did not register it.
    api("PUT", path + "/acl", json={"read": {"users": ["bob"]}})
    bob = api.other(project="elsewhere", user="bob", roles="member")
    text = "Not Allowed. Sorry, only the creator of a consumer can delete it."
    refused(bob("DELETE", path + "/consumers", json=body), 403, text)
    stranger = api.other(project="elsewhere", user="carol", roles="member")
    denied(stranger("DELETE", path + "/consumers", json=body), f"{word}Consumer deletion")
    answer = api("DELETE", path + "/consumers/", json=body)
    assert (answer.status_code, answer.json()["consumers"]) == (200, [])
    assert api("POST", path + "/consumers", json=body).json()["consumers"] == [body]
    where, text = unknown(path, "/consumers")
    refused(api("DELETE", where, json=body), 404, text)


def test_42_get_one_consumer(api, entity):
    path = entity[0]
    refused(api("GET", path + "/consumers/bad-id"), 404, "Not Found. Provided consumer id is invalid.")
    refused(api("GET", f"{path}/consumers/{NOBODY}"), 404, "Consumer not found.")


def test_43_other_verbs_on_consumers(api, entity):
    not_allowed(api, ("PUT", "PATCH"), entity[0] + "/consumers", "DELETE, GET, POST")


# -------------------------------------------------------------------------------------------------------- containers


def test_44_post_generic_container(api):
    one, two = api.text("one"), api.text("two")
    post = lambda **body: api("POST", "/v1/containers", json={"type": "generic"} | body)
    refs = lambda *pairs: [{"name": name, "secret_ref": api.ref(path)} for name, path in pairs]
    made = api("POST", "/v1/containers/", json={"type": "generic", "name": " c ", "secret_refs": refs(("a", one), (None, two))})
    assert made.status_code == 201 and made.headers["Location"] == made.json()["container_ref"]
    assert post().status_code == 201 and post(secret_refs=[]).status_code == 201
    schema(api("POST", "/v1/containers", json={}), "Container", "'type' is a required property", "None")
    schema(post(type="foo"), "Container", "'foo' is not one of ['generic', 'rsa', 'certificate']", "type")
    schema(post(secret_refs=None), "Container", "None is not of type 'array'", "secret_refs")
    schema(post(secret_refs=refs(("a", one), ("a", two))), "Container", "Duplicate reference names are not allowed", "secret_refs")
    schema(post(secret_refs=refs(("a", one), ("b", one))), "Container", "Duplicate secret ids are not allowed", "secret_refs")
    elsewhere = [{"name": "a", "secret_ref": "https://elsewhere.example" + one}]
    refused(post(secret_refs=elsewhere), 400, "Provided field value is not supported")
    missing = refs(("a", f"/v1/secrets/{NOBODY}"))
    refused(post(secret_refs=missing), 404, "Secret provided for 'a' doesn't exist.")
    foreign = api.other(project=f"q-{uuid.uuid4().hex}").text()
    refused(post(secret_refs=refs(("f", foreign))), 404, "Secret provided for 'f' doesn't exist.")
    denied(api.other(roles="reader")("POST", "/v1/containers", json={}), "Container creation")
    assert api("POST", "/v1/containers", data="{}", type="text/plain").status_code == 415
    api.quota(containers=3)
    refused(post(), 403, "Container creation" + QUOTA)
    refused(post(secret_refs=missing), 403, "Container creation" + QUOTA)
    common(api, "POST", "/v1/containers", body={"type": "generic"})


def typed(api, kind, *names):
    refs = [{"name": name, "secret_ref": api.ref(api.text())} for name in names]
    return api("POST", "/v1/containers", json={"type": kind, "secret_refs": refs})


def test_45_post_rsa_container(api):
    for names in ((), ("public_key", "private_key"), ("private_key", "public_key", "private_key_passphrase")):
        assert typed(api, "rsa", *names).status_code == 201, names
    reason = "only 'private_key', 'public_key' and 'private_key_passphrase' reference names are allowed for RSA type"
    schema(typed(api, "rsa", "public_key", "private_key", "other"), "Container", reason, "secret_refs")
    reason = "The minimum required reference names are 'public_key' and'private_key' for RSA type"
    schema(typed(api, "rsa", "public_key"), "Container", reason, "secret_refs")


def test_46_post_certificate_container(api):
    for names in ((), ("certificate",), ("certificate", "private_key", "private_key_passphrase", "intermediates")):
        assert typed(api, "certificate", *names).status_code == 201, names
    reason = (
        "only 'private_key', 'certificate' , 'private_key_passphrase',  or 'intermediates' reference names are allowed "
        "for Certificate type"
    )
    schema(typed(api, "certificate", "certificate", "other"), "Container", reason, "secret_refs")
    reason = "The minimum required reference name is 'certificate' for Certificate type"
    schema(typed(api, "certificate", "private_key"), "Container", reason, "secret_refs")


def test_47_list_containers(api):
    for number in range(3):
        api.container(name=f"c{number}", type="rsa" if number == 1 else "generic")
    listed = api("GET", "/v1/containers?limit=2").json()
    assert ([each["name"] for each in listed["containers"]], listed["total"]) == (["c0", "c1"], 3)
    assert listed["next"] == f"{api.root}/v1/containers?limit=2&offset=2"
    names = lambda query: [each["name"] for each in api("GET", "/v1/containers?" + query).json()["containers"]]
    assert names("name=C1") == ["c1"] and names("name=c%25") == ["c0", "c1", "c2"] and names("type=rsa") == ["c1"]
    filtered = api("GET", "/v1/containers?limit=1&type=generic").json()
    assert (filtered["total"], filtered["next"]) == (2, f"{api.root}/v1/containers?limit=1&offset=1&type=generic")
    denied(api.other(roles="reader")("GET", "/v1/containers"), "Containers(s) retrieval")
    common(api, "GET", "/v1/containers")


def test_48_get_container(api):
    member = api.text()
    path = api.container(name="my", secret_refs=[{"name": "x", "secret_ref": api.ref(member)}])
    api("POST", path + "/consumers", json={"name": "svc", "URL": "lb://1"})
    shown = api("GET", path).json()
    assert TIME.match(shown.pop("created")) and TIME.match(shown.pop("updated"))
    assert shown == {
        "status": "ACTIVE", "name": "my", "type": "generic", "creator_id": "alice",
        "secret_refs": [{"name": "x", "secret_ref": api.ref(member)}],
        "consumers": [{"name": "svc", "URL": "lb://1"}], "container_ref": api.ref(path),
    }
    refused(api("GET", "/v1/containers/1"), 404, "Not Found. Provided container id is invalid.")
    refused(api("GET", f"/v1/containers/{NOBODY}"), 404, "Secrets container not found.")
    denied(api.other(project="elsewhere", roles="member")("GET", path), "Container retrieval")
    common(api, "GET", path)


def test_49_delete_container(api):
    member = api.text()
    path = api.container(secret_refs=[{"name": "x", "secret_ref": api.ref(member)}])
    api("POST", path + "/consumers", json={"name": "svc", "URL": "lb://1"})
    denied(api.other(roles="reader")("DELETE", path), "Container deletion")
    answer = api("DELETE", path, version="1.2")
    assert (answer.status_code, answer.content) == (204, b"")
    refused(api("DELETE", path), 404, "Secrets container not found.")
    assert api("GET", member).status_code == 200


def test_50_other_verbs_on_containers(api):
    not_allowed(api, ("PUT", "PATCH"), "/v1/containers", "GET, POST")
    not_allowed(api, ("PUT", "PATCH"), api.container(), "DELETE, GET")


def test_51_post_container_secret(api):
    path, member = api.container(), api.text()
    body = {"name": "a", "secret_ref": api.ref(member)}
    made = api("POST", path + "/secrets/", json=body)
    assert (made.status_code, made.json()) == (201, {"container_ref": api.ref(path)})
    assert made.headers["Location"] == api.ref(path)
    text = (
        "Conflict. A secret with that name and ID is already stored in this container. The same secret can exist in a "
        "container as long as the name is unique."
    )
    refused(api("POST", path + "/secrets", json=body), 409, text)
    assert api("POST", path + "/secrets", json=body | {"name": "b"}).status_code == 201
    assert api("DELETE", path + "/secrets", json=body).status_code == 204
    assert api("POST", path + "/secrets", json=body).status_code == 201
    # The host is not compared.
    assert api("POST", path + "/secrets", json={"secret_ref": "https://other/x" + member}).status_code == 201
    rsa = typed(api, "rsa").json()["container_ref"]
    refused(api("POST", rsa + "/secrets", data="{", type="text/html"), 400, "Only 'generic' containers can be modified.")
    schema(api("POST", path + "/secrets", json={}), "ContainerSecret", "'secret_ref' is a required property", "None")
    for ref in (api.ref(f"/v1/secrets/{NOBODY}"), "nonsense"):
        refused(api("POST", path + "/secrets", json={"secret_ref": ref}), 404, "Secret provided doesn't exist.")
    denied(api.other(roles="reader")("POST", path + "/secrets", json=body), "Container Secret creation")
    where, text = unknown(path, "/secrets")
    refused(api("POST", where, json=body), 404, text)
    assert api("POST", path + "/secrets", data="{}", type="text/plain").status_code == 415
    common(api, "POST", path + "/secrets", body=body)


def test_52_delete_container_secret(api):
    one, two = api.text(), api.text()
    refs = [{"name": "public_key", "secret_ref": api.ref(one)}, {"name": "private_key", "secret_ref": api.ref(two)}]
    path = api.container(type="rsa", secret_refs=refs)
    body = f'{{"name": "public_key", "secret_ref": "{api.ref(one)}"}}'
    denied(api.other(roles="reader")("DELETE", path + "/secrets", data=body), "Container Secret deletion")
    for data in (None, "{"):
        refused(api("DELETE", path + "/secrets", data=data), 400, "Malformed JSON")
    absent = {"name": "other", "secret_ref": api.ref(one)}
    refused(api("DELETE", path + "/secrets", json=absent), 404, "Secret provided is not in the container")
    ref = api.ref(f"/v1/secrets/{NOBODY}")
    text = f"Secret 'x' with reference '{ref}' doesn't exist."
    refused(api("DELETE", path + "/secrets", json={"name": "x", "secret_ref": ref}), 404, text)
    answer = api("DELETE", path + "/secrets", data=body, type="image/png")
    assert (answer.status_code, answer.content) == (204, b"")
    assert len(api("GET", path).json()["secret_refs"]) == 1


def test_53_other_verbs_on_container_secrets(api):
    not_allowed(api, ("GET", "PUT", "PATCH"), api.container() + "/secrets", "DELETE, POST")


# Rows 54 to 56, the ACL and consumers of containers, are rows 34 to 43 with the other entity.


# ------------------------------------------------------------------------------------------------------------ orders


def test_57_post_key_order(api):
    made = api("POST", "/v1/orders/", json={"type": "key", "meta": {"algorithm": "aes", "bit_length": 256}})
    assert (made.status_code, made.headers["Location"]) == (202, made.json()["order_ref"])
    for bits in (128, 192, 256, 384, 512):
        _, order = api.order("key", {"algorithm": "aes", "bit_length": bits, "name": "k"})
        assert (order["status"], order["sub_status"], order["sub_status_message"]) == ("ACTIVE", "Unknown", "Unknown")
        assert order["meta"] == {"algorithm": "aes", "bit_length": bits, "name": "k", "expiration": None}
        secret = api("GET", order["secret_ref"]).json()
        assert (secret["secret_type"], secret["content_types"]) == ("symmetric", {"default": OCTETS})
        assert len(api("GET", order["secret_ref"] + "/payload").content) * 8 == bits
    post = lambda meta: api("POST", "/v1/orders", json={"type": "key", "meta": meta})
    schema(api("POST", "/v1/orders", json={"type": "key"}), "Order", "'meta' is a required property", "meta")
    schema(post([]), "Order", "[] is not of type 'object'", "meta")
    schema(post({"bit_length": 8}), "Order", "'algorithm' is required field for key type order", "meta")
    schema(post({"algorithm": "aes"}), "Order", "'bit_length' is required field for key type order", "meta")
    answer = post({"algorithm": "aes", "bit_length": 8, "payload": "x", "payload_content_type": "text/plain"})
    schema(answer, "Order", "'payload' not allowed for key type order", "meta")
    refused(post({"algorithm": "aes", "bit_length": 129}), 400, "Provided field value is not supported")
    schema(post({"algorithm": "aes", "bit_length": "256"}), "Secret' within 'Order", "'256' is not of type 'integer'", "bit_length")
    denied(api.other(roles="reader")("POST", "/v1/orders", json={}), "Order creation")
    assert api("POST", "/v1/orders", data="{}", type="text/plain").status_code == 415
    api.quota(orders=6)
    refused(post({"algorithm": "aes", "bit_length": 256}), 403, "Order creation" + QUOTA)
    common(api, "POST", "/v1/orders", body={"type": "key", "meta": {}})


@pytest.mark.parametrize("algorithm, bits", (("rsa", 2048), ("RSA", 4096), ("ec", 256), ("ec", 384), ("ec", 521)))
def test_58_post_asymmetric_order(api, token_kind, algorithm, bits):
    secret = "geheim" if bits in (2048, 256) else None
    meta = {"algorithm": algorithm, "bit_length": bits, "name": "pair"} | ({"pass_phrase": secret} if secret else {})
    _, order = api.order("asymmetric", meta)
    assert order["status"] == "ACTIVE", order
    assert "geheim" not in str(order)
    found = api("GET", order["container_ref"]).json()
    assert (found["type"], found["name"]) == ("rsa" if algorithm.lower() == "rsa" else "generic", "pair")
    names = ["private_key", "public_key"] + (["private_key_passphrase"] if secret else [])
    assert [each["name"] for each in found["secret_refs"]] == names
    private, public = (api("GET", each["secret_ref"] + "/payload").text for each in found["secret_refs"][:2])
    begin = "ENCRYPTED PRIVATE KEY" if secret else "PRIVATE KEY"
    assert private.startswith(f"-----BEGIN {begin}-----\n") and public.startswith("-----BEGIN PUBLIC KEY-----\n")
    derived = subprocess.run(
        ["openssl", "pkey", "-pubout", "-passin", f"pass:{secret}"], input=private, capture_output=True, text=True, timeout=60
    )
    assert derived.stdout == public, derived.stderr
    if secret:
        assert api("GET", found["secret_refs"][2]["secret_ref"] + "/payload").text == secret
        answer = api("POST", "/v1/orders", json={"type": "asymmetric", "meta": meta | {"passphrase": 5}})
        assert answer.status_code == 400
        schema(
            api("POST", "/v1/orders", json={"type": "asymmetric", "meta": {"bit_length": 8}}),
            "Order",
            "'algorithm' is required field for asymmetric key type order",
            "meta",
        )


def test_59_post_order_of_another_type(api):
    for kind in ("certificate", "foo"):
        answer = api("POST", "/v1/orders", json={"type": kind, "meta": {}})
        schema(answer, "Order", f"'{kind}' is not one of ['key', 'asymmetric']", "type")
    schema(api("POST", "/v1/orders", json={"meta": {}}), "Order", "'type' is a required property", "type")


def test_60_post_order_that_nothing_can_make(api):
    for kind, meta, reason in (
        ("key", {"algorithm": "bogus", "bit_length": 128}, "Process TypeOrder issue seen - Secret generate supported plugin not found.."),
        ("key", {"algorithm": "rsa", "bit_length": 2048}, "Process TypeOrder issue seen - Requested algorithm is not supported.."),
        ("asymmetric", {"algorithm": "rsa", "bit_length": 2056}, None),
    ):
        _, order = api.order(kind, meta)
        assert (order["status"], order["error_status_code"]) == ("ERROR", "400"), order
        assert len(order["error_reason"]) <= 255
        assert reason is None or order["error_reason"].rstrip(".") == reason.rstrip(".")
        assert "secret_ref" not in order and "container_ref" not in order


def test_61_list_orders(api):
    for name in ("one", "two", "three"):
        api.order("key", {"algorithm": "aes", "bit_length": 128, "name": name})
    listed = api("GET", "/v1/orders?limit=2").json()
    assert ([each["meta"]["name"] for each in listed["orders"]], listed["total"]) == (["one", "two"], 3)
    assert listed["next"] == f"{api.root}/v1/orders?limit=2&offset=2"
    assert [each["meta"]["name"] for each in api("GET", "/v1/orders?meta=three").json()["orders"]] == ["three"]
    denied(api.other(roles="reader")("GET", "/v1/orders"), "Order(s) retrieval")
    common(api, "GET", "/v1/orders")


def test_62_put_orders(api):
    answer = api("PUT", "/v1/orders", data="x", type="image/png")
    refused(answer, 405, "Order update is not supported.")
    assert "Allow" not in answer.headers
    denied(api.other(roles="reader")("PUT", "/v1/orders"), "Order update")


def test_63_get_order(api):
    path, order = api.order("key", {"algorithm": "aes", "bit_length": 128})
    assert set(order) == {
        "created", "updated", "status", "type", "meta", "creator_id", "order_ref", "secret_ref", "sub_status",
        "sub_status_message",
    }
    for wrong in (NOBODY, "malformed"):
        refused(api("GET", f"/v1/orders/{wrong}"), 404, "Order not found.")
    refused(api.other(project="elsewhere")("GET", path), 404, "Order not found.")
    denied(api.other(roles="reader")("GET", path), "Order retrieval")
    common(api, "GET", path)


def test_64_delete_order(api, legacy):
    path, order = api.order("key", {"algorithm": "aes", "bit_length": 128})
    denied(api.other(roles="reader")("DELETE", path), "Order deletion")
    answer = api("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    refused(api("DELETE", path), 404, "Order not found.")
    assert api("GET", order["secret_ref"]).status_code == 200
    old = Api(legacy.rest, roles="creator")
    path, _ = old.order("key", {"algorithm": "aes", "bit_length": 128})
    denied(old("DELETE", path), "Order deletion")
    assert old.other(roles="admin")("DELETE", path).status_code == 204


def test_65_other_verbs_on_an_order(api):
    path, _ = api.order("key", {"algorithm": "aes", "bit_length": 128})
    not_allowed(api, ("PUT", "PATCH"), path, "DELETE, GET")


# ------------------------------------------------------------------------------------------------------------ quotas


def test_66_get_quotas(api):
    unlimited = dict.fromkeys(("secrets", "orders", "containers", "consumers", "cas"), -1)
    assert api("GET", "/v1/quotas").json() == {"quotas": unlimited}
    assert api.other(roles="reader")("GET", "/v1/quotas").status_code == 200
    api.quota(secrets=5)
    assert api("GET", "/v1/quotas").json() == {"quotas": unlimited | {"secrets": 5}}
    denied(api.other(roles="nobody")("GET", "/v1/quotas"), "Quotas")
    common(api, "GET", "/v1/quotas")


def test_67_other_verbs_on_quotas(api):
    not_allowed(api, ("POST", "PUT", "PATCH", "DELETE"), "/v1/quotas", "GET")


def test_68_list_project_quotas(api):
    others = [api.other(project=f"z-{uuid.uuid4().hex}") for _ in range(3)]
    for number, each in enumerate(others):
        each.quota(secrets=number)
    listed = api("GET", "/v1/project-quotas?limit=100").json()
    found = [each for each in listed["project_quotas"] if each["project_id"] in {other.project for other in others}]
    nulls = dict.fromkeys(("orders", "containers", "consumers", "cas"))
    assert found == [{"project_id": each.project, "project_quotas": {"secrets": n} | nulls} for n, each in enumerate(others)]
    assert listed["total"] >= 3
    assert api("GET", "/v1/project-quotas?limit=1").json()["next"] == f"{api.root}/v1/project-quotas?limit=1&offset=1"
    denied(api.other(roles="member")("GET", "/v1/project-quotas"), "Project Quotas")
    common(api, "GET", "/v1/project-quotas")


def test_69_get_project_quota(api):
    path = f"/v1/project-quotas/{api.project}"
    refused(api("GET", path), 404, "Project quotas not found.")
    api("PUT", path, json={"project_quotas": {}})
    names = ("secrets", "orders", "containers", "consumers", "cas")
    assert api("GET", path).json() == {"project_quotas": dict.fromkeys(names)}
    denied(api.other(roles="member")("GET", path), "Project Quotas")
    common(api, "GET", path)


def test_70_put_project_quota(api):
    path = f"/v1/project-quotas/{api.project}"
    put = lambda body: api("PUT", path, json=body)
    answer = put({"project_quotas": {"secrets": 10, "orders": 0}})
    assert (answer.status_code, answer.content) == (204, b"")
    assert put({"project_quotas": {"secrets": -5, "cas": 7}}).status_code == 204
    assert api("GET", path).json()["project_quotas"] == {"secrets": -5, "orders": 0, "containers": None, "consumers": None, "cas": 7}
    meta = {"algorithm": "aes", "bit_length": 128}
    refused(api("POST", "/v1/orders", json={"type": "key", "meta": meta}), 403, "Order creation" + QUOTA)
    assert api.secret()
    schema(put({}), "Project Quota", "'project_quotas' is a required property", "None")
    for value, text in (("5", "'5'"), (None, "None"), (True, "True")):
        schema(put({"project_quotas": {"secrets": value}}), "Project Quota", f"{text} is not of type 'integer'", "project_quotas")
    reason = "Additional properties are not allowed ('x' was unexpected)"
    schema(put({"project_quotas": {"x": 1}}), "Project Quota", reason, "project_quotas")
    schema(put({"project_quotas": {}, "x": 1}), "Project Quota", reason, "None")
    refused(api("PUT", path, data="", type=JSON), 400, "Project Quotas issue seen - No data supplied to process..")
    refused(api("PUT", path, data="{", type=JSON), 400, "Malformed JSON")
    denied(api.other(roles="member")("PUT", path, json={"project_quotas": {}}), "Project Quotas")
    assert api("PUT", path, data="{}", type="text/plain").status_code == 415
    common(api, "PUT", path, body={"project_quotas": {}})


def test_71_delete_project_quota(api):
    path = f"/v1/project-quotas/{api.project}"
    refused(api("DELETE", path), 404, "Project quotas not found.")
    api.quota(secrets=0)
    refused(api("POST", "/v1/secrets", json={}), 403, "Secret creation" + QUOTA)
    denied(api.other(roles="member")("DELETE", path), "Project Quotas")
    answer = api("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.secret()


def test_72_other_verbs_on_project_quotas(api):
    not_allowed(api, ("POST", "PATCH"), f"/v1/project-quotas/{api.project}", "DELETE, GET, PUT")
    not_allowed(api, ("POST", "PUT", "DELETE"), "/v1/project-quotas", "GET")


# ----------------------------------------------------------------------------------------------------- secret stores


def test_73_secret_stores_of_a_single_backend(api):
    text = "Not Found. Multiple backends support is not enabled in service configuration."
    for method in ("GET", "POST", "PUT", "DELETE"):
        for tail in ("", "/global-default", "/preferred", f"/{NOBODY}", f"/{NOBODY}/preferred"):
            refused(api(method, "/v1/secret-stores" + tail), 404, text)


@pytest.fixture
def shop(stores):
    return Api(stores.rest)


def the_store(shop):
    return shop("GET", "/v1/secret-stores").json()["secret_stores"][0]


def test_74_list_secret_stores(shop):
    listed = shop("GET", "/v1/secret-stores").json()
    assert set(listed) == {"secret_stores"}
    store = dict(listed["secret_stores"][0])
    assert TIME.match(store.pop("created")) and TIME.match(store.pop("updated"))
    assert uuid.UUID(ident(store.pop("secret_store_ref"))).version == 4
    assert store == {
        "status": "ACTIVE", "name": "main", "global_default": True, "secret_store_plugin": "store_crypto",
        "crypto_plugin": "p11_crypto",
    }
    assert shop.other(roles="reader")("GET", "/v1/secret-stores").status_code == 200
    denied(shop.other(roles="nobody")("GET", "/v1/secret-stores"), "List available secret stores")
    common(shop, "GET", "/v1/secret-stores")


def test_75_get_default_secret_store(shop):
    assert shop("GET", "/v1/secret-stores/global-default").json() == the_store(shop)
    answer = shop.other(roles="nobody")("GET", "/v1/secret-stores/global-default")
    denied(answer, "Retrieve global default secret store")


def test_76_get_preferred_secret_store(shop):
    text = "Not Found. No preferred secret store defined for this project."
    refused(shop("GET", "/v1/secret-stores/preferred"), 404, text)
    shop("POST", the_store(shop)["secret_store_ref"] + "/preferred")
    assert shop("GET", "/v1/secret-stores/preferred").json() == the_store(shop)
    denied(shop.other(roles="nobody")("GET", "/v1/secret-stores/preferred"), "Retrieve project preferred store")


def test_77_get_secret_store(shop):
    assert shop("GET", the_store(shop)["secret_store_ref"]).json() == the_store(shop)
    for wrong in (NOBODY, "x"):
        refused(shop("GET", f"/v1/secret-stores/{wrong}"), 404, "Not Found. Secret store not found.")
    denied(shop.other(roles="nobody")("GET", the_store(shop)["secret_store_ref"]), "Secret store retrieval")


def test_78_prefer_secret_store(shop):
    where = the_store(shop)["secret_store_ref"] + "/preferred"
    for _ in range(2):
        answer = shop("POST", where)
        assert (answer.status_code, answer.content) == (204, b"")
    assert shop("GET", shop.text() + "/payload").text == "beer"
    refused(shop("POST", f"/v1/secret-stores/{NOBODY}/preferred"), 404, "Not Found. Secret store not found.")
    denied(shop.other(roles="member")("POST", where), "Setting preferred secret store")


def test_79_prefer_no_secret_store(shop):
    where = the_store(shop)["secret_store_ref"] + "/preferred"
    text = "Not Found. No preferred secret store defined for this project."
    refused(shop("DELETE", where), 404, text)
    shop("POST", where)
    denied(shop.other(roles="member")("DELETE", where), "Removing preferred secret store")
    assert shop("DELETE", where).status_code == 204
    refused(shop("GET", "/v1/secret-stores/preferred"), 404, text)


def test_80_other_verbs_on_secret_stores(shop):
    not_allowed(shop, ("POST", "PUT", "DELETE"), "/v1/secret-stores", "GET")
    not_allowed(shop, ("GET", "PUT", "PATCH"), the_store(shop)["secret_store_ref"] + "/preferred")
    not_allowed(shop, ("GET", "POST"), the_store(shop)["secret_store_ref"] + "/x")


# ---------------------------------------------------------------------------------------------------- transport keys


def test_81_list_transport_keys(api):
    plugin = f"plugin-{uuid.uuid4().hex}"
    refs = [api("POST", "/v1/transport_keys", json={"plugin_name": plugin, "transport_key": "PEM"}).json()["transport_key_ref"] for _ in range(2)]
    listed = api("GET", f"/v1/transport_keys?plugin_name={plugin}").json()
    assert listed == {"transport_keys": refs, "total": 2}
    assert api("GET", "/v1/transport_keys?plugin_name=other").json()["total"] == 0
    page = api("GET", f"/v1/transport_keys?plugin_name={plugin}&limit=1").json()
    assert page["next"] == f"{api.root}/v1/transport_keys?limit=1&offset=1&plugin_name={plugin}"
    denied(api.other(roles="nobody")("GET", "/v1/transport_keys"), "Transport Key(s) retrieval")
    common(api, "GET", "/v1/transport_keys")


def test_82_post_transport_key(api):
    made = api("POST", "/v1/transport_keys/", json={"plugin_name": "p", "transport_key": "PEM"})
    assert (made.status_code, made.headers["Location"]) == (201, made.json()["transport_key_ref"])
    schema(api("POST", "/v1/transport_keys", json={"transport_key": "x"}), "Transport Key", "plugin_name must be provided", "plugin_name")
    answer = api("POST", "/v1/transport_keys", json={"plugin_name": "p", "transport_key": " "})
    schema(answer, "Transport Key", "transport_key must be provided", "transport_key")
    denied(api.other(roles="member")("POST", "/v1/transport_keys", json={}), "Transport Key Creation")
    assert api("POST", "/v1/transport_keys", data="{}", type="text/plain").status_code == 415
    # Nothing of ours wraps under it, and a client that wants to is told so.
    body = {"payload": "x", "payload_content_type": "text/plain", "transport_key_id": NOBODY}
    text = "Secret creation issue seen - Provided transport key was not found.."
    refused(api("POST", "/v1/secrets", json=body), 400, text)
    text = "Secret creation issue seen - Secret store supported plugin not found.."
    refused(api("POST", "/v1/secrets", json={"transport_key_needed": "true"}), 400, text)
    common(api, "POST", "/v1/transport_keys", body={"plugin_name": "p", "transport_key": "x"})


def test_83_get_transport_key(api):
    ref = api("POST", "/v1/transport_keys", json={"plugin_name": "p", "transport_key": "PEM"}).json()["transport_key_ref"]
    shown = api("GET", ref).json()
    for name in ("created_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", shown.pop(name))
    assert shown == {
        "id": ident(ref), "plugin_name": "p", "transport_key": "PEM", "status": "ACTIVE", "deleted": False, "deleted_at": None,
    }
    refused(api("GET", "/v1/transport_keys/x"), 404, "Not Found. Provided transport key id is invalid.")
    refused(api("GET", f"/v1/transport_keys/{NOBODY}"), 404, "Not Found. Transport Key not found.")
    # The rules are asked before the key is looked for.
    denied(api.other(roles="nobody")("GET", f"/v1/transport_keys/{NOBODY}"), "Transport Key retrieval")
    common(api, "GET", ref.removeprefix(api.root))


def test_84_delete_transport_key(api):
    ref = api("POST", "/v1/transport_keys", json={"plugin_name": "p", "transport_key": "PEM"}).json()["transport_key_ref"]
    denied(api.other(roles="member")("DELETE", ref), "Transport Key deletion")
    answer = api("DELETE", ref)
    assert (answer.status_code, answer.content) == (204, b"")
    refused(api("DELETE", ref), 404, "Not Found. Transport Key not found.")


# ------------------------------------------------------------------------------------------------------------- rules

# Row 85, every rule by role, access list, ownership and project, is tests/policy.rs with its table.


def test_86_parameters_reach_no_rule(api):
    path = api.text() + "/payload"
    stranger = api.other(project="elsewhere", user="mallory", roles="member")
    for query in ("target.secret.read=read", "target.secret.project_id=elsewhere", "read=read", "user_id=mallory"):
        denied(stranger("GET", f"{path}?{query}"), "Secret payload retrieval")


# ------------------------------------------------------------------------------------------------------------- races


def race(calls, at_once=100):
    with ThreadPoolExecutor(at_once) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_quota_race(api):
    """Of a hundred at once exactly as many succeed as there is room for."""
    api.quota(secrets=10, containers=10, orders=10, consumers=10)
    target = api.text()
    meta = {"algorithm": "aes", "bit_length": 128}
    bodies = {
        "/v1/secrets": lambda n: {"payload": "x", "payload_content_type": "text/plain"},
        "/v1/containers": lambda n: {"type": "generic"},
        "/v1/orders": lambda n: {"type": "key", "meta": meta},
        target + "/consumers": consumer,
    }
    for path, body in bodies.items():
        room = 9 if path == "/v1/secrets" else 10
        answers = race([lambda n=n: api.other()("POST", path, json=body(n)) for n in range(100)])
        refusals = [each for each in answers if each.status_code == 403]
        assert len(refusals) == 100 - room, {each.status_code for each in answers}
        assert all(each.json()["description"].endswith(QUOTA) for each in refusals)


def test_entity_races(api):
    """Nothing is lost and nothing breaks when a hundred change one secret and one container."""
    path = api.text()
    answers = race([lambda n=n: api.other()("POST", path + "/consumers", json=consumer(n)) for n in range(100)])
    assert {each.status_code for each in answers} == {200}
    assert api("GET", path + "/consumers").json()["total"] == 100
    holder, members = api.container(), [api.text() for _ in range(10)]
    body = lambda n: {"name": f"m{n}", "secret_ref": api.ref(members[n % 10])}
    answers = race([lambda n=n: api.other()("POST", holder + "/secrets", json=body(n)) for n in range(100)])
    assert {each.status_code for each in answers} == {201}
    assert len(api("GET", holder).json()["secret_refs"]) == 100
    late = api.secret(name="late")
    answers = race([lambda n=n: api.other()("PUT", late, data=str(n), type="text/plain") for n in range(100)])
    assert sorted(each.status_code for each in answers) == [204] + [409] * 99
    answers = race([lambda: api.other()("DELETE", path, version="1.1") for _ in range(100)])
    assert [each.status_code for each in answers].count(204) >= 1
    assert {each.status_code for each in answers} <= {204, 404}
