"""The processes of the llm check: llama.cpp's server and the hub. Knows how they start, stop and are asked; checks nothing.

Each child is killed by the kernel when this process ends, however it ends.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

START_S = 60  # a cold disk has a 98 MB model to read
STOP_S = 15  # the hub drains; past this it is killed, and that is a failure
HTTP_S = 30
LONGEST_TOKENS = 128  # an answer ends here at the latest
SLOTS = 2
SLOT_TOKENS = 2048
PR_SET_PDEATHSIG = 1

LIBC = ctypes.CDLL(None)


class CannotStart(Exception):
    """A process ended or stayed silent instead of serving; with the end of its log."""


class Child:
    """A process that may be started again after it has ended."""

    process = None

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait(STOP_S)


class LlamaServer(Child):
    """llama.cpp's server with one thread and two slots, which tells what prompt each slot holds."""

    def __init__(self, binary, model, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = Path(folder) / "llama-server.log"
        # Small batches, so that a cancel is seen while a prompt is read; no prompt cache, so that each prompt costs the same.
        self.argv = [str(binary), "--model", str(model), "--host", "127.0.0.1", "--port", str(self.port)]
        self.argv += ["--alias", "smollm2", "--threads", "1", "--parallel", str(SLOTS), "--ctx-size", str(SLOTS * SLOT_TOKENS)]
        self.argv += ["--batch-size", "64", "--ubatch-size", "64", "--no-cache-prompt", "--cache-ram", "0", "--no-warmup"]
        self.argv += ["--predict", str(LONGEST_TOKENS), "--temp", "0", "--seed", "1", "--slots", "--offline", "--no-webui"]

    def start(self):
        self.process = spawn(self.argv, self.log, {"LLAMA_SERVER_SLOTS_DEBUG": "1"})
        wait_for_http(self.url + "/health", self.process, self.log)

    def slots(self):
        with urllib.request.urlopen(self.url + "/slots", timeout=HTTP_S) as answer:
            return json.load(answer)

    def busy(self):
        return sum(slot["is_processing"] for slot in self.slots())

    def prompt_with(self, text):
        """The prompt that the model was given, of the slot whose prompt ends with `text` as what the user said last."""
        found = [s["prompt"] for s in self.slots() if text in s.get("prompt", "").rpartition("<|im_start|>user")[2]]
        assert found, f"no slot was given a prompt that ends with {text!r}"
        return found[-1]


class Hub(Child):
    """The hub as an owner starts it: `hearth serve --config F`, with a local provider alone and its state in `folder`."""

    def __init__(self, binary, provider_url, folder):
        self.binary = str(binary)
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/ws/chat"
        self.log = Path(folder) / "hub.log"
        self.config = Path(folder) / "config.yaml"
        self.config.write_text(
            f"gateway: {{ host: 127.0.0.1, port: {self.port} }}\n"
            "providers:\n"
            "  active: local\n"
            "  fallback: []\n"
            f'  local: {{ model: smollm2, base_url: "{provider_url}/v1" }}\n'
            # llama.cpp speaks these two as well.
            f'  anthropic: {{ model: smollm2, base_url: "{provider_url}", api_key_env: null }}\n'
            f'  openai: {{ model: smollm2, base_url: "{provider_url}/v1", api: responses, api_key_env: null }}\n'
            # The server's own bound holds only where no bound is asked for, and the Messages dialect always asks for one.
            f"model_profile: {{ max_tokens: {LONGEST_TOKENS} }}\n"
            # Whatever is plugged in where this runs, and whatever listens there, is none of ours.
            "zigbee: { backend: off }\n"
            f'store: {{ path: "{folder}/hearth.redb" }}\n'
        )

    def start(self):
        self.process = spawn([self.binary, "serve", "--config", str(self.config)], self.log, {})
        wait_for_http(f"http://127.0.0.1:{self.port}/healthz", self.process, self.log)

    def stop(self):
        """SIGTERM, as systemd does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the hub was still there {STOP_S} s after SIGTERM") from None


def spawn(argv, log, env, stdin=subprocess.DEVNULL):
    with open(log, "ab") as out:
        return subprocess.Popen(argv, stdin=stdin, stdout=out, stderr=out, env=os.environ | env, preexec_fn=die_with_parent)


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_http(url, process, log):
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise CannotStart(f"{process.args[0]} ended with {process.returncode}\n{tail(log)}")
        try:
            with urllib.request.urlopen(url, timeout=HTTP_S):
                return
        except OSError:  # refused, or 503 while the model is loading
            time.sleep(0.05)
    raise CannotStart(f"{process.args[0]} did not answer {url} within {START_S} s\n{tail(log)}")


def tail(log, lines=25):
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""
