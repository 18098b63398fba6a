"""The `openstack` and `barbican` commands, as an operator types them.

`openstack` finds the gateway through Keystone's catalogue; `barbican --no-auth` asks it directly. Each command is an
interpreter that starts anew, so there are few of them.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import material
from material import unique

TOOLS = Path(sys.executable).parent
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def run(program: str, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    return subprocess.run(
        [TOOLS / program, *arguments],
        env=inherited | {"PYTHONWARNINGS": "ignore"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def openstack(cloud, tmp_path_factory):
    """Runs `openstack`; reads JSON, or says what a failure said."""
    environment = {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "OS_AUTH_URL": cloud.keystone.auth_url,
        "OS_USERNAME": "alice",
        "OS_PASSWORD": cloud.keystone.password_of("alice"),
        "OS_PROJECT_NAME": "crypto",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
        "OS_IDENTITY_API_VERSION": "3",
    }

    def command(*arguments: str, fails: bool = False, silent: bool = False):
        ran = run("openstack", environment, *arguments, *([] if silent or fails else ["-f", "json"]))
        if fails:
            assert ran.returncode != 0, ran.stdout
            return ran.stderr
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return None if silent else json.loads(ran.stdout)

    return command


@pytest.fixture(scope="module")
def barbican(gateway, tmp_path_factory):
    """Runs `barbican --no-auth`."""
    environment = {"HOME": str(tmp_path_factory.mktemp("home"))}
    access = ["--no-auth", "--endpoint", gateway.rest, "--os-project-id", "cli"]

    def command(*arguments: str, silent: bool = False):
        ran = run("barbican", environment, *access, *arguments, *([] if silent else ["-f", "json"]))
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return None if silent else json.loads(ran.stdout)

    return command


def test_secrets(openstack):
    name = unique("cli")
    made = openstack("secret", "store", "--name", name, "--payload", "typed in")
    reference = made["Secret href"]
    shown = openstack("secret", "get", reference)
    assert (shown["Name"], shown["Status"], shown["Secret href"]) == (name, "ACTIVE", reference)
    # What the command fills in by itself.
    assert (shown["Algorithm"], shown["Bit length"], shown["Mode"], shown["Secret type"]) == (
        "aes",
        256,
        "cbc",
        "opaque",
    )
    assert openstack("secret", "get", "--payload", reference)["Payload"] == "typed in"
    listed = openstack("secret", "list", "--name", name)
    assert [each["Secret href"] for each in listed] == [reference]
    openstack("secret", "delete", reference, silent=True)
    assert "Not Found" in openstack("secret", "get", reference, fails=True)
    assert openstack("secret", "list", "--name", name) == []


def test_file_in_two_steps(openstack, tmp_path):
    name = unique("file")
    source = tmp_path / "private.pem"
    source.write_bytes(material.private_key(Encoding.PEM))
    reference = openstack("secret", "store", "--name", name, "--secret-type", "private")["Secret href"]
    openstack("secret", "update", reference, source.read_text(), silent=True)
    target = tmp_path / "back.pem"
    openstack("secret", "get", "--file", str(target), reference, silent=True)
    assert target.read_bytes() == source.read_bytes()


def test_order(openstack):
    name = unique("order")
    made = openstack("secret", "order", "create", "--name", name, "--algorithm", "aes", "--bit-length", "256", "key")
    reference = made["Order href"]
    deadline = time.monotonic() + 60
    while (shown := openstack("secret", "order", "get", reference))["Status"] == "PENDING":
        assert time.monotonic() < deadline
    assert shown["Status"] == "ACTIVE"
    assert shown["Type"] == "Key"
    secret = openstack("secret", "get", shown["Secret href"])
    assert (secret["Name"], secret["Algorithm"], secret["Bit length"]) == (name, "aes", 256)
    # Bytes that are no text, and the command asks for text.
    assert "Not Acceptable" in openstack(
        "secret", "get", "--payload", "-t", "text/plain", shown["Secret href"], fails=True
    )
    assert reference in [each["Order href"] for each in openstack("secret", "order", "list")]
    openstack("secret", "order", "delete", reference, silent=True)


def test_container(openstack):
    one = openstack("secret", "store", "--name", unique("member"), "--payload", "1")["Secret href"]
    name = unique("container")
    made = openstack("secret", "container", "create", "--name", name, "--secret", f"first={one}")
    reference = made["Container href"]
    shown = openstack("secret", "container", "get", reference)
    assert (shown["Name"], shown["Status"], shown["Type"]) == (name, "ACTIVE", "generic")
    assert one in shown["Secrets"]
    assert reference in [each["Container href"] for each in openstack("secret", "container", "list", "--limit", "100")]
    openstack("secret", "container", "delete", reference, silent=True)
    assert "Not Found" in openstack("secret", "container", "get", reference, fails=True)


def test_unknown_secret(openstack, cloud):
    said = openstack("secret", "get", f"{cloud.gateway.rest}/v1/secrets/{UNKNOWN}", fails=True)
    assert "Not Found" in said


def test_barbican_without_keystone(barbican):
    name = unique("direct")
    reference = barbican("secret", "store", "--name", name, "--payload", "directly")["Secret href"]
    assert barbican("secret", "get", "--payload", reference)["Payload"] == "directly"
    assert [each["Secret href"] for each in barbican("secret", "list", "--name", name)] == [reference]
    barbican("acl", "submit", "--user", "somebody", reference)
    barbican("secret", "delete", reference, silent=True)
