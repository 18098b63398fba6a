"""Fixtures: a running gateway on each kind of token, and a running Keystone.

A module that wants other tokens than the simulator says so: `TOKENS = ("sim", "softhsm", "kryoptic")`. What is not
installed is skipped with the reason. With PORTCULLIS_TEST_PROFILE everything runs on that token alone: on the simulator as
that model, or on `softhsm2` or `kryoptic`.
"""

import importlib.util
import re

import pytest

import portcullis

UNSUPPORTED = re.compile(r"the HSM (holds the value, but )?does not offer ")


def pytest_generate_tests(metafunc):
    if "token_kind" in metafunc.fixturenames:
        kinds = portcullis.asked_kind() or getattr(metafunc.module, "TOKENS", ("sim",))
        metafunc.parametrize("token_kind", kinds, scope="module", indirect=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed shows what its gateways wrote last."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and portcullis.asked_kind() and call.excinfo and UNSUPPORTED.search(f"{call.excinfo.value}"):
        # The gateway's own words for what a token lacks; on the default token they are a failure like any other.
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1], f"Skipped: not supported by this token: {call.excinfo.value}"[:200])
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            gateway = getattr(value, "gateway", value)
            if isinstance(gateway, portcullis.Gateway):
                report.sections.append((f"log of `{name}`", gateway.errors()))


@pytest.fixture(scope="module")
def token_kind(request):
    """Which kind of token the gateway of this module works on."""
    reason = portcullis.missing(request.param)
    if reason:
        pytest.skip(f"skipped, because {reason}")
    return request.param


@pytest.fixture(scope="session", autouse=True)
def program():
    """The program under test."""
    path = portcullis.binary()
    if not path.exists():
        pytest.exit(f"{path} is not built: cargo build --release, or name another with PORTCULLIS_BIN", returncode=3)
    return path


@pytest.fixture(scope="module")
def gateway(token_kind, tmp_path_factory):
    """A gateway for all tests of a module."""
    folder = tmp_path_factory.mktemp(token_kind)
    token = portcullis.make_token(token_kind, folder / "token")
    with portcullis.running(portcullis.dev_command(folder / "dev", token), folder / "dev", token.env) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def keystone(tmp_path_factory):
    """A real Keystone for all tests of the session."""
    if importlib.util.find_spec("keystone") is None:
        pytest.skip("skipped, because Keystone is not installed (tests/tools/install)")
    from keystone_service import Keystone

    service = Keystone(tmp_path_factory.mktemp("keystone"))
    yield service
    service.stop()


class Cloud:
    """A gateway that serves a project of a Keystone."""

    def __init__(self, gateway, keystone):
        self.gateway = gateway
        self.keystone = keystone
        self.project = keystone.projects["crypto"]


@pytest.fixture(scope="session")
def cloud(keystone, tmp_path_factory):
    """`portcullis serve` from a configuration file, with SoftHSM2 and Keystone, in Keystone's catalogue."""
    reason = portcullis.missing("softhsm")
    if reason:
        pytest.skip(f"skipped, because {reason}")
    folder = tmp_path_factory.mktemp("serve")
    config = portcullis.prepare_serve(folder, keystone, keystone.projects["crypto"])
    with portcullis.running(portcullis.serve_command(config), folder) as gateway:
        keystone.publish(gateway.rest)
        yield Cloud(gateway, keystone)
