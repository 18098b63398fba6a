"""What an operator of the Barbican side does: static tokens, policy files, `policy explain`, `project purge`."""

import re
import subprocess
import time
import tomllib

import pytest
import requests

import portcullis

MEMBER = {"X-Project-Id": "p1", "X-User-Id": "alice", "X-Roles": "member"}


def command(*words):
    return subprocess.run([str(portcullis.binary()), *words], capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A gateway without Keystone: static tokens, a policy file, two hours until nothing."""
    folder = tmp_path_factory.mktemp("site") / "dev"
    with portcullis.running(portcullis.dev_command(folder), folder):
        pass
    made = {name: command("token", "--name", name, "--project", project, "--roles", roles) for name, project, roles in (
        ("writer", "p1", "member"), ("root", "p1", "admin"), ("stranger", "p2", "member"))}
    tokens = {}
    config = folder / "config.toml"
    text = config.read_text().replace('mode = "unauthenticated"', 'mode = "tokens"')
    for name, result in made.items():
        assert result.returncode == 0, result.stderr
        tokens[name] = re.search(r"pct_\S+", result.stdout).group()
        section = "\n".join(line for line in result.stdout.splitlines() if not line.startswith("#"))
        assert tomllib.loads(section)["rest"]["auth"]["tokens"][0]["name"] == name
        text += "\n" + section + "\n"
    text += '\n[rest.policy]\nfile = "policy.yaml"\n'
    config.write_text(text)
    (folder / "policy.yaml").write_text("# nothing yet\n")
    with portcullis.running(portcullis.dev_command(folder), folder) as gateway:
        gateway.tokens = tokens
        yield gateway


def ask(site, method, path, token=None, **more):
    headers = {"X-Auth-Token": token} if token else {}
    return requests.request(method, site.rest + path, headers=headers | more.pop("headers", {}), timeout=60, **more)


def test_static_tokens(site):
    text = "The request you have made requires authentication."
    for headers in ({}, {"X-Auth-Token": "pct_wrong"}, {"Authorization": "Basic x"}, MEMBER):
        answer = ask(site, "GET", "/v1/secrets", headers=headers)
        assert (answer.status_code, answer.json()["description"]) == (401, text)
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="portcullis"'
    body = {"name": "s", "payload": "beer", "payload_content_type": "text/plain"}
    made = ask(site, "POST", "/v1/secrets", site.tokens["writer"], json=body)
    assert made.status_code == 201, made.text
    path = made.json()["secret_ref"].removeprefix(site.rest)
    shown = ask(site, "GET", path, headers={"Authorization": f"Bearer {site.tokens['root']}"})
    assert (shown.status_code, shown.json()["creator_id"]) == (200, "writer")
    # What headers claim beside a token counts for nothing.
    stranger = ask(site, "GET", path, site.tokens["stranger"], headers={"X-Project-Id": "p1", "X-Roles": "admin"})
    assert stranger.status_code == 403
    config = (site.folder / "config.toml").read_text()
    assert not any(token in config for token in site.tokens.values())
    trail = "".join(file.read_text() for file in (site.folder / "audit").glob("*.log"))
    assert '"bearer"' in trail and not any(token in trail for token in site.tokens.values())


def test_policy_file_is_read_again_when_it_changes(site):
    policy = site.folder / "policy.yaml"
    token = site.tokens["writer"]

    def until(status):
        deadline = time.monotonic() + 60
        while (found := ask(site, "GET", "/v1/secrets", token).status_code) != status:
            assert time.monotonic() < deadline, found
            time.sleep(0.3)

    def current():
        text = requests.get(site.ops + "/metrics", timeout=30).text
        return re.search(r"^portcullis_policy_current (\d)", text, re.M).group(1)

    until(200)
    policy.write_text('"secrets:get": "role:auditor"\n')
    until(403)
    assert current() == "1"
    policy.write_text('"secrets:get": "role:member and"\n')
    deadline = time.monotonic() + 60
    while current() != "0":
        assert time.monotonic() < deadline
        time.sleep(0.3)
    until(403)
    policy.write_text("# nothing\n")
    until(200)
    assert current() == "1"


def test_policy_explain(site, tmp_path):
    result = command("policy", "explain", "--roles", "member", "--user", "u", "--project", "p", "--action", "secret:get")
    assert (result.returncode, result.stdout.splitlines()[0]) == (0, "secret:get: allowed"), result.stderr
    target = "project=p,creator=other,project-access=false,users=x+y"
    result = command("policy", "explain", "--roles", "member", "--user", "u", "--project", "p", "--action", "secret:get", "--target", target)
    assert (result.returncode, result.stdout.splitlines()[0]) == (1, "secret:get: refused")
    assert "no  " in result.stdout and "role:admin" in result.stdout
    listed = command("policy", "explain", "--roles", "", "--user", "x", "--action", "secret:decrypt", "--target", target)
    assert listed.returncode == 0, listed.stdout
    legacy = command("policy", "explain", "--policy", "legacy", "--roles", "creator", "--action", "order:delete")
    assert legacy.returncode == 1
    file = tmp_path / "policy.yaml"
    file.write_text('"secrets:post": "role:maker"\n')
    assert command("policy", "explain", "--policy-file", str(file), "--roles", "maker", "--action", "secrets:post").returncode == 0
    config = str(site.folder / "config.toml")
    known = command("policy", "explain", "--config", config, "--token", site.tokens["writer"], "--action", "secrets:get")
    assert (known.returncode, "writer of project p1" in known.stdout) == (0, True), known.stdout + known.stderr
    assert "PC-POLICY-TOKEN" in command("policy", "explain", "--config", config, "--token", "x", "--action", "secrets:get").stderr
    assert "PC-POLICY-ACTION" in command("policy", "explain", "--roles", "x", "--action", "secret:gett").stderr


def test_project_purge(site):
    """By the gateway that runs, and without one."""
    config = str(site.folder / "config.toml")
    body = {"payload": "x", "payload_content_type": "text/plain"}
    for _ in range(3):
        assert ask(site, "POST", "/v1/secrets", site.tokens["stranger"], json=body).status_code == 201
    assert ask(site, "POST", "/v1/containers", site.tokens["stranger"], json={"type": "generic"}).status_code == 201
    kept = ask(site, "POST", "/v1/secrets", site.tokens["writer"], json=body)
    assert kept.status_code == 201
    result = command("project", "purge", "--config", config, "p2")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "removed of project p2: 3 secrets, 1 containers, 0 orders\n"
    assert ask(site, "GET", "/v1/secrets", site.tokens["stranger"]).json()["total"] == 0
    assert ask(site, "GET", kept.json()["secret_ref"].removeprefix(site.rest), site.tokens["writer"]).status_code == 200


def test_project_purge_without_a_gateway(tmp_path):
    folder = tmp_path / "dev"
    with portcullis.running(portcullis.dev_command(folder), folder) as gateway:
        body = {"payload": "x", "payload_content_type": "text/plain"}
        made = requests.post(gateway.rest + "/v1/secrets", json=body, headers=MEMBER, timeout=60)
        assert made.status_code == 201
    result = command("project", "purge", "--config", str(folder / "config.toml"), "p1")
    assert (result.returncode, result.stdout) == (0, "removed of project p1: 1 secrets, 0 containers, 0 orders\n"), result.stderr
    with portcullis.running(portcullis.dev_command(folder), folder) as gateway:
        assert requests.get(gateway.rest + "/v1/secrets", headers=MEMBER, timeout=60).json()["total"] == 0


def test_every_call_is_in_the_audit_trail(site):
    """Also those that end before any use case."""
    marks = {}
    for method, path in (("GET", "/v1/nowhere"), ("PATCH", "/v1/secrets"), ("GET", "/v1/secrets/1"), ("GET", "/v1/quotas")):
        answer = ask(site, method, path, site.tokens["writer"])
        marks[answer.headers["x-openstack-request-id"]] = answer.status_code
    deadline = time.monotonic() + 60
    while True:
        trail = "".join(file.read_text() for file in (site.folder / "audit").glob("*.log"))
        if all(mark in trail for mark in marks):
            break
        assert time.monotonic() < deadline, marks
        time.sleep(0.2)
    assert "service/security/keymanager/quotas" in trail
