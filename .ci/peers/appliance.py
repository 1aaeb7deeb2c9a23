"""Checks of the cross-built hub under an emulator of its processor. Run by `appliance`, which builds it.

The hub lives in the simulated house, so that what is tried is all of it: the store, the radio's stack, the page's door and the
WebSocket's. Only the C library is another build than that on a Pi.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import checks
from client import Client
from processes import HTTP_S, STOP_S, Child, free_port, spawn, wait_for_http

REPO = Path(__file__).resolve().parents[2]
CROSS_BUILD = str(REPO / "image/cross-build")
RUN_S = 30  # a command that starts no hub
HOUSE_S = 60  # ten devices come into the house


class Hub(Child):
    """`hearth serve` under the emulator, with the simulated house and the built-in assistant."""

    def __init__(self, options, folder):
        self.command = [CROSS_BUILD, "--run", options.hub]
        self.binary = options.hub
        self.folder = Path(folder)
        self.log = self.folder / "hub.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = self.folder / "hub.yaml"
        self.config.write_text(
            f"gateway: {{ host: 127.0.0.1, port: {self.port} }}\n"
            "providers: { active: assistant, fallback: [] }\n"
            "zigbee: { backend: simulated }\n"
            f'store: {{ path: "{folder}/hearth.redb" }}\n'
        )

    def start(self):
        """The seconds until it answers."""
        began = time.monotonic()
        self.process = spawn([*self.command, "serve", "--config", str(self.config)], self.log, {})
        wait_for_http(self.url + "/healthz", self.process, self.log)
        return time.monotonic() - began

    def stop(self):
        """SIGTERM, as systemd does; the exit code."""
        self.process.terminate()
        return self.process.wait(STOP_S)

    def run(self, *words):
        """A command of it: exit code, output."""
        ran = subprocess.run([*self.command, *words], cwd=self.folder, capture_output=True, text=True, timeout=RUN_S)
        return ran.returncode, ran.stdout + ran.stderr

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=HTTP_S) as answer:
            return json.load(answer)

    def send(self, method, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=HTTP_S) as answer:
            return json.load(answer)

    def lamp(self, is_so=lambda lamp: True, name="kitchen lamp"):
        """The kitchen's lamp, once it is in its room, can be reached and is so."""
        until = time.monotonic() + HOUSE_S
        while time.monotonic() < until:
            rows = [row for row in self.get("/api/v1/devices")["devices"] if row["name"] == name]
            if rows and rows[0]["room"] == "Kitchen" and rows[0]["available"] and is_so(rows[0]):
                return rows[0]
            time.sleep(0.1)
        raise AssertionError(f"not within {HOUSE_S} s; the devices are {self.get('/api/v1/devices')}")

    def say(self, text):
        """What comes back for a chat on the WebSocket."""

        async def chat():
            async with Client.connected(self.url.replace("http", "ws") + "/ws/chat") as client:
                return await client.ask("chat", {"text": text}, "appliance-1")

        answer = asyncio.run(chat())
        assert answer.metadata()["provider"] == "assistant" and answer.text().strip(), answer.messages
        return answer.text()


def gates(hub):
    """the gates let the binary pass, and would not let pass what is too large, too new or not for every system"""
    passed, said = gate(hub.binary)
    assert passed == 0, said
    for variable, value, reason in [("HEARTH_SIZE_MAX", "1000", "too large"), ("HEARTH_GLIBC_MAX", "2.16", "too new")]:
        code, refusal = gate(hub.binary, **{variable: value})
        assert code == 1 and reason in refusal, f"{variable}={value}: {code} {refusal}"
    code, refusal = gate(shutil.which("bash"))  # is linked with more than a hub is
    assert code == 1 and "not on every system" in refusal, refusal
    return said.split(": ", 1)[1].strip()


def gate(binary, **variables):
    command = ["env", *(f"{name}={value}" for name, value in variables.items()), CROSS_BUILD, "--gates", binary]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S)
    return ran.returncode, ran.stdout + ran.stderr


def commands(hub):
    """its commands run: the version, a good configuration, a bad one with its place"""
    code, version = hub.run("--version")
    assert code == 0 and version.startswith("hearth "), version
    code, said = hub.run("check", "--config", str(REPO / "config.yaml"))
    assert code == 0 and "is good" in said, said
    bad = hub.folder / "bad.yaml"
    bad.write_text("gateway: { prot: 8000 }\n")
    code, said = hub.run("check", "--config", str(bad))
    assert code != 0 and "prot" in said, said
    return version.strip()


def serves(hub):
    """it serves, and says over REST what it is"""
    took_s = hub.start()
    status = hub.get("/api/v1/status")
    assert status["version"] == hub.run("--version")[1].split()[1], status
    return f"after {took_s * 1000:.0f} ms"


def obeys(hub):
    """what is said on the WebSocket is done by the lamp"""
    for word, state in [("on", "ON"), ("off", "OFF"), ("on", "ON")]:
        hub.lamp()
        hub.say(f"turn {word} the kitchen lamp")
        hub.lamp(lambda lamp, state=state: lamp["state"].get("state") == state)


def remembers(hub):
    """it ends in order, and after that and after a kill the lamp has the name that it was given"""
    hub.send("PATCH", f"/api/v1/devices/{hub.lamp()['id']}", {"name": "stove lamp"})
    assert hub.stop() == 0, hub.log.read_text()[-2000:]
    for _ in range(2):
        hub.start()
        hub.lamp(name="stove lamp")
        hub.kill()


@contextmanager
def started(options, folder):
    hub = Hub(options, folder)
    try:
        yield hub
    finally:
        hub.kill()


CHECKS = [gates, commands, serves, obeys, remembers]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hub", required=True)
    parser.add_argument("checks", nargs="*", help=", ".join(check.__name__ for check in CHECKS))
    options = parser.parse_args()
    return checks.run(CHECKS, options.checks, lambda folder: started(options, folder))


if __name__ == "__main__":
    sys.exit(main())
