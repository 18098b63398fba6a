"""schemathesis makes requests from the OpenAPI document and looks for answers that the document does not promise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

PROGRAM = Path(sys.executable).parent / "schemathesis"
# Not asked: that every body the document cannot rule out is taken (a payload needs a content type, a passphrase is no
# number), that every one it does rule out is refused (unknown members of secrets are ignored, as Barbican ignores them),
# and that a verb without a path parameter's object is 405 (an unknown secret is 404 first).
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance"


def test_the_document_is_served(gateway):
    served = requests.get(gateway.rest + "/openapi.json", timeout=30)
    assert served.headers["Content-Type"] == "application/json"
    checked_in = Path(__file__).resolve().parents[2] / "docs/openapi.json"
    assert served.json() == json.loads(checked_in.read_text())


@pytest.mark.skipif(not PROGRAM.exists(), reason="skipped, because schemathesis is not installed (tests/tools/install)")
def test_nothing_is_answered_that_is_not_promised(gateway, tmp_path):
    command = [
        str(PROGRAM), "run", gateway.rest + "/openapi.json", "--checks", CHECKS, "--max-examples", "12" if os.environ.get("LONG") else "3", "--seed", "4711",
        "--phases", "examples,coverage,fuzzing", "--request-timeout", "60", "--no-color",
        "-H", "X-Project-Id: schemathesis", "-H", "X-User-Id: alice",
    ]
    # A gateway must be fast and still be given time on a busy machine.
    result = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert requests.get(gateway.rest + "/v1/quotas", headers={"X-Project-Id": "p"}, timeout=30).status_code == 200
