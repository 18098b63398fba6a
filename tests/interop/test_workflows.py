"""What the services around a key manager do with it, as their documents describe it."""

import importlib.util
import os
import subprocess
import time

import pytest
import requests
from barbicanclient import client as barbican
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from keystoneauth1 import identity, session
from keystoneauth1.noauth import NoAuth

from material import unique

OCTETS = "application/octet-stream"
needs_swift = pytest.mark.skipif(
    importlib.util.find_spec("swift") is None, reason="skipped, because Swift is not installed (tests/tools/install)"
)


class Project(NoAuth):
    """The development context, as a project of its own."""

    def __init__(self, project, user="alice"):
        super().__init__()
        self.headers = {"X-Project-Id": project, "X-User-Id": user, "X-Roles": "member"}

    def get_headers(self, _session, **_named):
        return self.headers


@pytest.fixture
def client(gateway):
    plugin = Project(unique("workflow"))
    made = barbican.Client(session=session.Session(auth=plugin), endpoint=gateway.rest, microversion="1.1")
    made.headers = plugin.headers
    return made


def ready(client, ref):
    deadline = time.monotonic() + 60
    while True:
        order = client.orders.get(ref)
        if order.status != "PENDING":
            assert order.status == "ACTIVE", order.error_reason
            return order
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_trove_encrypts_a_backup(client, tmp_path):
    """A key order named after the backup; the key, fetched as octets, drives openssl enc; later it is found by its name."""
    backup = unique("backup")
    order = client.orders.create_key(name=backup, algorithm="aes", bit_length=256, mode="cbc", payload_content_type=OCTETS)
    secret_ref = ready(client, order.submit()).secret_ref
    key = requests.get(secret_ref + "/payload", headers=client.headers | {"Accept": OCTETS}, timeout=30).content
    assert len(key) == 32
    dump, sealed = os.urandom(100_000), tmp_path / "backup.enc"
    iv = os.urandom(16).hex()
    base = ["openssl", "enc", "-aes-256-cbc", "-iv", iv]
    with sealed.open("wb") as out:
        subprocess.run([*base, "-K", key.hex()], input=dump, stdout=out, check=True, timeout=60)
    assert dump[:64] not in sealed.read_bytes()
    # The restore knows the backup's id only.
    found = client.secrets.list(name=backup)
    assert [each.secret_ref for each in found] == [secret_ref]
    again = found[0].payload
    opened = subprocess.run([*base, "-d", "-K", again.hex()], input=sealed.read_bytes(), capture_output=True, check=True, timeout=60)
    assert opened.stdout == dump
    client.secrets.delete(secret_ref)
    assert client.secrets.list(name=backup) == []


def certificate_and_key():
    """A self-signed certificate and its key."""
    from datetime import datetime, timedelta, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lb.example")])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()), key


def pem_of(certificate, key):
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(*plain)


def test_octavia_reads_pkcs12(client):
    """TLS offload from one opaque secret with PKCS#12 in it, which comes back byte for byte; Octavia's user joins the ACL."""
    certificate, key = certificate_and_key()
    bundle = pkcs12.serialize_key_and_certificates(b"lb", key, certificate, None, serialization.NoEncryption())
    ref = client.secrets.create(name="tls", payload=bundle).store()
    acl = client.acls.get(ref)
    users = list(acl.get("read").users or [])
    submitted = client.acls.create(entity_ref=ref, users=[*users, "octavia"])
    submitted.submit()
    assert client.acls.get(ref).read.users == ["octavia"]
    octavia = barbican.Client(
        session=session.Session(auth=Project("octavia-project", "octavia")), endpoint=ref.split("/v1/")[0], microversion="1.1"
    )
    loaded = pkcs12.load_pkcs12(octavia.secrets.get(ref).payload, None)
    assert loaded.cert.certificate == certificate
    client.acls.get(ref).read.remove()
    with pytest.raises(Exception, match="Forbidden"):
        _ = octavia.secrets.get(ref).name


def test_octavia_uses_a_certificate_container(client):
    """The older way: a certificate container; the listener is registered as its consumer, twice, and removed."""
    certificate, key = pem_of(*certificate_and_key())
    parts = {
        "certificate": client.secrets.create(name="c", payload=certificate.decode(), secret_type="certificate"),
        "private_key": client.secrets.create(name="k", payload=key.decode(), secret_type="private"),
    }
    for part in parts.values():
        part.store()
    ref = client.containers.create_certificate(name="tls", **parts).store()
    consumer = {"name": "Octavia", "url": "lb://" + unique("lb")}
    for _ in range(2):
        found = client.containers.register_consumer(ref, **consumer)
        assert [each["name"] for each in found.consumers] == ["Octavia"]
    loaded = client.containers.get(ref)
    # Barbican drops white space around texts in JSON.
    assert loaded.certificate.payload.encode() == certificate.strip()
    assert loaded.private_key.payload.encode() == key.strip()
    client.containers.remove_consumer(ref, **consumer)
    assert client.containers.get(ref).consumers == []
    client.containers.delete(ref)


def test_magnum_keeps_a_cluster_s_certificates(cloud):
    """openstacksdk against Keystone: certificate, key and passphrase as text, one container, read back, deleted."""
    import openstack

    keystone = cloud.keystone
    connection = openstack.connect(
        load_yaml_config=False, load_envvars=False, region_name="RegionOne",
        auth={
            "auth_url": keystone.auth_url, "username": "alice", "password": keystone.password_of("alice"),
            "project_name": "crypto", "user_domain_id": "default", "project_domain_id": "default",
        },
    )
    manager = connection.key_manager
    certificate, key = pem_of(*certificate_and_key())
    made = {
        name: manager.create_secret(name=name, payload=payload, payload_content_type="text/plain", secret_type=kind)
        for name, payload, kind in (
            ("certificate", certificate.decode(), "certificate"),
            ("private_key", key.decode(), "private"),
            ("private_key_passphrase", "geheim", "passphrase"),
        )
    }
    refs = [{"name": name, "secret_ref": secret.secret_ref} for name, secret in made.items()]
    container = manager.create_container(name="cluster", type="certificate", secret_refs=refs)
    found = manager.get_container(container.container_ref.rsplit("/", 1)[1])
    for each in found.secret_refs:
        secret = manager.get_secret(each["secret_ref"].rsplit("/", 1)[1])
        wanted = {"certificate": certificate.decode(), "private_key": key.decode(), "private_key_passphrase": "geheim"}
        assert secret.payload.strip() == wanted[each["name"]].strip()
    manager.delete_container(found.container_ref.rsplit("/", 1)[1])
    for secret in made.values():
        manager.delete_secret(secret.secret_ref.rsplit("/", 1)[1])


@needs_swift
def test_swift_kmip_keymaster(gateway, tmp_path):
    """Swift's root secret is an AES-256 key that its kmip_keymaster fetches through PyKMIP."""
    from kmip.core.enums import CryptographicAlgorithm, CryptographicUsageMask, KMIPVersion
    from kmip.pie.client import ProxyKmipClient
    from swift.common.middleware.crypto import kmip_keymaster

    host, port = gateway.kmip
    config, none = tmp_path / "keymaster.conf", tmp_path / "pykmip.conf"
    none.write_text("[client]\n")
    with ProxyKmipClient(
        hostname=host, port=port, cert=gateway.tls("client.pem"), key=gateway.tls("client.key"), ca=gateway.tls("ca.pem"),
        config_file=str(none), kmip_version=KMIPVersion.KMIP_1_2,
    ) as kmip:
        mask = [CryptographicUsageMask.ENCRYPT, CryptographicUsageMask.DECRYPT]
        uid = kmip.create(CryptographicAlgorithm.AES, 256, cryptographic_usage_mask=mask)
        kmip.activate(uid)
        value = kmip.get(uid).value
    config.write_text(
        f"[kmip_keymaster]\nkey_id = {uid}\nhost = {host}\nport = {port}\ncertfile = {gateway.tls('client.pem')}\n"
        f"keyfile = {gateway.tls('client.key')}\nca_certs = {gateway.tls('ca.pem')}\n"
    )
    keymaster = kmip_keymaster.KmipKeyMaster(None, {"keymaster_config_path": str(config), "__file__": "x", "__name__": "kmip_keymaster"})
    assert keymaster.root_secret == value and len(value) == 32


@needs_swift
def test_swift_barbican_keymaster(cloud, tmp_path):
    """The same through Barbican and Keystone: kms_keymaster, which uses castellan."""
    from swift.common.middleware.crypto import kms_keymaster

    keystone = cloud.keystone
    auth = identity.Password(
        auth_url=keystone.auth_url, username="alice", password=keystone.password_of("alice"), project_name="crypto",
        user_domain_id="default", project_domain_id="default",
    )
    client = barbican.Client(session=session.Session(auth=auth), endpoint=cloud.gateway.rest, microversion="1.1")
    order = client.orders.create_key(name="swift_root_secret", algorithm="aes", bit_length=256, mode="ctr", payload_content_type=OCTETS)
    secret_ref = ready(client, order.submit()).secret_ref
    config = tmp_path / "keymaster.conf"
    password = keystone.password_of("alice")
    config.write_text(
        f"[kms_keymaster]\nkey_id = {secret_ref.rsplit('/', 1)[1]}\nusername = alice\npassword = {password}\nproject_name = crypto\n"
        f"auth_endpoint = {keystone.auth_url}\nuser_domain_name = Default\nproject_domain_name = Default\n"
        f"barbican_endpoint = {cloud.gateway.rest}\n"
    )
    keymaster = kms_keymaster.KmsKeyMaster(None, {"keymaster_config_path": str(config)})
    assert keymaster.root_secret == client.secrets.get(secret_ref).payload
