"""python-barbicanclient in the unauthenticated context: secrets, orders, containers, consumers, ACLs, metadata."""

import datetime
import time
import uuid

import pytest
from barbicanclient import client as barbican
from barbicanclient import exceptions
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding
from keystoneauth1 import session

import material
from material import unique

TOKENS = ("sim", "softhsm")
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def connect(gateway, project: str, microversion: str | None = None):
    """A client as `barbican --no-auth` makes it."""
    more = {"microversion": microversion} if microversion else {}
    return barbican.Client(session=session.Session(), endpoint=gateway.rest, project_id=project, **more)


@pytest.fixture(scope="module", params=("1.0", "1.1", "latest"))
def microversion(request):
    """The versions of the API."""
    return request.param


@pytest.fixture(scope="module")
def client(gateway, microversion):
    """A project a version, so that lists are their own."""
    return connect(gateway, f"barbicanclient-{microversion}", None if microversion == "latest" else microversion)


@pytest.fixture(scope="module")
def latest(gateway):
    """A client that takes the newest version it shares with the gateway."""
    return connect(gateway, "barbicanclient")


def status(failure) -> int:
    return failure.value.status_code


def finished(client, reference: str):
    """The order, once it is done."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        order = client.orders.get(reference)
        if order.status != "PENDING":
            return order
        time.sleep(0.1)
    raise AssertionError(f"{reference} is pending for a minute")


# Secrets


def test_text_comes_back(client):
    given = "grüße, 世界 \N{LOCK}"
    secret = client.secrets.create(name=unique("text"), payload=given)
    reference = secret.store()
    found = client.secrets.get(reference)
    assert found.payload == given
    assert found.payload_content_type == "text/plain"
    assert found.content_types == {"default": "text/plain"}
    assert found.status == "ACTIVE"
    assert found.secret_type == "opaque"
    assert found.name == secret.name
    assert found.secret_ref == reference
    assert abs(found.created - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=5)
    client.secrets.delete(reference)


def test_binary_in_two_steps(client):
    secret = client.secrets.create(
        name=unique("two steps"), secret_type="symmetric", algorithm="aes", bit_length=256, mode="cbc"
    )
    reference = secret.store()
    empty = client.secrets.get(reference)
    assert empty.content_types is None
    assert empty.payload is None
    value = bytes(range(32))
    client.secrets.update(reference, value)
    found = client.secrets.get(reference)
    assert found.payload == value
    assert (found.algorithm, found.bit_length, found.mode, found.secret_type) == ("aes", 256, "cbc", "symmetric")
    with pytest.raises(exceptions.HTTPClientError) as failure:
        client.secrets.update(reference, b"another")
    assert status(failure) == 409
    assert client.secrets.get(reference).payload == value
    client.secrets.delete(reference)


def every_type() -> dict[str, bytes | str]:
    return {
        "symmetric": b"\x01" * 32,
        "passphrase": "correct horse battery staple",
        "private": material.private_key(Encoding.PEM),
        "public": material.public_key(Encoding.PEM),
        "certificate": material.certificate(Encoding.PEM),
        "opaque": bytes(range(256)) * 40,
    }


@pytest.mark.parametrize("kind", sorted(every_type()))
def test_every_type_comes_back_byte_for_byte(client, kind):
    given = every_type()[kind]
    reference = client.secrets.create(name=unique(kind), payload=given, secret_type=kind).store()
    found = client.secrets.get(reference)
    assert found.secret_type == kind
    assert found.payload == given
    client.secrets.delete(reference)


def test_der_comes_back_as_der(client):
    for kind, given in (
        ("private", material.private_key()),
        ("public", material.public_key()),
        ("certificate", material.certificate()),
    ):
        reference = client.secrets.create(payload=given, secret_type=kind).store()
        assert client.secrets.get(reference).payload == given
        client.secrets.delete(reference)


def test_a_type_is_not_checked_against_its_payload(client):
    reference = client.secrets.create(payload="no certificate at all", secret_type="certificate").store()
    assert client.secrets.get(reference).payload == "no certificate at all"
    client.secrets.delete(reference)


def test_deleted_secret_is_gone(client):
    reference = client.secrets.create(name=unique("gone"), payload="x").store()
    client.secrets.delete(reference)
    with pytest.raises(exceptions.HTTPClientError) as failure:
        client.secrets.get(reference).status
    assert status(failure) == 404
    with pytest.raises(exceptions.HTTPClientError) as failure:
        client.secrets.delete(reference)
    assert status(failure) == 404


def test_unknown_secret_is_not_found(client):
    with pytest.raises(exceptions.HTTPClientError) as failure:
        client.secrets.get(f"http://elsewhere/v1/secrets/{UNKNOWN}").status
    assert status(failure) == 404
    assert "Not Found" in str(failure.value)


def test_payload_too_large_is_413(client):
    secret = client.secrets.create(payload="x" * 20_001)
    with pytest.raises(exceptions.HTTPClientError) as failure:
        secret.store()
    assert status(failure) == 413
    reference = client.secrets.create(payload="x" * 20_000).store()
    assert client.secrets.get(reference).payload == "x" * 20_000
    client.secrets.delete(reference)


def test_expiration(client):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=6)
    name = unique("short-lived")
    reference = client.secrets.create(name=name, payload="x", expiration=soon.isoformat()).store()
    found = client.secrets.get(reference)
    assert abs(found.expiration - soon) < datetime.timedelta(milliseconds=1)
    with pytest.raises(exceptions.HTTPClientError) as failure:
        client.secrets.create(payload="x", expiration="2001-01-01").store()
    assert status(failure) == 400
    while datetime.datetime.now(datetime.timezone.utc) <= soon:
        time.sleep(0.1)
    with pytest.raises(exceptions.HTTPClientError) as failure:
        client.secrets.get(reference).status
    assert status(failure) == 404
    assert client.secrets.list(name=name) == []


def test_lists(client):
    """Filters, pages and order."""
    mark = unique("list")
    made = []
    for index in range(5):
        kind = "symmetric" if index % 2 else "passphrase"
        made.append(
            client.secrets.create(
                name=f"{mark}-{index}",
                payload="x",
                secret_type=kind,
                algorithm="aes",
                bit_length=128 * (1 + index % 2),
                mode="cbc",
            ).store()
        )
    listed = lambda **filters: [secret.secret_ref for secret in client.secrets.list(**filters)]
    assert listed(name=f"{mark}-3") == [made[3]]
    assert listed(name=f"{mark}-9") == []
    assert listed(name=f"{mark}-%") == made
    assert listed(name=f"{mark}-%", secret_type="symmetric") == [made[1], made[3]]
    assert listed(name=f"{mark}-%", bits=256) == [made[1], made[3]]
    assert listed(name=f"{mark}-%", algorithm="aes", mode="cbc", limit=2) == made[:2]
    assert listed(name=f"{mark}-%", limit=2, offset=3) == made[3:]
    assert listed(name=f"{mark}-%", sort="name:desc") == made[::-1]
    assert listed(name=f"{mark}-%", created="gt:2001-01-01") == made
    assert listed(name=f"{mark}-%", created="lt:2001-01-01") == []
    before = client.secrets.total()
    assert before >= 5
    client.secrets.delete(made[0])
    assert client.secrets.total() == before - 1
    for reference in made[1:]:
        client.secrets.delete(reference)


def test_bad_filter_is_refused(client):
    with pytest.raises(exceptions.HTTPClientError) as failure:
        client.secrets.list(created="sometime")
    assert status(failure) == 400


def test_projects_do_not_see_each_other(client, gateway):
    reference = client.secrets.create(name=unique("mine"), payload="x").store()
    other = connect(gateway, "somebody-else")
    assert other.secrets.list() == []
    with pytest.raises(exceptions.HTTPClientError) as failure:
        other.secrets.get(reference).payload
    assert status(failure) == 403
    client.secrets.delete(reference)


def test_metadata(latest):
    reference = latest.secrets.create(payload="x").store()
    assert latest.secrets.get_secret_metadata(reference) == {"metadata": {}}
    latest.secrets.set_secret_metadata(reference, {"colour": "grün", "size": "12"})
    assert latest.secrets.get_secret_metadata(reference) == {"metadata": {"colour": "grün", "size": "12"}}
    assert latest.secrets.get_secret_metadata(reference, "colour")["value"] == "grün"
    latest.secrets.delete_secret_metadata(reference, "size")
    assert latest.secrets.get_secret_metadata(reference) == {"metadata": {"colour": "grün"}}
    with pytest.raises(exceptions.HTTPClientError) as failure:
        latest.secrets.get_secret_metadata(reference, "size")
    assert status(failure) == 404


def test_consumers_of_a_secret(latest):
    reference = latest.secrets.create(payload="x").store()
    one = {"service": "volume", "resource_type": "volume", "resource_id": str(uuid.uuid4())}
    two = {"service": "image", "resource_type": "image", "resource_id": str(uuid.uuid4())}
    latest.secrets.register_consumer(reference, **one)
    latest.secrets.register_consumer(reference, **two)
    answered = latest.secrets.register_consumer(reference, **two)
    assert len(answered.consumers) == 2
    listed = latest.secrets.list_consumers(reference)
    assert {consumer.resource_id for consumer in listed} == {one["resource_id"], two["resource_id"]}
    with pytest.raises(exceptions.SecretHasConsumers):
        latest.secrets.delete(reference)
    latest.secrets.remove_consumer(reference, **one)
    assert [consumer.service for consumer in latest.secrets.list_consumers(reference)] == ["image"]
    with pytest.raises(exceptions.HTTPClientError) as failure:
        latest.secrets.remove_consumer(reference, **one)
    assert status(failure) == 404
    latest.secrets.delete(reference, force=True)


# Orders


@pytest.mark.parametrize(
    ("algorithm", "bits", "mode"),
    (
        ("aes", 128, "cbc"),
        ("aes", 256, "gcm"),
        ("AES", 192, None),
        ("aes", 512, "xts"),
        ("aes", 512, None),
        ("hmacsha256", 256, None),
    ),
)
def test_key_order(client, algorithm, bits, mode):
    name = unique("ordered")
    order = client.orders.create_key(name=name, algorithm=algorithm, bit_length=bits, mode=mode)
    reference = order.submit()
    done = finished(client, reference)
    assert done.status == "ACTIVE", done.error_reason
    secret = client.secrets.get(done.secret_ref)
    assert secret.name == name
    assert (secret.algorithm, secret.bit_length, secret.mode) == (algorithm, bits, mode)
    assert secret.secret_type == "symmetric"
    assert secret.payload_content_type == "application/octet-stream"
    assert len(secret.payload) * 8 == bits
    assert len(set(secret.payload)) > 2
    client.orders.delete(reference)
    with pytest.raises(exceptions.HTTPClientError) as failure:
        client.orders.get(reference)
    assert status(failure) == 404
    # The key stays.
    assert len(client.secrets.get(done.secret_ref).payload) * 8 == bits
    client.secrets.delete(done.secret_ref)


def test_impossible_order_ends_in_error(client):
    reference = client.orders.create_key(name=unique("no"), algorithm="rot13", bit_length=104).submit()
    done = finished(client, reference)
    assert done.status == "ERROR"
    assert done.error_status_code == "400"
    assert done.error_reason
    client.orders.delete(reference)


def test_orders_are_listed(client):
    references = [
        client.orders.create_key(name=unique("listed"), algorithm="aes", bit_length=128).submit() for _ in range(3)
    ]
    before = client.orders.total()
    listed = [order.order_ref for order in client.orders.list(limit=100)]
    assert set(references) <= set(listed)
    assert before == len(listed)
    for reference in references:
        client.secrets.delete(finished(client, reference).secret_ref)
        client.orders.delete(reference)
    assert client.orders.total() == before - 3


@pytest.fixture(scope="module")
def pair(latest):
    """An RSA pair, which takes time to make."""
    name = unique("pair")
    reference = latest.orders.create_asymmetric(name=name, algorithm="rsa", bit_length=2048).submit()
    done = finished(latest, reference)
    assert done.status == "ACTIVE", done.error_reason
    return name, done


def test_asymmetric_order(latest, pair):
    name, done = pair
    container = latest.containers.get(done.container_ref)
    assert container.name == name
    # The client makes an RSA container of it, by its type.
    private = serialization.load_pem_private_key(container.private_key.payload, None)
    public = serialization.load_pem_public_key(container.public_key.payload)
    assert private.key_size == 2048
    assert private.public_key().public_numbers() == public.public_numbers()
    assert container.private_key.secret_type == "private"
    assert container.public_key.secret_type == "public"
    assert container.private_key_passphrase is None


def test_asymmetric_order_with_a_passphrase(latest):
    order = latest.orders.create_asymmetric(
        name=unique("protected"), algorithm="rsa", bit_length=2048, pass_phrase="open sesame"
    )
    done = finished(latest, order.submit())
    assert done.status == "ACTIVE", done.error_reason
    container = latest.containers.get(done.container_ref)
    assert container.private_key.payload.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    private = serialization.load_pem_private_key(container.private_key.payload, b"open sesame")
    public = serialization.load_pem_public_key(container.public_key.payload)
    assert private.public_key().public_numbers() == public.public_numbers()
    assert container.private_key_passphrase.payload in ("open sesame", b"open sesame")


@pytest.mark.parametrize("bits", (256, 384, 521))
def test_elliptic_order(latest, bits):
    # The contract wants multiples of eight, apart from the lengths of this algorithm.
    reference = latest.orders.create_asymmetric(name=unique("curve"), algorithm="ec", bit_length=bits).submit()
    done = finished(latest, reference)
    assert done.status == "ACTIVE", done.error_reason
    container = latest.containers.get(done.container_ref)
    private = serialization.load_pem_private_key(container.secrets["private_key"].payload, None)
    public = serialization.load_pem_public_key(container.secrets["public_key"].payload)
    assert private.curve.key_size == bits
    assert private.public_key().public_numbers() == public.public_numbers()


# Containers


def stored(client, name: str, payload, kind: str = "opaque"):
    """A stored secret."""
    secret = client.secrets.create(name=unique(name), payload=payload, secret_type=kind)
    secret.store()
    return secret


def test_generic_container(client):
    one, two = stored(client, "one", "1"), stored(client, "two", "2")
    name = unique("generic")
    container = client.containers.create(name=name, secrets={"first": one, "second": two})
    reference = container.store()
    found = client.containers.get(reference)
    assert found.name == name
    assert found.status == "ACTIVE"
    assert found.secret_refs == {"first": one.secret_ref, "second": two.secret_ref}
    assert found.secrets["second"].payload == "2"
    assert reference in [each.container_ref for each in client.containers.list(limit=100)]
    assert [each.container_ref for each in client.containers.list(name=name)] == [reference]
    client.secrets.delete(one.secret_ref)
    assert client.containers.get(reference).secret_refs == {"second": two.secret_ref}
    client.containers.delete(reference)
    with pytest.raises(exceptions.HTTPClientError) as failure:
        client.containers.get(reference)
    assert status(failure) == 404
    assert client.secrets.get(two.secret_ref).payload == "2"


def test_container_of_an_unknown_secret_is_refused(client):
    secret = stored(client, "gone", "x")
    container = client.containers.create(name=unique("broken"), secrets={"x": secret})
    client.secrets.delete(secret.secret_ref)
    with pytest.raises(exceptions.HTTPClientError) as failure:
        container.store()
    assert status(failure) == 404
    assert "doesn't exist" in str(failure.value)


def test_rsa_container(client):
    private = stored(client, "private", material.private_key(Encoding.PEM), "private")
    public = stored(client, "public", material.public_key(Encoding.PEM), "public")
    passphrase = stored(client, "passphrase", "open sesame", "passphrase")
    container = client.containers.create_rsa(
        name=unique("rsa"), public_key=public, private_key=private, private_key_passphrase=passphrase
    )
    found = client.containers.get(container.store())
    assert found.private_key.payload == material.private_key(Encoding.PEM)
    assert found.public_key.secret_ref == public.secret_ref
    assert found.private_key_passphrase.payload == "open sesame"
    with pytest.raises(exceptions.HTTPClientError) as failure:
        client.containers.create_rsa(name=unique("half"), public_key=public).store()
    assert status(failure) == 400
    assert "minimum required reference names" in str(failure.value)


def test_certificate_container(client):
    certificate = stored(client, "certificate", material.certificate(Encoding.PEM).decode(), "certificate")
    intermediates = stored(client, "intermediates", material.certificate(Encoding.PEM).decode(), "certificate")
    private = stored(client, "private", material.private_key(Encoding.PEM), "private")
    container = client.containers.create_certificate(
        name=unique("certificate"), certificate=certificate, intermediates=intermediates, private_key=private
    )
    found = client.containers.get(container.store())
    # Text in JSON loses the white space around it, as Barbican has it.
    assert found.certificate.payload == certificate.payload.strip()
    assert found.intermediates.secret_ref == intermediates.secret_ref
    assert found.private_key.payload == material.private_key(Encoding.PEM)


def test_consumers_of_a_container(client):
    container = client.containers.create(name=unique("consumed"), secrets={"x": stored(client, "x", "x")})
    reference = container.store()
    answered = client.containers.register_consumer(reference, "load balancer", "lb://1")
    assert answered.consumers == [{"name": "load balancer", "URL": "lb://1"}]
    client.containers.register_consumer(reference, "load balancer", "lb://2")
    again = client.containers.register_consumer(reference, "load balancer", "lb://2")
    assert len(again.consumers) == 2
    client.containers.remove_consumer(reference, "load balancer", "lb://1")
    assert client.containers.get(reference).consumers == [{"name": "load balancer", "URL": "lb://2"}]
    with pytest.raises(exceptions.HTTPClientError) as failure:
        client.containers.remove_consumer(reference, "load balancer", "lb://1")
    assert status(failure) == 404
    client.containers.delete(reference)


# ACLs


def as_user(gateway, user: str, project: str, roles: str):
    """A client with a user and roles, as the headers of the unauthenticated context name them."""
    client = connect(gateway, project)
    client.client._default_headers |= {"X-User-Id": user, "X-Roles": roles}
    return client


def test_acl_opens_a_secret_to_a_user(gateway):
    owner = as_user(gateway, "ann", "acl-project", "member")
    stranger = as_user(gateway, "bert", "acl-elsewhere", "member")
    reference = owner.secrets.create(name=unique("shared"), payload="for bert").store()
    assert owner.acls.get(reference).read.project_access is True
    with pytest.raises(exceptions.HTTPClientError) as failure:
        stranger.secrets.get(reference).payload
    assert status(failure) == 403
    owner.acls.create(reference, users=["bert"], project_access=True).submit()
    assert owner.acls.get(reference).read.users == ["bert"]
    assert stranger.secrets.get(reference).payload == "for bert"
    with pytest.raises(exceptions.HTTPClientError) as failure:
        stranger.secrets.delete(reference)
    assert status(failure) == 403
    owner.acls.get(reference).remove()
    with pytest.raises(exceptions.HTTPClientError) as failure:
        stranger.secrets.get(reference).payload
    assert status(failure) == 403


def test_acl_makes_a_secret_private(gateway):
    owner = as_user(gateway, "ann", "acl-private", "member")
    colleague = as_user(gateway, "cleo", "acl-private", "member")
    reference = owner.secrets.create(name=unique("private"), payload="mine").store()
    assert colleague.secrets.get(reference).payload == "mine"
    owner.acls.create(reference, users=[], project_access=False).submit()
    with pytest.raises(exceptions.HTTPClientError) as failure:
        colleague.secrets.get(reference).payload
    assert status(failure) == 403
    assert owner.secrets.get(reference).payload == "mine"
    assert as_user(gateway, "root", "acl-private", "admin").secrets.get(reference).payload == "mine"


def test_acl_of_a_container(gateway):
    owner = as_user(gateway, "ann", "acl-container", "member")
    stranger = as_user(gateway, "bert", "acl-elsewhere", "member")
    reference = owner.containers.create(name=unique("shared"), secrets={"x": stored(owner, "x", "x")}).store()
    with pytest.raises(exceptions.HTTPClientError):
        stranger.containers.get(reference)
    owner.acls.create(reference, users=["bert"], project_access=True).submit()
    found = stranger.containers.get(reference)
    # The container's list opens the container, not what is in it.
    with pytest.raises(exceptions.HTTPClientError) as failure:
        found.secrets["x"].payload
    assert status(failure) == 403


# What is gone


def test_certificate_authorities_are_gone(latest):
    with pytest.raises(exceptions.HTTPClientError) as failure:
        latest.cas.list()
    assert status(failure) == 404
