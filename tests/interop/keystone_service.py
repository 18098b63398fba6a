"""A real Keystone from PyPI: SQLite, Fernet tokens, users and roles, and a catalogue with a key-manager.

`Keystone` is a set-up on disk with one server process; `stop`, `start` and `freeze` let a test take it away. Everything
is made through `keystone-manage` and the HTTP API, as an operator would.
"""

import base64
import contextlib
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import requests

HERE = Path(__file__).parent
MANAGE = Path(sys.executable).parent / "keystone-manage"
# Only what the tests need; everything else is Keystone's default.
CONFIGURATION = """\
[DEFAULT]
log_file = {folder}/keystone.log
use_stderr = false
[database]
connection = sqlite:///{folder}/keystone.db?timeout=60
[cache]
enabled = true
backend = dogpile.cache.memory
[token]
provider = fernet
expiration = {expiration}
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[identity]
password_hash_algorithm = pbkdf2_sha512
password_hash_rounds = 1000
"""


class Server:
    """One process that serves Keystone; several may share a set-up."""

    def __init__(self, folder: Path, name: str, expiration: int):
        self.folder = folder
        self.config = folder / f"{name}.conf"
        self.config.write_text(CONFIGURATION.format(folder=folder, expiration=expiration))
        self.output = folder / f"{name}.out"
        self.port = 0
        self.process = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def auth_url(self) -> str:
        return f"{self.url}/v3"

    def bind(self) -> socket.socket:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(128)
        self.port = listening.getsockname()[1]
        return listening

    def start(self, listening: socket.socket | None = None) -> None:
        """Serves, on the same port as before."""
        listening = listening or self.bind()
        with listening, self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, HERE / "keystone_wsgi.py", str(listening.fileno())],
                env=os.environ | {"OS_KEYSTONE_CONFIG_FILES": str(self.config)},
                pass_fds=[listening.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
            )
        line = self.process.stdout.readline()
        assert line == b"serving\n", f"Keystone did not start: {self.output.read_text(errors='replace')[-2000:]}"

    def stop(self) -> None:
        """Nothing listens any more."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(10)
            self.process.stdout.close()
            self.process = None

    def freeze(self) -> None:
        """Connections are taken, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Goes on."""
        self.process.send_signal(signal.SIGCONT)

    def token(self, user: str, project: str | None, password: str = "", domain: str | None = None) -> str:
        """A token: for a project, or for a domain, or unscoped."""
        identity = {"name": user, "domain": {"id": "default"}, "password": password or password_of(user)}
        auth = {"identity": {"methods": ["password"], "password": {"user": identity}}}
        if project is not None:
            auth["scope"] = {"project": {"name": project, "domain": {"id": "default"}}}
        elif domain is not None:
            auth["scope"] = {"domain": {"name": domain}}
        else:
            auth["scope"] = "unscoped"
        answer = requests.post(f"{self.auth_url}/auth/tokens", json={"auth": auth}, timeout=120)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]


# One run's passwords: nothing outlives the temporary folder.
_SEED = secrets.token_hex(8)


def password_of(user: str) -> str:
    """The password of a user of the tests; not ASCII, as people's are not."""
    return f"pässwort-{user}-{_SEED}"


class Keystone(Server):
    """A Keystone with these projects and users.

    | user    | project   | role    |
    |---------|-----------|---------|
    | admin   | admin     | admin   |
    | gateway | service   | service |
    | alice   | crypto    | member  |
    | carol   | crypto    | admin   |
    | rita    | crypto    | reader  |
    | dora    | crypto    | reader  |
    | bob     | elsewhere | member  |
    | nobody  |           |         |
    """

    ROLES = (
        ("gateway", "service", "service"),
        ("alice", "crypto", "member"),
        ("carol", "crypto", "admin"),
        ("rita", "crypto", "reader"),
        ("dora", "crypto", "reader"),
        ("bob", "elsewhere", "member"),
        ("nobody", None, None),
    )

    def __init__(self, folder: Path):
        super().__init__(folder, "keystone", 3600)
        for name in ("fernet", "credential"):
            # What fernet_setup and credential_setup would write, without two more interpreters.
            (folder / name).mkdir(mode=0o700)
            for generation in ("0", "1"):
                (folder / name / generation).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
        listening = self.bind()
        self.manage("db_sync")
        # Readers and the writer of several servers do not wait for each other; the file remembers it.
        with contextlib.closing(sqlite3.connect(folder / "keystone.db")) as database:
            database.execute("PRAGMA journal_mode = WAL")
        self.manage(
            "bootstrap",
            "--bootstrap-username=admin",
            "--bootstrap-project-name=admin",
            "--bootstrap-service-name=keystone",
            "--bootstrap-region-id=RegionOne",
            f"--bootstrap-public-url={self.auth_url}",
            f"--bootstrap-internal-url={self.auth_url}",
        )
        self.start(listening)
        self.session = requests.Session()
        self.session.headers["X-Auth-Token"] = self.token("admin", "admin")
        self.projects = {}
        self.users = {}
        self.populate()

    def manage(self, *arguments: str) -> None:
        made = subprocess.run(
            [MANAGE, "--config-file", self.config, *arguments],
            env=os.environ | {"OS_BOOTSTRAP_PASSWORD": password_of("admin")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
        )
        assert made.returncode == 0, made.stderr.decode(errors="replace")[-3000:]

    def call(self, method: str, path: str, **body) -> dict:
        """One request of the administrator."""
        answer = self.session.request(method, f"{self.auth_url}/{path}", json=body or None, timeout=120)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else {}

    def populate(self) -> None:
        roles = {role["name"]: role["id"] for role in self.call("GET", "roles")["roles"]}
        self.projects["admin"] = self.call("GET", "projects?name=admin")["projects"][0]["id"]
        for user, project, role in self.ROLES:
            if project is not None and project not in self.projects:
                made = self.call("POST", "projects", project={"name": project, "domain_id": "default"})
                self.projects[project] = made["project"]["id"]
            made = self.call(
                "POST", "users", user={"name": user, "domain_id": "default", "password": password_of(user)}
            )
            self.users[user] = made["user"]["id"]
            if project is not None:
                self.call("PUT", f"projects/{self.projects[project]}/users/{self.users[user]}/roles/{roles[role]}")

    def publish(self, endpoint: str) -> None:
        """Enters the key-manager into the catalogue, in place of an earlier one."""
        found = self.call("GET", "services?type=key-manager")["services"]
        for service in found:
            self.call("DELETE", f"services/{service['id']}")
        service = self.call("POST", "services", service={"type": "key-manager", "name": "barbican", "enabled": True})
        for interface in ("public", "internal", "admin"):
            self.call(
                "POST",
                "endpoints",
                endpoint={
                    "service_id": service["service"]["id"],
                    "interface": interface,
                    "region_id": "RegionOne",
                    "url": endpoint,
                },
            )

    password_of = staticmethod(password_of)

    def revoke(self, token: str) -> None:
        """Revokes it."""
        answer = self.session.delete(f"{self.auth_url}/auth/tokens", headers={"X-Subject-Token": token}, timeout=120)
        assert answer.status_code == 204, answer.text

    def short_lived(self, seconds: int) -> Server:
        """A second server of the same Keystone, whose tokens live for this long."""
        server = Server(self.folder, f"short-{seconds}", seconds)
        server.start()
        return server


def main() -> None:
    """Runs one for a person: python keystone_service.py FOLDER."""
    keystone = Keystone(Path(sys.argv[1]))
    print(keystone.auth_url, keystone.projects, keystone.users, {user: password_of(user) for user in keystone.users})
    try:
        while True:
            time.sleep(60)
    except KeyboardInterrupt:
        keystone.stop()


if __name__ == "__main__":
    main()
