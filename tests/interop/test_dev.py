"""`portcullis dev`, as a newcomer meets it."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from barbicanclient import client as barbican
from keystoneauth1 import session
from kmip.core.enums import AttributeType, CryptographicAlgorithm, KMIPVersion
from kmip.core.factories.attributes import AttributeFactory
from kmip.pie.client import ProxyKmipClient

import portcullis
from material import unique


def bash(command: str) -> subprocess.CompletedProcess:
    """What a person would have pasted into a terminal."""
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, cwd="/")


def printed_commands(gateway) -> list[str]:
    """The lines after `ready` that are commands."""
    program = str(portcullis.binary())
    return [line for line in gateway.rest_of_output() if line.startswith(("curl ", program, "portcullis "))]


def test_the_three_commands_work_as_pasted(tmp_path):
    # A folder whose name needs quoting.
    folder = tmp_path / "it's a folder"
    with portcullis.running(portcullis.dev_command(folder), folder) as gateway:
        commands = printed_commands(gateway)
        assert len(commands) == 3, commands
        results = [bash(command) for command in commands]
        for command, result in zip(commands, results, strict=True):
            assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        rest, kmip, metrics = (result.stdout for result in results)
        reference = json.loads(rest)["secret_ref"]
        assert reference.startswith(gateway.rest)
        found = requests.get(reference + "/payload", headers={"X-Project-Id": "demo"}, timeout=60)
        assert found.text == "hello"
        # The identifier of the new key is somewhere in what the KMIP command says.
        listed = requests.get(f"{gateway.rest}/v1/secrets", headers={"X-Project-Id": "demo"}, timeout=60).json()
        identifiers = {each["secret_ref"].rsplit("/", 1)[1] for each in listed["secrets"]}
        assert any(identifier in kmip for identifier in identifiers - {reference.rsplit("/", 1)[1]}), (
            kmip,
            identifiers,
        )
        assert any(line.startswith("portcullis_requests_total{") for line in metrics.splitlines()), metrics


def test_addresses_are_written(tmp_path):
    folder = tmp_path / "dev"
    with portcullis.running(portcullis.dev_command(folder), folder) as gateway:
        addresses = gateway.addresses
        assert requests.get(addresses["rest"], timeout=60).status_code == 300
        assert requests.get(f"{addresses['ops']}/healthz", timeout=60).status_code == 200
        assert requests.get(f"{addresses['ops']}/readyz", timeout=60).status_code == 200
        assert not addresses["kmip"].endswith(":0")


def test_nobody_else_may_read_the_folder(tmp_path):
    folder = tmp_path / "dev"
    with portcullis.running(portcullis.dev_command(folder), folder):
        for name in ("pin", "tls/ca.key", "tls/client.key", "tls/server.key"):
            assert (folder / name).stat().st_mode & 0o077 == 0, name
        assert folder.stat().st_mode & 0o077 == 0


def test_second_one_on_the_same_folder_is_refused(tmp_path):
    folder = tmp_path / "dev"
    with portcullis.running(portcullis.dev_command(folder), folder) as gateway:
        second = subprocess.run(portcullis.dev_command(folder), capture_output=True, text=True, timeout=120)
        assert second.returncode != 0
        assert "ready" not in second.stdout
        assert str(folder) in second.stderr
        assert "in use" in second.stderr
        assert "--dir" in second.stderr
        assert requests.get(gateway.rest, timeout=60).status_code == 300


def test_port_in_use_is_said(tmp_path):
    folder = tmp_path / "dev"
    with portcullis.running(portcullis.dev_command(folder), folder) as gateway:
        taken = gateway.rest.removeprefix("http://")
        other = portcullis.dev_command(tmp_path / "other", None, f"--rest={taken}")
        other.remove("--rest=127.0.0.1:0")
        second = subprocess.run(other, capture_output=True, text=True, timeout=120)
        assert second.returncode != 0
        assert taken in second.stderr


def test_restart_keeps_objects(tmp_path):
    folder = tmp_path / "dev"
    command = portcullis.dev_command(folder)
    with portcullis.running(command, folder) as gateway:
        client = barbican.Client(session=session.Session(), endpoint=gateway.rest, project_id="kept")
        text = client.secrets.create(name="text", payload="kept over a restart").store()
        binary = client.secrets.create(name="binary", payload=bytes(range(256)) * 20).store()
        order = client.orders.create_key(name="ordered", algorithm="aes", bit_length=256).submit()
        key = wait_for_key(client, order)
        pin = (folder / "pin").read_bytes()
        made = bash(f"{portcullis.binary()} kmip create --dir '{folder}'")
        assert made.returncode == 0, made.stderr
    with portcullis.running(command, folder) as gateway:
        assert (folder / "pin").read_bytes() == pin
        client = barbican.Client(session=session.Session(), endpoint=gateway.rest, project_id="kept")
        assert client.secrets.total() == 3
        assert client.secrets.get(text).payload == "kept over a restart"
        assert client.secrets.get(binary).payload == bytes(range(256)) * 20
        assert client.secrets.get(key[0]).payload == key[1]
        assert client.orders.get(order).status == "ACTIVE"
        located = bash(f"{portcullis.binary()} kmip locate --dir '{folder}'")
        assert located.returncode == 0, located.stderr
        assert len(located.stdout.split()) >= 1


def wait_for_key(client, order: str) -> tuple[str, bytes]:
    """The key of an order."""
    deadline = time.monotonic() + 60
    while client.orders.get(order).status == "PENDING":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    reference = client.orders.get(order).secret_ref
    return reference, client.secrets.get(reference).payload


def test_killed_gateway_comes_back(tmp_path):
    folder = tmp_path / "dev"
    command = portcullis.dev_command(folder)
    gateway = portcullis.Gateway(command, folder)
    try:
        gateway.wait_for("ready")
        client = barbican.Client(session=session.Session(), endpoint=gateway.rest, project_id="kept")
        reference = client.secrets.create(payload="acknowledged").store()
    finally:
        gateway.kill()
    with portcullis.running(command, folder) as gateway:
        client = barbican.Client(session=session.Session(), endpoint=gateway.rest, project_id="kept")
        assert client.secrets.get(reference).payload == "acknowledged"


def test_sigterm_finishes_what_runs(tmp_path):
    """A request that is being worked on is answered, others are not begun, and nothing half-made is left."""
    folder = tmp_path / "dev"
    command = portcullis.dev_command(folder)
    name = unique("slow")
    with portcullis.running(command, folder) as gateway:
        client = kmip_of(gateway)
        with client, ThreadPoolExecutor(1) as pool:
            # Seconds of work for a simulated token.
            made = pool.submit(client.create_key_pair, CryptographicAlgorithm.RSA, 4096, private_name=name)
            time.sleep(0.2)
            os.kill(gateway.process.pid, signal.SIGTERM)
            assert gateway.process.wait(portcullis.STOP_SECONDS) == 0
            answered = None if made.exception(10) else made.result()
        gateway.expect_gone()
    with portcullis.running(command, folder) as gateway, kmip_of(gateway) as client:
        located = client.locate(attributes=[AttributeFactory().create_attribute(AttributeType.NAME, name)])
        if answered is not None:
            assert located == [answered[1]]
        for uid in located:
            assert client.get(uid).cryptographic_length == 4096


def kmip_of(gateway) -> ProxyKmipClient:
    """PyKMIP as the client that `dev` enrols."""
    host, port = gateway.kmip
    files = {
        name: gateway.tls(file) for name, file in (("cert", "client.pem"), ("key", "client.key"), ("ca", "ca.pem"))
    }
    return ProxyKmipClient(hostname=host, port=port, kmip_version=KMIPVersion.KMIP_1_4, **files)


def test_audit_trail_of_a_run_holds(tmp_path):
    folder = tmp_path / "dev"
    with portcullis.running(portcullis.dev_command(folder), folder) as gateway:
        client = barbican.Client(session=session.Session(), endpoint=gateway.rest, project_id="audited")
        reference = client.secrets.create(payload="x").store()
        assert client.secrets.get(reference).payload == "x"
        client.secrets.delete(reference)
    verify = [portcullis.binary(), "audit", "verify", folder / "audit"]
    key = folder / "audit/audit.pub"
    held = subprocess.run([*verify, "--key", key], capture_output=True, text=True, timeout=120)
    assert held.returncode == 0, held.stdout + held.stderr
    trail = folder / "audit/audit.log"
    lines = trail.read_text().splitlines(keepends=True)
    assert sum(reference.rsplit("/", 1)[1] in line for line in lines) >= 3
    trail.write_text("".join(lines[:2] + lines[3:]))
    broken = subprocess.run([*verify, "--key", key], capture_output=True, text=True, timeout=120)
    assert broken.returncode == 1
    assert "3" in broken.stdout + broken.stderr


def test_mistakes_on_the_command_line_are_refused(tmp_path):
    for arguments in (["dev", "--kmip", "nowhere"], ["dev", "--module", "/lib/x.so"], ["fly"], ["serve"]):
        tried = subprocess.run(
            [portcullis.binary(), *arguments], capture_output=True, text=True, timeout=120, cwd=tmp_path
        )
        assert tried.returncode == 2, arguments
        assert "--help" in tried.stderr


def test_module_that_is_no_module(tmp_path):
    (tmp_path / "pin").write_text("1234")
    (tmp_path / "pin").chmod(0o600)
    text = tmp_path / "module.so"
    text.write_text("this is no shared library")
    for module, told in ((text, "module.so"), (tmp_path / "absent.so", "absent.so")):
        token = portcullis.Token(module, "label", tmp_path / "pin")
        folder = tmp_path / f"dev-{module.name}"
        tried = subprocess.run(portcullis.dev_command(folder, token), capture_output=True, text=True, timeout=120)
        assert tried.returncode == 1, tried.stderr
        assert told in tried.stderr
        assert "panicked" not in tried.stderr


@pytest.mark.parametrize("kind", ("softhsm", "kryoptic"))
def test_wrong_pin_is_tried_once_and_said(tmp_path, kind):
    reason = portcullis.missing(kind)
    if reason:
        pytest.skip(f"skipped, because {reason}")
    token = portcullis.make_token(kind, tmp_path / "token")
    token.pin_file.write_text("wrong-pin")
    folder = tmp_path / "dev"
    for _ in range(6):
        tried = subprocess.run(
            portcullis.dev_command(folder, token),
            env=os.environ | token.env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert tried.returncode == 1
        assert "PIN" in tried.stderr
        assert "wrong-pin" not in tried.stdout + tried.stderr
    # Six starts did not lock the token: the refused PIN is remembered, and the right one still opens it.
    token.pin_file.write_text(portcullis.PIN)
    with portcullis.running(portcullis.dev_command(folder, token), folder, token.env):
        pass
