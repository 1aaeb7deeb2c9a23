"""Checks of the hub's REST face with schemathesis and openapi-spec-validator. Run by `rest`, which installs them.

The hub asks for tokens and is claimed first, as an owner does it, so that it is also seen whether anybody comes in without.
The last check shows all others something wrong: a check that cannot fail would find nothing anywhere.
"""

import argparse
import contextlib
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from openapi_spec_validator import validate

import checks
from processes import CannotStart, Hub

HTTP_S = 20
RUN_S = 180  # all of schemathesis
CLAIM_S = 20
EXAMPLES = 25  # for each operation and phase
SEED = 20261122
PHASES = "examples,coverage,fuzzing"
# All checks of schemathesis but these: what a schema allows may still be refused (a day too long ago, a name that is not
# free), and the others follow records from one operation to the next.
NOT_CHECKED = ["positive_data_acceptance", "use_after_free", "ensure_resource_availability", "object_level_authorization"]
REFUSALS = [400, 401, 403, 404, 405, 409, 413, 415, 422, 428, 429]
# What schemathesis is not let do, and why.
LEFT_OUT = {
    "claim.post": "guesses are made to wait",
    "login": "guesses are made to wait",
}
# Servers are written switched off: see there.
HOOKS = {"SCHEMATHESIS_HOOKS": "rest_hooks", "PYTHONPATH": str(Path(__file__).parent)}
# What has a body takes more than its schema says: the hub mends what can mean one thing only, "10" for 10, one for a list.
MENDED = ["POST", "PUT", "PATCH"]


class World:
    """A hub that was claimed."""

    def __init__(self, hub):
        self.base = f"http://127.0.0.1:{hub.port}"
        self.hub = hub
        self.token = None
        self.token = self.claim()

    def ask(self, method, path, body=None, **headers):
        """The status, the headers and the JSON of an answer."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            headers.setdefault("authorization", f"Bearer {self.token}")
        data = None if body is None else json.dumps(body).encode()
        if data:
            headers["content-type"] = "application/json"
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=HTTP_S) as answer:
                return answer.status, answer.headers, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.loads(error.read() or "null")

    def claim(self):
        """The first owner, with the code that stands on the hub's log."""
        self.ask("GET", "/api/v1/claim")
        until = time.monotonic() + CLAIM_S
        while time.monotonic() < until:
            codes = re.findall(r'"code":\s*"([A-Z0-9-]{8,9})"', self.hub.log.read_text())
            if codes:
                status, _, made = self.ask("POST", "/api/v1/claim", {"code": codes[-1], "name": "owner"})
                assert status == 201, made
                return made["token"]
            time.sleep(0.05)
        raise CannotStart(f"no code on the log:\n{self.hub.log.read_text()}")

    def description(self):
        return self.ask("GET", "/api/openapi.json")[2]


def valid(world):
    """the description is OpenAPI 3.1"""
    document = world.description()
    validate(document)
    operations = sum(len(path) for path in document["paths"].values())
    return f"{operations} operations"


def references(world):
    """the description is asked for once, and is the same each time"""
    _, headers, first = world.ask("GET", "/api/openapi.json")
    assert world.ask("GET", "/api/openapi.json")[2] == first
    assert world.ask("GET", "/api/openapi.json", if_none_match=headers["etag"])[0] == 304


def fuzzed(world):
    """everything that is described does what is described"""
    ids = [operation["operationId"] for path in world.description()["paths"].values() for operation in path.values()]
    left_out = [operation for operation in LEFT_OUT if operation in ids]
    said = schemathesis(f"{world.base}/api/openapi.json", world.token, left_out)
    assert world.ask("GET", "/api/v1/tools")[0] == 200, "the token still opens"
    status = world.ask("POST", "/api/v1/tools/mcp_servers.status", {})[2]
    started = [server for server in status["structured"]["servers"] if server["state"] != "off"]
    assert not started, f"a server was switched on: {started}"
    assert world.hub.process.poll() is None, "the hub is still there"
    return said


def seen(world):
    """schemathesis sees a server that does none of it"""
    liar = Liar(world.description())
    try:
        schemathesis(f"{liar.url}/api/openapi.json", "hth_any", [])
    except AssertionError as error:
        said = str(error).rpartition("Failures:")[2]
        kinds = ["Server error", "Undocumented status code", "Undocumented Content-Type", "Response violates schema"]
        for kind in [*kinds, "without authentication", "undeclared method", "Missing required header accepted"]:
            assert kind in said, f"{kind!r} was not seen:\n{error}"
        return None
    finally:
        liar.shutdown()
    raise AssertionError("nothing was seen")


def schemathesis(url, token, left_out):
    """Runs it; its own report is the error."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        off = "".join(f"{check}.enabled = false\n" for check in NOT_CHECKED)
        config.write_text(
            f"[checks]\n{off}negative_data_rejection.expected-statuses = {REFUSALS}\n"
            f"\n[[operations]]\ninclude-method = {json.dumps(MENDED)}\nchecks.negative_data_rejection.enabled = false\n"
        )
        argv = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "--no-color", "run", url]
        argv += ["--phases", PHASES, "--max-examples", str(EXAMPLES)]
        argv += ["--header", f"Authorization: Bearer {token}", "--seed", str(SEED), "--generation-database", "none"]
        argv += ["--warnings", "off", "--request-timeout", str(HTTP_S), "--suppress-health-check", "all"]
        for operation in left_out:
            argv += ["--exclude-operation-id", operation]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=RUN_S, cwd=folder, env=os.environ | HOOKS)
    assert ran.returncode == 0, f"schemathesis ended with {ran.returncode}\n{ran.stdout[-12000:]}{ran.stderr[-2000:]}"
    cases = re.search(r"(\d+) generated", ran.stdout)
    assert cases and int(cases.group(1)) > 50, f"schemathesis asked too little\n{ran.stdout[-3000:]}"
    return f"{cases.group(1)} requests" + (f", without {', '.join(left_out)}" if left_out else "")


class Liar(http.server.ThreadingHTTPServer):
    """Has the hub's description and keeps to none of it."""

    daemon_threads = True

    def __init__(self, document):
        super().__init__(("127.0.0.1", 0), LiarAnswer)
        self.document = json.dumps(document).encode()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class LiarAnswer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        # What is left of a body would be read as the next request.
        self.close_connection = True
        if self.path == "/api/openapi.json":
            return self.send(200, self.server.document)
        if self.path == "/healthz":
            return self.send(200, b"well", "text/plain")
        if self.path.startswith("/api/v1/usage"):
            return self.send(500, b"{}")
        if self.path.startswith("/api/v1/blobs"):
            return self.send(418, b"{}")
        self.send(200, b'{"tools": 7}')

    def send(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer


CHECKS = [valid, references, fuzzed, seen]


@contextlib.contextmanager
def house(options, folder):
    hub = Hub(options.hub, "http://127.0.0.1:9", folder)
    # A free port of loopback, and yet a hub that asks for tokens.
    hub.config.write_text(hub.config.read_text().replace("host: 127.0.0.1,", "host: 127.0.0.1, auth: required,", 1))
    try:
        hub.start()
        yield World(hub)
    finally:
        hub.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hub", required=True)
    parser.add_argument("checks", nargs="*")
    options = parser.parse_args()
    return checks.run(CHECKS, options.checks, lambda folder: house(options, folder))


if __name__ == "__main__":
    sys.exit(main())
