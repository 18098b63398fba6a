"""castellan's BarbicanKeyManager, the way Nova, Cinder and Glance reach a key manager."""

import time

import pytest
from castellan.common.exception import KeyManagerError, ManagedObjectNotFoundError
from castellan.common.objects.opaque_data import OpaqueData
from castellan.common.objects.passphrase import Passphrase
from castellan.common.objects.private_key import PrivateKey
from castellan.common.objects.public_key import PublicKey
from castellan.common.objects.symmetric_key import SymmetricKey
from castellan.common.objects.x_509 import X509
from castellan.key_manager.barbican_key_manager import BarbicanKeyManager
from cryptography.hazmat.primitives import serialization
from keystoneauth1.noauth import NoAuth
from oslo_config import cfg
from oslo_context.context import RequestContext

import material
from material import unique

UNKNOWN = "00000000-0000-4000-8000-000000000000"


class ProjectContext(RequestContext):
    """A context that brings its own authentication, as those of the services may: here none but a project."""

    def get_auth_plugin(self):
        project = self.project_id

        class Plugin(NoAuth):
            def get_headers(self, _session, **_named):
                return {"X-Project-Id": project}

        return Plugin()


@pytest.fixture
def context():
    """A project of its own for each test, so that lists are short."""
    return ProjectContext(project_id=unique("castellan"), user_id="nova", overwrite=False)


@pytest.fixture(scope="module")
def manager(gateway):
    configuration = cfg.ConfigOpts()
    configuration([], project="castellan", default_config_files=[])
    made = BarbicanKeyManager(configuration)
    configuration.set_override("barbican_endpoint", gateway.rest, "barbican")
    configuration.set_override("barbican_api_version", "v1", "barbican")
    return made


@pytest.mark.parametrize("length", (128, 256, 512))
def test_create_key(manager, context, length):
    """Cinder orders 512 bits for aes-xts-plain64, without a mode."""
    name = unique("volume")
    before = int(time.time()) - 1
    uid = manager.create_key(context, algorithm="aes", length=length, name=name)
    key = manager.get(context, uid)
    assert isinstance(key, SymmetricKey)
    assert (key.name, key.algorithm, key.bit_length, key.id) == (name, "aes", length, uid)
    assert len(key.get_encoded()) * 8 == length
    assert before <= key.created <= time.time() + 1
    assert manager.get(context, uid).get_encoded() == key.get_encoded()
    manager.delete(context, uid)
    with pytest.raises(ManagedObjectNotFoundError):
        manager.get(context, uid)


def test_keys_differ(manager, context):
    values = {manager.get(context, manager.create_key(context, "aes", 256)).get_encoded() for _ in range(3)}
    assert len(values) == 3


def test_order_leaves_nothing_behind(manager, context):
    uid = manager.create_key(context, "aes", 256)
    client = manager._get_barbican_client(context)
    assert client.orders.total() == 0
    assert [secret.secret_ref.rsplit("/", 1)[1] for secret in client.secrets.list()] == [uid]


def test_create_key_pair(manager, context):
    private_uid, public_uid = manager.create_key_pair(context, "rsa", 2048, name=unique("pair"))
    private, public = manager.get(context, private_uid), manager.get(context, public_uid)
    assert isinstance(private, PrivateKey)
    assert isinstance(public, PublicKey)
    # castellan hands out DER, whatever the service keeps.
    loaded = serialization.load_der_private_key(private.get_encoded(), None)
    assert loaded.key_size == 2048
    assert (
        serialization.load_der_public_key(public.get_encoded()).public_numbers() == loaded.public_key().public_numbers()
    )
    client = manager._get_barbican_client(context)
    assert (client.orders.total(), client.containers.total(), client.secrets.total()) == (0, 0, 2)
    for uid in (private_uid, public_uid):
        manager.delete(context, uid)
    assert client.secrets.total() == 0


def test_impossible_key_is_an_error(manager, context):
    with pytest.raises(KeyManagerError) as failure:
        manager.create_key(context, "rot13", 104)
    assert "400" in str(failure.value)


def every_class() -> dict:
    return {
        "symmetric": SymmetricKey("AES", 256, bytes(range(32)), name=unique("symmetric")),
        "private": PrivateKey("RSA", 2048, material.private_key(), name=unique("private")),
        "public": PublicKey("RSA", 2048, material.public_key(), name=unique("public")),
        "certificate": X509(material.certificate(), name=unique("certificate")),
        "passphrase": Passphrase("geheim, 秘密".encode(), name=unique("passphrase")),
        "opaque": OpaqueData(bytes(range(256)) * 10, name=unique("opaque")),
    }


@pytest.mark.parametrize("kind", sorted(every_class()))
def test_store_and_get(manager, context, kind):
    given = every_class()[kind]
    uid = manager.store(context, given)
    found = manager.get(context, uid)
    assert type(found) is type(given)
    assert found.get_encoded() == given.get_encoded()
    assert found.name == given.name
    assert found == given
    described = manager.get(context, uid, metadata_only=True)
    assert described.is_metadata_only()
    assert described.id == uid
    manager.delete(context, uid)
    with pytest.raises(ManagedObjectNotFoundError):
        manager.get(context, uid)


def test_copy_as_cinder_clones_a_volume(manager, context):
    uid = manager.create_key(context, "aes", 256, name=unique("source"))
    copied = manager.store(context, manager.get(context, uid))
    assert copied != uid
    assert manager.get(context, copied).get_encoded() == manager.get(context, uid).get_encoded()


def test_list(manager, context):
    stored = {kind: manager.store(context, given) for kind, given in every_class().items()}
    assert {each.id for each in manager.list(context)} == set(stored.values())
    assert [each.id for each in manager.list(context, object_type=SymmetricKey)] == [stored["symmetric"]]
    assert [each.id for each in manager.list(context, object_type=X509, metadata_only=True)] == [stored["certificate"]]
    assert manager.list(ProjectContext(project_id="another", overwrite=False)) == []


def test_consumers(manager, context):
    uid = manager.create_key(context, "aes", 256)
    consumer = {"service": "volume", "resource_type": "volume", "resource_id": UNKNOWN}
    manager.add_consumer(context, uid, consumer)
    assert manager.get(context, uid).consumers == [consumer]
    with pytest.raises(KeyManagerError):
        manager.delete(context, uid)
    manager.remove_consumer(context, uid, consumer)
    assert manager.get(context, uid).consumers == []
    manager.delete(context, uid)


def test_expired_key_is_gone(manager, context):
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7))
    uid = manager.store(context, OpaqueData(b"brief"), expiration=soon)
    assert manager.get(context, uid).get_encoded() == b"brief"
    time.sleep(7.5)
    with pytest.raises(ManagedObjectNotFoundError):
        manager.get(context, uid)


def test_unknown_key(manager, context):
    with pytest.raises(ManagedObjectNotFoundError):
        manager.get(context, UNKNOWN)
    with pytest.raises(ManagedObjectNotFoundError):
        manager.delete(context, UNKNOWN)
