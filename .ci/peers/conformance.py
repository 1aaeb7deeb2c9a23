"""Runs MCP's conformance suite and reads its results. Used by `mcp_clients.py`.

Three parts: the hub itself (`server_scenarios`), the hub's client (`client_scenarios`), and the hub with a conforming server
behind it (`through_the_aggregator`). Each gives back how many checks have passed and how many have not.
"""

import json
import os
import subprocess
import time
from pathlib import Path

from processes import Child, Hub, free_port, spawn, tail, wait_for_http

REVISIONS = ["2025-11-25", "2026-07-28"]
SUITE_S = 240
WORDS_MAX = 500  # of one complaint: some hold whole lists
# Extensions that the hub does not claim to have.
NOT_OURS = ("tasks-",)


def suites(options, hub, folder):
    """All three parts."""
    parts = [server_scenarios, client_scenarios, through_the_aggregator]
    counts = [part(options, hub, Path(folder)) for part in parts]
    return [sum(column) for column in zip(*counts)]


def server_scenarios(options, hub, folder):
    """The required scenarios of both sets, and those that are not scored yet."""
    passed = failed = 0
    for revision in REVISIONS:
        words = ["server", "--url", f"http://localhost:{hub.port}/mcp", "--requirements", revision]
        more = run(options, words, folder / f"server-{revision}", f"server {revision}")
        passed, failed = passed + more[0], failed + more[1]
    return passed, failed


def client_scenarios(options, hub, folder):
    """The hub's client against the suite's servers; extensions are run by the suite and not counted."""
    passed = failed = 0
    for revision in REVISIONS:
        began = time.monotonic()
        argv = [options.node, options.conformance, "client", "--command", options.client, "--requirements", revision]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SUITE_S, check=False, cwd=folder)
        lines = done.stdout.splitlines()
        good = sum(line.startswith("\u2713") for line in lines)
        passed += good
        if done.returncode or not good:
            failed += 1
            print(f"FAIL conformance, client {revision}\n" + "\n".join(lines[-60:]) + done.stderr[-2000:], flush=True)
        else:
            print(f"ok   conformance, client {revision}: {good} scenarios, {time.monotonic() - began:.0f} s", flush=True)
    return passed, failed


def through_the_aggregator(options, hub, folder):
    """The scenarios for servers once more, against a hub that has none of it itself but a conforming server behind it."""
    passed = failed = 0
    for name, way in [("program", ["--stdio"]), ("address", None)]:
        place = folder / f"through-{name}"
        place.mkdir()
        behind = None if way else Listening(options, place)
        try:
            server = {"command": [options.hub, "conformance-server", *way]} if way else {"url": behind.url}
            more = through(options, place, name, server)
            passed, failed = passed + more[0], failed + more[1]
        finally:
            if behind:
                behind.kill()
    return passed, failed


class Listening(Child):
    """`hearth conformance-server` at an address of its own."""

    def __init__(self, options, place):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.process = spawn([options.hub, "conformance-server", "--listen", f"127.0.0.1:{port}"], place / "server.log", {})
        wait_for_http(f"http://127.0.0.1:{port}/healthz", self.process, place / "server.log")


def through(options, place, name, server):
    hub = Hub(options.hub, "http://127.0.0.1:1", place)
    row = json.dumps(server | {"trust": True, "bare": True})
    with hub.config.open("a") as config:
        config.write(f"mcp: {{ servers: {{ suite: {row} }} }}\n")
    os.environ["HEARTH_CONFORMANCE"] = "behind"
    try:
        hub.start()
        until = time.monotonic() + SUITE_S
        while "test_simple_text" not in tools(options, hub):
            assert time.monotonic() < until, f"the server behind the hub is not there\n{tail(hub.log)}"
            time.sleep(0.1)
        passed = failed = 0
        for revision in REVISIONS:
            words = ["server", "--url", f"http://localhost:{hub.port}/mcp", "--requirements", revision]
            more = run(options, words, place / revision, f"{revision} through the aggregator ({name})")
            passed, failed = passed + more[0], failed + more[1]
        return passed, failed
    finally:
        hub.kill()
        del os.environ["HEARTH_CONFORMANCE"]


def tools(options, hub):
    argv = [options.hub, "tools", "list", "--json", "--url", f"http://127.0.0.1:{hub.port}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=SUITE_S, check=False).stdout


def run(options, words, folder, title):
    """One run of the suite; its checks are in files, one folder a scenario."""
    folder.mkdir(parents=True)
    began = time.monotonic()
    argv = [options.node, options.conformance, *words, "--output-dir", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SUITE_S, env=os.environ, check=False, cwd=folder)
    (folder / "log").write_text(done.stdout + done.stderr)
    passed = failed = 0
    for file in sorted(folder.rglob("checks.json")):
        scenario = file.parent.name
        if any(part in scenario for part in NOT_OURS):
            continue
        for check in json.loads(file.read_text()):
            if check["status"] == "SUCCESS":
                passed += 1
            elif check["status"] in ("FAILURE", "WARNING"):
                failed += 1
                print(f"FAIL {title} {scenario}: {check['id']}: {check.get('errorMessage', check['status'])[:WORDS_MAX]}", flush=True)
    if not passed:
        failed += 1
        print(f"FAIL {title}: no result\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    print(f"{'ok  ' if not failed else 'FAIL'} conformance, {title}: {passed} passed, {failed} failed, {time.monotonic() - began:.0f} s", flush=True)
    return passed, failed
