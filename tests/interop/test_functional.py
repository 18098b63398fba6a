"""The clients' own functional tests, from their source distributions, against the gateway with a real Keystone.

They are fetched by tests/tools/install and run as they are, each suite in processes of its own with the configuration it asks
for. Most of their time is Keystone's, so a short run leaves out smoke tests and two of three kinds of castellan's contexts:
LONG=1 runs everything. The counts are printed.
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / ".tools/sdists"
LONG = bool(os.environ.get("LONG"))
# A suite takes a minute or two; a machine that does ten other things takes its time.
SECONDS = 1500


def unpacked(name, folder):
    """The newest source distribution of this name, unpacked."""
    found = sorted(SOURCES.glob(f"{name}-*.tar.gz"))
    if not found:
        pytest.skip(f"skipped, because {SOURCES}/{name} is not there (tests/tools/install)")
    shutil.unpack_archive(found[-1], folder, filter="data")
    return next(folder.glob(f"{name}-*"))


def project(keystone, name):
    """A project of its own, in which carol is the administrator: the suites count what a project has."""
    project = keystone.call("POST", "projects", project={"name": name, "domain_id": "default"})["project"]["id"]
    role = keystone.call("GET", "roles?name=admin")["roles"][0]["id"]
    keystone.call("PUT", f"projects/{project}/users/{keystone.users['carol']}/roles/{role}")
    return project


def suite(source, where, more):
    """Runs one part of a suite; what it says at the end, its counts, and all of its output."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider", "--rootdir", str(source), *where]
    # The folder itself comes first, so that the tests are those of the distribution and not of an installed package.
    env = os.environ | {"PYTHONPATH": str(source), "PYTHONWARNINGS": "ignore"} | more
    env.pop("PYTEST_ADDOPTS", None)
    result = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True, timeout=SECONDS)
    lines = result.stdout.strip().splitlines()
    summary = lines[-1] if lines else ""
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", summary)}
    return summary, counts, result.stdout + result.stderr


def run(name, parts, **more):
    """Runs the parts of a suite, each in a folder of its own, side by side; how many tests passed and were skipped."""
    with ThreadPoolExecutor(len(parts)) as pool:
        ended = list(pool.map(lambda part: suite(*part, more), parts))
    passed = skipped = 0
    for (_, where), (summary, counts, output) in zip(parts, ended, strict=True):
        print(f"\n{name} {' '.join(where)}: {summary}")
        assert counts.get("failed", 0) + counts.get("error", 0) == 0, output[-12000:]
        assert counts.get("passed", 0) > 0, output[-4000:]
        passed += counts["passed"]
        skipped += counts.get("skipped", 0)
    print(f"{name}: {passed} passed, {skipped} skipped by themselves")
    return passed, skipped


def test_barbicanclient(cloud, tmp_path, capsys):
    keystone = cloud.keystone
    client, functional = "functionaltests/client", "functionaltests/client/v1/functional"
    parts = [
        [f"{functional}/test_secrets.py"],
        [f"{functional}/test_{part}.py" for part in ("containers", "orders", "acl")],
    ]
    if LONG:
        parts.append([f"{client}/test_client_connectivity.py", f"{client}/v1/smoke", "functionaltests/cli"])
    password = keystone.password_of("carol")
    prepared = []
    for number, where in enumerate(parts):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = unpacked("python_barbicanclient", folder)
        name = f"barbicanclient-{number}"
        identifier = project(keystone, name)
        (source / "etc/functional_tests.conf").write_text(
            f"""[DEFAULT]
[keymanager]
url = {cloud.gateway.rest}
username = carol
password = {password}
project_name = {name}
project_id = {identifier}
project_domain_name = Default
[identity]
uri = {keystone.auth_url}
auth_version = v3
username = carol
tenant_name = {name}
password = {password}
domain_name = Default
admin_username = carol
admin_tenant_name = {name}
admin_password = {password}
admin_domain_name = Default
"""
        )
        prepared.append((source, where))
    with capsys.disabled():
        passed, skipped = run("python-barbicanclient", prepared)
    # One test is skipped by its authors.
    assert passed >= (300 if LONG else 230) and skipped <= 1


def test_castellan(cloud, tmp_path, capsys):
    keystone = cloud.keystone
    source = unpacked("castellan", tmp_path)
    project(keystone, "castellan")
    (source / "etc/castellan").mkdir(parents=True, exist_ok=True)
    (source / "etc/castellan/castellan-functional.conf").write_text(
        f"""[DEFAULT]
[identity]
auth_url = {keystone.auth_url}
username = carol
password = {keystone.password_of("carol")}
project_name = castellan
user_domain_name = Default
project_domain_name = Default
"""
    )
    # One of its three kinds of context has no identity endpoint of its own and takes the one of the configuration.
    (source / "site_options.py").write_text(
        f"""from castellan import options
from oslo_config import cfg

options.set_defaults(cfg.CONF, auth_endpoint={keystone.auth_url!r})
"""
    )
    tests = "castellan/tests/functional/key_manager/test_barbican_key_manager.py"
    with capsys.disabled():
        # The same tests with three kinds of context.
        which = [] if LONG else ["-k", "KSPassword"]
        passed, skipped = run("castellan", [(source, ["-p", "site_options", *which, tests])])
    # It skips everything when the service cannot be reached.
    assert passed >= (210 if LONG else 70) and skipped == 0
