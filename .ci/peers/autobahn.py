"""Runs the Autobahn cases against an echo server and says which of them it does not pass. Run by `autobahn`, which installs
kosoku, the runner of these cases.
"""

import argparse
import asyncio
import socket
import subprocess
import os
import sys
import tempfile
import time
from collections import Counter

import kosoku

from processes import free_port, spawn

WITHOUT_DEFLATE = ["12.*", "13.*"]
LARGE = "9.*"
# How many cases of kosoku 0.1.0 these selections hold: a run that tried fewer proves nothing.
CASES = {"all": 301, "quick": 247}
AT_ONCE = 4  # most of a run is the cases' own pauses
START_S = 10
CELL = 70


async def verdicts(url, quick):
    excluded = WITHOUT_DEFLATE + ([LARGE] if quick else [])
    try:
        return await kosoku.run_fuzzingclient(url, None, excluded, concurrency=AT_ONCE)
    except kosoku.FailureError as failure:
        return failure.results  # of all cases, the good ones too


def report(results, expected):
    failed = [r for r in results if not r.passed]
    kinds = Counter(r.behavior.value for r in results if r.passed)
    print(", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds)) or "no case passed")
    for r in failed:
        why = r.result_close if r.behavior.value in ("OK", "NON-STRICT", "INFORMATIONAL") else r.result
        print(f"{r.case_id:8} {r.behavior.value:12} close: {r.behavior_close.value:16} {why[:CELL]}")
    missing = max(0, expected - len(results))
    if missing:
        print(f"{missing} of {expected} cases were not run")
    print(f"{len(results) - len(failed)} passed, {len(failed) + missing} failed")
    return not failed and not missing


def wait_for_port(port, server):
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"the echo server does not listen on port {port} (exit code {server.poll()})\n0 passed, 1 failed")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--server", help="an echo server to run with --listen HOST:PORT")
    where.add_argument("--url", help="an echo server that is there already")
    parser.add_argument("--quick", action="store_true", help=f"leave out {LARGE}")
    args = parser.parse_args()

    url, server = args.url, None
    with tempfile.NamedTemporaryFile(prefix="autobahn-echo-", suffix=".log") as log:
        if args.server:
            port = free_port()
            url = f"ws://127.0.0.1:{port}/"
            server = spawn([args.server, "--listen", f"127.0.0.1:{port}"], log.name, {})
            wait_for_port(port, server)
        since = time.monotonic()
        results = asyncio.run(verdicts(url, args.quick))
        print(f"{url} ({results[0].agent if results else 'no answer'}): {time.monotonic() - since:.1f} s")
        if server and server.poll() is not None:
            print(f"the echo server ended with {server.returncode}: {log.read()[-2000:].decode(errors='replace')}")
        elif server:
            server.terminate()
            try:
                server.wait(START_S)
            except subprocess.TimeoutExpired:
                server.kill()
    return 0 if report(results, CASES["quick" if args.quick else "all"]) else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Without the interpreter's end, in which kosoku's own threads have been seen to abort after all was said.
    os._exit(code)
