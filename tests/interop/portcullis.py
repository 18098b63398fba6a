"""Starts and stops the gateway, and makes the tokens it works on."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import material

ROOT = Path(__file__).resolve().parents[2]
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
KRYOPTIC = ROOT / ".tools/kryoptic/libkryoptic_pkcs11.so"
PIN = "4711-Interop"
LABEL = "portcullis-interop"
# A debug build on a busy machine makes keys and checks hashes slowly.
START_SECONDS = 120
STOP_SECONDS = 60


def binary() -> Path:
    """The program under test."""
    named = os.environ.get("PORTCULLIS_BIN")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Path(named).resolve() if named else target / "release/portcullis"


@dataclass
class Token:
    """A token of a PKCS#11 module; without a module, the simulator that `dev` embeds."""

    module: Path | None = None
    label: str = LABEL
    pin_file: Path | None = None
    env: dict[str, str] = field(default_factory=dict)

    def arguments(self) -> list[str]:
        """What `dev` is told about it."""
        if self.module is None:
            return []
        return ["--module", str(self.module), "--token-label", self.label, "--pin-file", str(self.pin_file)]


def missing(kind: str) -> str | None:
    """Why a kind of token cannot be made here."""
    if kind == "softhsm" and not SOFTHSM.exists():
        return f"{SOFTHSM} is not installed (Debian softhsm2)"
    if kind == "kryoptic" and not KRYOPTIC.exists():
        return f"{KRYOPTIC} is not built (tests/tools/install)"
    if kind == "kryoptic" and not _has("pkcs11-tool"):
        return "pkcs11-tool is not installed (Debian opensc)"
    return None


def asked_profile() -> str:
    """The token that PORTCULLIS_TEST_PROFILE names: a model of the simulator, `softhsm2` or `kryoptic`."""
    return os.environ.get("PORTCULLIS_TEST_PROFILE") or "default"


def asked_kind() -> tuple[str, ...]:
    """The kind of token that everything is to run on, where one is asked for."""
    kinds = {"default": (), "softhsm2": ("softhsm",), "kryoptic": ("kryoptic",)}
    return kinds.get(asked_profile(), ("sim",))


def make_token(kind: str, folder: Path) -> Token:
    """Initialises a token in a folder of its own."""
    if kind == "sim":
        return _model(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pin_file = folder / "pin"
    pin_file.write_text(PIN)
    pin_file.chmod(0o600)
    if kind == "softhsm":
        (folder / "tokens").mkdir()
        config = folder / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        token = Token(SOFTHSM, pin_file=pin_file, env={"SOFTHSM2_CONF": str(config)})
        _run(token, "softhsm2-util", "--init-token", "--free", "--label", LABEL, "--so-pin", "12345678", "--pin", PIN)
        return token
    assert kind == "kryoptic", kind
    config = folder / "kryoptic.conf"
    config.write_text(f'[[slots]]\nslot = 0\ndbtype = "sqlite"\ndbargs = "{folder}/token.sql"\n')
    token = Token(KRYOPTIC, pin_file=pin_file, env={"KRYOPTIC_CONF": str(config)})
    tool = ["pkcs11-tool", "--module", str(KRYOPTIC)]
    _run(token, *tool, "--init-token", "--label", LABEL, "--so-pin", "12345678")
    _run(token, *tool, "--init-pin", "--login", "--login-type", "so", "--so-pin", "12345678", "--new-pin", PIN)
    return token


def _model(folder: Path) -> Token:
    """The simulated token, as the model that PORTCULLIS_TEST_PROFILE names."""
    profile = asked_profile()
    if profile in ("default", "softhsm2", "kryoptic"):
        return Token()
    folder.mkdir(parents=True, exist_ok=True)
    options = folder / "hsm-sim.toml"
    options.write_text(f'profile = "{profile}"\nsimulate_latency = false\n')
    if profile.startswith("cloudhsm"):
        # There a PIN is a user and a password; `dev` takes the one that it finds.
        dev = folder.parent / "dev"
        dev.mkdir(mode=0o700, exist_ok=True)
        (dev / "pin").write_text("crypto:a-password-of-tests")
        (dev / "pin").chmod(0o600)
    return Token(env={"HSM_SIM_CONFIG": str(options), "PORTCULLIS_HSM__MAIN__SIMULATED_CONFIG": str(options)})


def _run(token: Token, *command: str) -> None:
    made = subprocess.run(command, env=os.environ | token.env, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, f"{command[0]}: {made.stdout}{made.stderr}"


def _has(program: str) -> bool:
    return any((Path(folder) / program).exists() for folder in os.environ.get("PATH", "").split(os.pathsep))


class Gateway:
    """A running gateway: its addresses, certificates and output."""

    def __init__(self, command: list[str], folder: Path, env: dict[str, str] | None = None):
        self.folder = folder
        self.log = folder.parent / f"{folder.name}.stderr"
        self.lines: list[str] = []
        self.is_stopped = False
        self._queue: queue.Queue[str | None] = queue.Queue()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=os.environ | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, wanted: str, seconds: float = START_SECONDS) -> None:
        """Until this line is printed."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line {wanted!r} within {seconds} s\n{self.errors()}") from None
            assert line is not None, f"ended with {self.process.wait()} before {wanted!r}\n{self.errors()}"
            self.lines.append(line)
            if line == wanted:
                return

    def rest_of_output(self, seconds: float = 1.0) -> list[str]:
        """The lines that follow, until none comes for a while."""
        found = []
        with contextlib.suppress(queue.Empty):
            while (line := self._queue.get(timeout=seconds)) is not None:
                found.append(line)
        return found

    def errors(self) -> str:
        """The end of standard error."""
        return self.log.read_text(errors="replace")[-4000:]

    def expect_gone(self) -> None:
        """The test has stopped it, so `running` does not."""
        self.is_stopped = True

    def kill(self) -> None:
        """Whatever happened, it is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    # Where it listens.

    @property
    def addresses(self) -> dict[str, str]:
        """What `dev` writes into a file, and `serve` into its log."""
        written = self.folder / "addresses.json"
        if written.exists():
            return json.loads(written.read_text())
        ready = [line for line in self.log_lines() if line.get("message") == "ready"]
        return {name: ready[-1][name] for name in ("kmip", "rest", "ops")}

    def log_lines(self) -> list[dict]:
        """The JSON log, flat; what a module or `docker` put in between is left out."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entry = json.loads(line)
                found.append(entry | entry.get("fields", {}))
        return found

    @property
    def kmip(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self.addresses["kmip"].rsplit(":", 1)
        return host, int(port)

    @property
    def rest(self) -> str:
        return self.addresses["rest"]

    @property
    def ops(self) -> str:
        return self.addresses["ops"]

    def tls(self, name: str) -> str:
        """A file of the certificates: ca.pem, client.pem, client.key …"""
        return str(self.folder / "tls" / name)


def dev_command(folder: Path, token: Token | None = None, *more: str) -> list[str]:
    """`portcullis dev` on free ports."""
    listeners = [f"--{name}=127.0.0.1:0" for name in ("kmip", "rest", "ops")]
    return [str(binary()), "dev", "--dir", str(folder), *listeners, *(token or Token()).arguments(), *more]


@contextlib.contextmanager
def running(command: list[str], folder: Path, env: dict[str, str] | None = None):
    """A gateway that is ready; at the end it must leave on SIGTERM with 0."""
    gateway = Gateway(command, folder, env)
    try:
        gateway.wait_for("ready")
        yield gateway
        if not gateway.is_stopped:
            assert gateway.process.poll() is None, f"the gateway died\n{gateway.errors()}"
            gateway.process.send_signal(signal.SIGTERM)
        status = gateway.process.wait(STOP_SECONDS)
        assert status == 0, f"exit code {status}\n{gateway.errors()}"
        assert "panicked" not in gateway.log.read_text(errors="replace"), gateway.errors()
    finally:
        gateway.kill()


def serve_command(config: Path) -> list[str]:
    """`portcullis serve`."""
    return [str(binary()), "serve", "--config", str(config)]


SERVE = """\
[kmip]
listen = "127.0.0.1:0"
certificate = "tls/server.pem"
key = "tls/server.key"
client_ca = "tls/ca.pem"

[[kmip.clients]]
name = "tape library"
spki_sha256 = "{spki}"
project = "{project}"

[rest]
listen = "127.0.0.1:0"

[rest.auth]
mode = "keystone"

[rest.auth.keystone]
url = "{keystone}"
username = "gateway"
password_file = "keystone-password"
project = "service"
cache_seconds = {cache_seconds}
request_seconds = 8

[ops]
listen = "127.0.0.1:0"

[store]
path = "store"

[audit]
path = "audit"

[hsm.main]
module = "{module}"
token_label = "{label}"
pin_file = "token/pin"
allow_simulated_hsm = true

[hsm.main.env]
{env}

[limits]
# A software token beside a busy compiler is not dead.
hsm_seconds = 60

[log]
format = "json"
level = "info"
"""


def prepare_serve(folder: Path, keystone, project: str, kind: str = "softhsm", cache_seconds: int = 0) -> Path:
    """A folder as an operator makes it: certificates of an own CA, a token, a configuration, whose path is returned."""
    token = make_token(kind, folder / "token")
    (folder / "tls").mkdir()
    spki = material.make_tls(folder / "tls")
    password = folder / "keystone-password"
    password.write_text(keystone.password_of("gateway"))
    password.chmod(0o600)
    config = folder / "gateway.toml"
    config.write_text(
        SERVE.format(
            spki=spki,
            project=project,
            keystone=keystone.url,
            cache_seconds=cache_seconds,
            module=token.module,
            label=token.label,
            env="\n".join(f'{name} = "{value}"' for name, value in token.env.items()),
        )
    )
    return config
