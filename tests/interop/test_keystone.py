"""`portcullis serve` from a configuration file, with SoftHSM2 and a real Keystone.

`cache_seconds` is 0 in this configuration, so that each request asks Keystone; one test has a gateway that remembers.
"""

import json
import os
import signal
import ssl
import subprocess
import time

import pytest
import requests
from barbicanclient import client as barbicanclient
from barbicanclient import exceptions
from castellan.common.credentials.keystone_password import KeystonePassword
from castellan.common.exception import KeyManagerError
from castellan.key_manager.barbican_key_manager import BarbicanKeyManager
from keystoneauth1 import session
from keystoneauth1.identity import v3
from kmip.core.enums import CryptographicAlgorithm, KMIPVersion
from kmip.pie.client import ProxyKmipClient
from oslo_config import cfg

import material
import portcullis
from material import unique


def auth_of(cloud, user: str, project: str) -> v3.Password:
    """Authentication with a password."""
    return v3.Password(
        auth_url=cloud.keystone.auth_url,
        username=user,
        password=cloud.keystone.password_of(user),
        project_name=project,
        user_domain_id="default",
        project_domain_id="default",
    )


def client_of(cloud, user: str, project: str):
    """A client that finds the gateway in the catalogue."""
    auth = auth_of(cloud, user, project)
    return barbicanclient.Client(session=session.Session(auth=auth))


@pytest.fixture(scope="module")
def alice(cloud):
    return client_of(cloud, "alice", "crypto")


def ask(cloud, token: str | None = None, method: str = "GET", path: str = "/v1/secrets", gateway=None, **more):
    """One plain request."""
    headers = more.pop("headers", {}) | ({"X-Auth-Token": token} if token is not None else {})
    gateway = gateway or cloud.gateway
    return requests.request(method, gateway.rest + path, headers=headers, timeout=120, **more)


def refused(answer, cloud) -> None:
    """401 as the middleware of OpenStack words it, with what barbicanclient reads."""
    assert answer.status_code == 401, answer.text
    assert answer.headers["WWW-Authenticate"] == f'Keystone uri="{cloud.keystone.url}"'
    body = answer.json()
    assert body["code"] == 401
    assert body["title"] == "Unauthorized"


def test_token_is_accepted(alice, cloud):
    reference = alice.secrets.create(name=unique("mine"), payload="x").store()
    assert reference.startswith(cloud.gateway.rest)
    assert alice.secrets.get(reference).payload == "x"
    token = cloud.keystone.token("alice", "crypto")
    answer = ask(cloud, token, path="/v1/secrets/" + reference.rsplit("/", 1)[1]).json()
    assert answer["creator_id"] == cloud.keystone.users["alice"]
    alice.secrets.delete(reference)


def test_headers_do_not_make_a_principal(cloud):
    """What the unauthenticated context believes is nothing here."""
    headers = {"X-Project-Id": cloud.project, "X-User-Id": cloud.keystone.users["alice"], "X-Roles": "admin"}
    headers |= {"X-Identity-Status": "Confirmed"}
    refused(ask(cloud, headers=headers), cloud)
    token = cloud.keystone.token("bob", "elsewhere")
    made = ask(cloud, token, "POST", headers=headers, json={"payload": "x", "payload_content_type": "text/plain"})
    assert made.status_code == 201
    shown = ask(cloud, token, path="/v1/secrets/" + made.json()["secret_ref"].rsplit("/", 1)[1], headers=headers)
    assert shown.json()["creator_id"] == cloud.keystone.users["bob"]


@pytest.mark.parametrize(
    "token", ("", "x", "gAAAAA" + "x" * 180, "x" * 20_000, "\N{LOCK}".encode().decode("latin-1")), ids=range(5)
)
def test_nonsense_is_refused(cloud, token):
    answer = ask(cloud, token)
    # A header of this size is too large for HTTP before anybody looks at it.
    if answer.status_code != 431:
        refused(answer, cloud)


def test_no_token_is_refused(cloud):
    refused(ask(cloud), cloud)


def test_versions_need_no_token(cloud):
    assert requests.get(cloud.gateway.rest, timeout=60).status_code == 300


def test_revoked_token_is_refused(cloud):
    token = cloud.keystone.token("alice", "crypto")
    assert ask(cloud, token).status_code == 200
    cloud.keystone.revoke(token)
    refused(ask(cloud, token), cloud)


def test_expired_token(cloud):
    """Refused; accepted with a service token beside it, as Nova and Cinder send in long operations."""
    server = cloud.keystone.short_lived(8)
    try:
        token = server.token("alice", "crypto")
    finally:
        server.stop()
    assert ask(cloud, token).status_code == 200
    time.sleep(8.5)
    refused(ask(cloud, token), cloud)
    service = cloud.keystone.token("gateway", "service")
    assert ask(cloud, token, headers={"X-Service-Token": service}).status_code == 200
    # A member's token is no service token.
    refused(ask(cloud, token, headers={"X-Service-Token": cloud.keystone.token("carol", "crypto")}), cloud)


def test_tokens_without_a_project_are_refused(cloud):
    refused(ask(cloud, cloud.keystone.token("nobody", None)), cloud)
    refused(ask(cloud, cloud.keystone.token("alice", None)), cloud)
    refused(ask(cloud, cloud.keystone.token("admin", "admin") and system_token(cloud)), cloud)


def system_token(cloud) -> str:
    """A token for the whole system."""
    user = {"name": "admin", "domain": {"id": "default"}, "password": cloud.keystone.password_of("admin")}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"system": {"all": True}}}
    answer = requests.post(f"{cloud.keystone.auth_url}/auth/tokens", json={"auth": auth}, timeout=120)
    assert answer.status_code == 201
    return answer.headers["X-Subject-Token"]


def test_token_of_a_disabled_user_is_refused(cloud):
    keystone = cloud.keystone
    # Nobody else uses this one: Keystone refuses later tokens, too, that it issues within the same second.
    token = keystone.token("dora", "crypto")
    assert ask(cloud, token, path="/v1/quotas").status_code == 200
    keystone.call("PATCH", f"users/{keystone.users['dora']}", user={"enabled": False})
    refused(ask(cloud, token, path="/v1/quotas"), cloud)


def test_other_projects_are_refused(cloud, alice):
    reference = alice.secrets.create(name=unique("mine"), payload="x").store()
    container = alice.containers.create(name=unique("mine"), secrets={"x": alice.secrets.get(reference)}).store()
    order = alice.orders.create_key(name=unique("mine"), algorithm="aes", bit_length=128).submit()
    bob = client_of(cloud, "bob", "elsewhere")
    attempts = {
        lambda: bob.secrets.get(reference).payload: 403,
        lambda: bob.secrets.delete(reference): 403,
        lambda: bob.containers.get(container): 403,
        lambda: bob.orders.get(order): 404,
    }
    for attempt, expected in attempts.items():
        with pytest.raises(exceptions.HTTPClientError) as failure:
            attempt()
        assert failure.value.status_code == expected
    assert reference not in [each.secret_ref for each in bob.secrets.list(limit=100)]
    # Bob's key order and bob's list stay his.
    own = bob.secrets.create(name=unique("bob"), payload="y").store()
    assert own in [each.secret_ref for each in bob.secrets.list(limit=100)]
    assert own not in [each.secret_ref for each in alice.secrets.list(limit=100)]


def test_reader_may_do_little(cloud, alice):
    """The secure rules: quotas, nothing of the secrets."""
    reference = alice.secrets.create(name=unique("mine"), payload="x").store()
    identifier = reference.rsplit("/", 1)[1]
    token = cloud.keystone.token("rita", "crypto")
    assert ask(cloud, token, path="/v1/quotas").status_code == 200
    for method, path in (
        ("GET", "/v1/secrets"),
        ("POST", "/v1/secrets"),
        ("GET", f"/v1/secrets/{identifier}"),
        ("GET", f"/v1/secrets/{identifier}/payload"),
        ("DELETE", f"/v1/secrets/{identifier}"),
        ("GET", "/v1/orders"),
        ("POST", "/v1/orders"),
        ("GET", "/v1/containers"),
        ("POST", "/v1/containers"),
    ):
        answer = ask(cloud, token, method, path, json={} if method == "POST" else None)
        assert answer.status_code == 403, (method, path, answer.text)
        assert "attempt not allowed" in answer.json()["description"]
    assert alice.secrets.get(reference).payload == "x"


def test_admin_implies_member(cloud, alice):
    """Keystone's implied roles are in the token."""
    reference = alice.secrets.create(name=unique("of alice"), payload="x").store()
    carol = client_of(cloud, "carol", "crypto")
    assert carol.secrets.get(reference).payload == "x"
    assert carol.secrets.list(name="%") is not None
    carol.secrets.delete(reference)


def test_acl_for_a_user_of_another_project(cloud, alice):
    reference = alice.secrets.create(name=unique("shared"), payload="for bob").store()
    bob = client_of(cloud, "bob", "elsewhere")
    alice.acls.create(reference, users=[cloud.keystone.users["bob"]], project_access=False).submit()
    assert bob.secrets.get(reference).payload == "for bob"
    with pytest.raises(exceptions.HTTPClientError) as failure:
        bob.secrets.delete(reference)
    assert failure.value.status_code == 403


def test_application_credential_with_access_rules(cloud):
    """Its token is good for what its rules say, and for nothing else."""
    keystone = cloud.keystone
    token = keystone.token("alice", "crypto")
    secret = "application secret"
    wanted = {
        "name": unique("app"),
        "secret": secret,
        "access_rules": [{"service": "key-manager", "method": "GET", "path": "/v1/secrets"}],
    }
    made = requests.post(
        f"{keystone.auth_url}/users/{keystone.users['alice']}/application_credentials",
        json={"application_credential": wanted},
        headers={"X-Auth-Token": token},
        timeout=120,
    )
    assert made.status_code == 201, made.text
    identity = {"methods": ["application_credential"]}
    identity["application_credential"] = {"id": made.json()["application_credential"]["id"], "secret": secret}
    answer = requests.post(f"{keystone.auth_url}/auth/tokens", json={"auth": {"identity": identity}}, timeout=120)
    assert answer.status_code == 201, answer.text
    limited = answer.headers["X-Subject-Token"]
    assert ask(cloud, limited).status_code == 200
    refused(ask(cloud, limited, path="/v1/orders"), cloud)
    refused(ask(cloud, limited, "POST", json={}), cloud)


def test_castellan_through_keystone(cloud):
    configuration = cfg.ConfigOpts()
    configuration([], project="castellan", default_config_files=[])
    manager = BarbicanKeyManager(configuration)
    configuration.set_override("barbican_api_version", "v1", "barbican")
    named = {"project_name": "crypto", "project_domain_id": "default", "user_domain_id": "default"}
    password = cloud.keystone.password_of("alice")
    context = KeystonePassword(password, auth_url=cloud.keystone.auth_url, username="alice", **named)
    uid = manager.create_key(context, algorithm="aes", length=256)
    assert len(manager.get(context, uid).get_encoded()) == 32
    other = KeystonePassword(
        cloud.keystone.password_of("bob"),
        auth_url=cloud.keystone.auth_url,
        username="bob",
        **(named | {"project_name": "elsewhere"}),
    )
    with pytest.raises(KeyManagerError):
        manager.get(other, uid)
    manager.delete(context, uid)


def test_kmip_clients_share_the_keystone_project(cloud, alice):
    host, port = cloud.gateway.kmip
    tls = {"cert": "client.pem", "key": "client.key", "ca": "ca.pem"}
    files = {name: cloud.gateway.tls(file) for name, file in tls.items()}
    with ProxyKmipClient(hostname=host, port=port, kmip_version=KMIPVersion.KMIP_1_4, **files) as kmip:
        uid = kmip.create(CryptographicAlgorithm.AES, 256)
        assert alice.secrets.get(f"{cloud.gateway.rest}/v1/secrets/{uid}").payload == kmip.get(uid).value
        with pytest.raises(exceptions.HTTPClientError) as failure:
            client_of(cloud, "bob", "elsewhere").secrets.get(f"{cloud.gateway.rest}/v1/secrets/{uid}").payload
        assert failure.value.status_code == 403
        kmip.destroy(uid)


# When Keystone is away


def unavailable(answer) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == 503
    assert "Keystone service is temporarily unavailable" in answer.text


def test_keystone_that_is_stopped_is_503(cloud):
    token = cloud.keystone.token("alice", "crypto")
    assert ask(cloud, token).status_code == 200
    cloud.keystone.stop()
    try:
        unavailable(ask(cloud, token))
        # Not who is refused anyway, and not what needs no token.
        refused(ask(cloud), cloud)
        assert requests.get(cloud.gateway.rest, timeout=60).status_code == 300
        assert cloud.gateway.process.poll() is None
    finally:
        cloud.keystone.start()
    assert ask(cloud, token).status_code == 200


def test_keystone_that_hangs_is_503_in_time(cloud):
    token = cloud.keystone.token("alice", "crypto")
    cloud.keystone.freeze()
    try:
        started = time.monotonic()
        unavailable(ask(cloud, token))
        # request_seconds is 8.
        assert 6 < time.monotonic() - started < 60
    finally:
        cloud.keystone.thaw()
    assert ask(cloud, token).status_code == 200


def test_remembered_token_survives_keystone(keystone, cloud, tmp_path):
    """With a cache, who was seen a moment ago is served while Keystone is away; others are not."""
    config = portcullis.prepare_serve(tmp_path, keystone, keystone.projects["crypto"], cache_seconds=300)
    with portcullis.running(portcullis.serve_command(config), tmp_path) as gateway:
        seen, unseen = keystone.token("alice", "crypto"), keystone.token("carol", "crypto")
        assert ask(cloud, seen, gateway=gateway).status_code == 200
        keystone.stop()
        try:
            assert ask(cloud, seen, gateway=gateway).status_code == 200
            unavailable(ask(cloud, unseen, gateway=gateway))
        finally:
            keystone.start()
        assert ask(cloud, unseen, gateway=gateway).status_code == 200


# Serving from a file


def test_check_says_what_would_be_served(keystone, tmp_path):
    config = portcullis.prepare_serve(tmp_path, keystone, keystone.projects["crypto"])
    checked = subprocess.run(
        [portcullis.binary(), "check", "--config", config], capture_output=True, text=True, timeout=120
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert portcullis.LABEL in checked.stdout
    assert keystone.url in checked.stdout or "keystone" in checked.stdout.lower()


def test_mistakes_are_said_all_at_once_with_their_lines(keystone, tmp_path):
    config = portcullis.prepare_serve(tmp_path, keystone, keystone.projects["crypto"])
    text = (
        config.read_text()
        .replace("[rest]\n", "[rest]\nlissen = 1\n")
        .replace("cache_seconds = 0", 'cache_seconds = "x"')
    )
    config.write_text(text)
    lines = text.splitlines()
    for command in ("check", "serve"):
        tried = subprocess.run(
            [portcullis.binary(), command, "--config", config], capture_output=True, text=True, timeout=120
        )
        assert tried.returncode == 1
        for mistake in ("lissen", "cache_seconds"):
            number = next(index for index, line in enumerate(lines, 1) if mistake in line)
            said = [line for line in (tried.stdout + tried.stderr).splitlines() if mistake in line]
            assert any(str(number) in line for line in said), tried.stdout + tried.stderr


def test_serve_refuses_what_dev_made(tmp_path):
    folder = tmp_path / "dev"
    with portcullis.running(portcullis.dev_command(folder), folder):
        pass
    tried = subprocess.run(portcullis.serve_command(folder / "config.toml"), capture_output=True, text=True, timeout=120)
    assert tried.returncode == 1
    assert "ready" not in tried.stdout
    assert "portcullis dev" in tried.stderr


def test_serve_says_that_a_token_is_software_unless_told(keystone, tmp_path):
    """SoftHSM2 is no simulator, and no hardware: who names it is served, and reads in the log what it is."""
    config = portcullis.prepare_serve(tmp_path, keystone, keystone.projects["crypto"])
    with portcullis.running(portcullis.serve_command(config), tmp_path) as gateway:
        assert "this token is software" not in gateway.log.read_text()
    config.write_text(config.read_text().replace("allow_simulated_hsm = true\n", ""))
    with portcullis.running(portcullis.serve_command(config), tmp_path) as gateway:
        assert "this token is software" in gateway.log.read_text()


def test_rest_over_tls(cloud, keystone, tmp_path):
    """References carry the scheme that the client called, and a client verifies the certificate."""
    config = portcullis.prepare_serve(tmp_path, keystone, keystone.projects["crypto"])
    tls = '[rest]\ncertificate = "tls/server.pem"\nkey = "tls/server.key"\n'
    config.write_text(config.read_text().replace("[rest]\n", tls, 1))
    with portcullis.running(portcullis.serve_command(config), tmp_path) as gateway:
        assert gateway.rest.startswith("https://")
        verified = session.Session(auth=auth_of(cloud, "alice", "crypto"), verify=gateway.tls("ca.pem"))
        client = barbicanclient.Client(session=verified, endpoint=gateway.rest)
        reference = client.secrets.create(name=unique("tls"), payload="over TLS").store()
        assert reference.startswith(gateway.rest)
        assert client.secrets.get(reference).payload == "over TLS"
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(gateway.rest, timeout=60)
        plain = gateway.rest.replace("https:", "http:")
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(plain, timeout=60)


def test_environment_goes_before_the_file(cloud, keystone, tmp_path):
    config = portcullis.prepare_serve(tmp_path, keystone, keystone.projects["crypto"])
    environment = {"PORTCULLIS_REST__AUTH__KEYSTONE__PUBLIC_URL": "https://keystone.example.org"}
    with portcullis.running(portcullis.serve_command(config), tmp_path, environment) as gateway:
        answer = ask(cloud, gateway=gateway)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Keystone uri="https://keystone.example.org"'


def test_log_is_json_and_tells_no_secret(cloud, alice):
    payload = unique("canary")
    token = cloud.keystone.token("alice", "crypto")
    made = ask(cloud, token, "POST", json={"payload": payload, "payload_content_type": "text/plain"})
    assert (
        ask(cloud, token, path="/v1/secrets/" + made.json()["secret_ref"].rsplit("/", 1)[1] + "/payload").text
        == payload
    )
    log = cloud.gateway.log.read_text()
    for line in log.splitlines():
        assert isinstance(json.loads(line), dict), line
    for secret in (payload, token, portcullis.PIN, cloud.keystone.password_of("gateway")):
        assert secret not in log


def test_certificates_are_read_again_on_sighup(cloud, tmp_path):
    """A renewed server certificate is shown to the next connection, without a restart."""
    host, port = cloud.gateway.kmip
    shown = lambda: ssl.get_server_certificate((host, port))
    before = shown()
    folder = cloud.gateway.folder / "tls"
    (tmp_path / "tls").mkdir()
    material.make_tls(tmp_path / "tls")
    kept = {name: (folder / name).read_bytes() for name in ("server.pem", "server.key")}
    try:
        for name in kept:
            (folder / name).write_bytes((tmp_path / "tls" / name).read_bytes())
        os.kill(cloud.gateway.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + 10
        while shown() == before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        os.kill(cloud.gateway.process.pid, signal.SIGHUP)
    deadline = time.monotonic() + 10
    while shown() != before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
