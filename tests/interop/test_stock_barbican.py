"""The real Barbican in front of us: its KMIP plugin on our KMIP port, its PKCS#11 plugin on the simulator's module."""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

import portcullis

HERE = Path(__file__).parent
PIN = "4711-Interop"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("barbican") is None,
    reason="skipped, because Barbican is not installed (tests/tools/install)",
)

COMMON = """\
[DEFAULT]
db_auto_create = true
log_file = {folder}/barbican.log
use_stderr = false
[database]
connection = sqlite:///{folder}/barbican.sqlite
[queue]
enable = false
"""


@contextlib.contextmanager
def barbican(folder, configuration, env=None):
    """A Barbican with this configuration; the root of its API."""
    (folder / ".barbican").mkdir(parents=True, exist_ok=True)
    (folder / ".barbican/barbican.conf").write_text(COMMON.format(folder=folder) + configuration)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        port = listening.getsockname()[1]
        with (folder / "output").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, HERE / "stock_barbican.py", str(listening.fileno())],
                env=os.environ | {"HOME": str(folder)} | (env or {}),
                pass_fds=[listening.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=folder,
            )
    try:
        line = process.stdout.readline()
        assert line == b"serving\n", (folder / "output").read_text(errors="replace")[-3000:]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def log_of(folder):
    return (folder / "barbican.log").read_text(errors="replace")[-4000:] if (folder / "barbican.log").exists() else ""


def store_get_delete(root, folder):
    """A secret goes in, comes back, and goes; answers its identifier's path."""
    body = {
        "name": "AES key", "secret_type": "symmetric", "algorithm": "aes", "bit_length": 256, "mode": "cbc",
        "payload": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "payload_content_type": "application/octet-stream",
        "payload_content_encoding": "base64",
    }
    made = requests.post(root + "/secrets", json=body, timeout=60)
    assert made.status_code == 201, made.text + log_of(folder)
    path = root + "/secrets/" + made.json()["secret_ref"].rsplit("/", 1)[1]
    found = requests.get(path + "/payload", headers={"Accept": "application/octet-stream"}, timeout=60)
    assert (found.status_code, found.content) == (200, bytes(range(32))), found.text + log_of(folder)
    gone = requests.delete(path, timeout=60)
    assert gone.status_code == 204, gone.text + log_of(folder)
    assert requests.get(path, timeout=60).status_code == 404


def key_order(root, folder, bits=256):
    meta = {"name": "k", "algorithm": "aes", "bit_length": bits, "payload_content_type": "application/octet-stream"}
    made = requests.post(root + "/orders", json={"type": "key", "meta": meta}, timeout=60)
    assert made.status_code == 202, made.text + log_of(folder)
    path = root + "/orders/" + made.json()["order_ref"].rsplit("/", 1)[1]
    deadline = time.monotonic() + 60
    while (order := requests.get(path, timeout=60).json())["status"] == "PENDING":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert order["status"] == "ACTIVE", str(order) + log_of(folder)
    secret = root + "/secrets/" + order["secret_ref"].rsplit("/", 1)[1]
    found = requests.get(secret + "/payload", headers={"Accept": "application/octet-stream"}, timeout=60)
    assert (found.status_code, len(found.content)) == (200, bits // 8), log_of(folder)


def test_kmip_plugin(gateway, tmp_path):
    host, port = gateway.kmip
    # The plugin insists on a key that nobody can write.
    key = tmp_path / "client.key"
    shutil.copy(gateway.tls("client.key"), key)
    key.chmod(0o400)
    configuration = f"""
[secretstore]
enabled_secretstore_plugins = kmip_plugin
[kmip_plugin]
host = {host}
port = {port}
certfile = {gateway.tls("client.pem")}
keyfile = {key}
ca_certs = {gateway.tls("ca.pem")}
"""

    def objects():
        listed = requests.get(gateway.rest + "/v1/secrets", headers={"X-Project-Id": "demo"}, timeout=30)
        return listed.json()["total"]

    before = objects()
    with barbican(tmp_path, configuration) as root:
        store_get_delete(root, tmp_path)
        assert objects() == before
        for bits in (128, 192, 256):
            key_order(root, tmp_path, bits)
        # The keys are ours, and the other front end shows them.
        assert objects() == before + 3


def module():
    """The simulator as a shared library, where a build has left it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", portcullis.ROOT / "target"))
    found = [target / "debug/libhsm_sim.so", target / "release/libhsm_sim.so", *sorted((target / "debug/deps").glob("libhsm_sim*.so"))]
    return next((path for path in found if path.exists()), None)


def test_pkcs11_plugin(tmp_path):
    library = module()
    if library is None:
        pytest.skip("skipped, because libhsm_sim.so is not built (cargo build --workspace)")
    if shutil.which("pkcs11-tool") is None:
        pytest.skip("skipped, because pkcs11-tool is not installed (Debian opensc)")
    env = {"HSM_SIM_STORE": str(tmp_path / "tokens")}
    words = ["--module", str(library), "--init-token", "--label", "stock", "--so-pin", "12345678"]
    made = subprocess.run(["pkcs11-tool", *words], env=os.environ | env, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stdout + made.stderr
    words = ["--module", str(library), "--login", "--login-type", "so", "--so-pin", "12345678", "--init-pin", "--new-pin", PIN]
    words += ["--token-label", "stock"]
    made = subprocess.run(["pkcs11-tool", *words], env=os.environ | env, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stdout + made.stderr
    configuration = f"""
[secretstore]
enabled_secretstore_plugins = store_crypto
[crypto]
enabled_crypto_plugins = p11_crypto
[p11_crypto_plugin]
library_path = {library}
login = {PIN}
token_labels = stock
mkek_label = stock-mkek
mkek_length = 32
hmac_label = stock-hmac
hmac_key_type = CKK_GENERIC_SECRET
hmac_keygen_mechanism = CKM_GENERIC_SECRET_KEY_GEN
hmac_mechanism = CKM_SHA256_HMAC
encryption_mechanism = CKM_AES_GCM
key_wrap_mechanism = CKM_AES_KEY_WRAP_PAD
key_wrap_generate_iv = false
aes_gcm_generate_iv = true
"""
    (tmp_path / ".barbican").mkdir()
    (tmp_path / ".barbican/barbican.conf").write_text(COMMON.format(folder=tmp_path) + configuration)
    manage = Path(sys.executable).parent / "barbican-manage"
    for key in ("gen_mkek", "gen_hmac"):
        made = subprocess.run(
            [str(manage), "hsm", key], env=os.environ | env | {"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120, cwd=tmp_path
        )
        assert made.returncode == 0, f"{key}: {made.stdout[-2000:]}{made.stderr[-3000:]}{log_of(tmp_path)}"
    with barbican(tmp_path, configuration, env) as root:
        store_get_delete(root, tmp_path)
        key_order(root, tmp_path)
    # Started again, what was stored is still there: the master keys lie on the token.
    with barbican(tmp_path, configuration, env) as root:
        key_order(root, tmp_path)
