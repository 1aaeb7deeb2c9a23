"""A virtual Raspberry Pi: the card that `image/build` made, booted by `image/emulate`, seen from outside and through a root shell.

The shell is systemd's own debug shell on a virtual console, asked for by a word on the kernel's command line: the card is not
changed for it. Power is cut by killing the emulator.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

from processes import HTTP_S, CannotStart, Child, die_with_parent, free_port, spawn, tail
from usb_stick import UsbStick

REPO = Path(__file__).resolve().parents[2]
EMULATE = str(REPO / "image/emulate")
BOOT_FILE = str(REPO / "image/boot-file")
BOOT_S = 600  # a first boot on a busy machine without an arm64 processor takes some 2 minutes
SHELL_S = 120  # a command in the machine
CONNECT_S = 30
CARD_BYTES = 8_000_000_000  # of an 8 GB card, most of which the data grows into
TYPED_S = 5  # until what was typed is typed again
DEBUG_SHELL = "systemd.debug_shell=hvc0 systemd.mask=serial-getty@hvc0.service"  # no login where the shell is


class Radio(Child):
    """`hearth simulate`: the stick's firmware and the devices around it, which live on while the machine is off."""

    def __init__(self, hub, folder):
        self.hub = hub
        self.port = free_port()
        self.log = Path(folder) / "radio.log"

    def start(self, *options):
        self.process = spawn([self.hub, "simulate", "--listen", f"tcp:127.0.0.1:{self.port}", *options], self.log, {}, subprocess.PIPE)
        until = time.monotonic() + CONNECT_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), CONNECT_S):
                return
            time.sleep(0.1)
        raise CannotStart(f"the simulated stick does not listen\n{tail(self.log)}")

    def order(self, text):
        """What `hearth simulate` takes on its standard input."""
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()


class Machine(Child):
    """A card of its own in a machine of its own."""

    def __init__(self, image, folder, radio):
        self.folder = Path(folder)
        self.image = image
        self.card = self.folder / "card.img"
        self.renew()
        self.radio = radio
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = self.folder / "console.log"
        self.shell_lock = threading.Lock()
        self.usb = None

    def renew(self):
        """The card as it was flashed."""
        copied(self.image, self.card)
        os.truncate(self.card, CARD_BYTES)

    def boot(self, append="", options=(), found=None):
        """Power on, with further options of the emulator's, and with what it finds in its network; returns at once."""
        for name in ("shell", "usb"):
            (self.folder / name).unlink(missing_ok=True)
        words = [EMULATE, "--keep", str(self.card), *options]
        words += ["-device", "qemu-xhci,id=usb", "-chardev", f"socket,id=stick,path={self.folder}/usb,server=on,wait=off"]
        words += ["-device", "usb-redir,bus=usb.0,chardev=stick"]
        words += ["-chardev", f"socket,id=shell,path={self.folder}/shell,server=on,wait=off"]
        words += ["-device", "virtio-serial", "-device", "virtconsole,chardev=shell"]
        # What it leaves where its power is cut is gone with the next start.
        emulator = self.folder / "emulator"
        shutil.rmtree(emulator, ignore_errors=True)
        emulator.mkdir()
        environment = {"HEARTH_PORT": str(self.port), "HEARTH_APPEND": f"{DEBUG_SHELL} {append}", "TMPDIR": str(emulator)}
        if found:
            environment["HEARTH_GUESTFWD"] = found
        self.booted_at = time.monotonic()
        # A session of its own: the emulator is a child of the script, and a power cut is for both.
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=os.environ | environment, start_new_session=True,
                preexec_fn=die_with_parent,
            )
        return self

    def serving(self, within_s=BOOT_S):
        """Waits until the hub answers; the seconds since power on."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise CannotStart(f"the machine is off\n{tail(self.log)}")
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url + "/healthz", timeout=HTTP_S):
                return time.monotonic() - self.booted_at
            time.sleep(0.5)
        raise CannotStart(f"the hub does not answer {within_s} s after power on\n{tail(self.log)}")

    def cut(self):
        """The plug is pulled."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(CONNECT_S)
        self.process = None

    kill = cut

    def shut_down(self):
        self.run("systemctl --no-block poweroff", answers=False)
        self.process.wait(BOOT_S)
        self.process = None

    def run(self, command, within_s=SHELL_S, answers=True):
        """What a command of root says in the machine; what fails is an AssertionError."""
        with self.shell_lock, socket.socket(socket.AF_UNIX) as shell:
            until = time.monotonic() + within_s
            shell.settimeout(TYPED_S)
            shell.connect(str(self.folder / "shell"))
            # What is typed before the shell is there is lost. In two parts, so that the echo of what is typed is not taken for an answer.
            ask = b"\n stty -echo 2>/dev/null; PS1=; export TERM=dumb SYSTEMD_PAGER=cat; echo 're''ady'\n"
            heard(shell, rb"ready\r?\n", until, again=ask)
            # Through a pipe, since what sees a terminal asks it things.
            shell.sendall(f"echo 'be''gin'; ({command}\n) 2>&1 </dev/null | cat; echo \"e\"\"nd:${{PIPESTATUS[0]}}\"\n".encode())
            if not answers:
                time.sleep(1)
                return ""
            found = heard(shell, rb"begin\r?\n(.*)end:(\d+)\r?\n", until)
        text = found[1].decode(errors="replace").replace("\r\n", "\n")
        assert found[2] == b"0", f"`{command}` failed with {found[2].decode()}: {text}"
        return text

    def get(self, path, token=None):
        return self.ask("GET", path, None, token)

    def ask(self, method, path, body=None, token=None):
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(self.url + path, None if body is None else json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=HTTP_S) as answer:
            return json.load(answer)

    @contextlib.contextmanager
    def stick(self):
        """A stick in the machine's USB port, for as long as this is entered."""
        plugged, pull, failed = threading.Event(), threading.Event(), []

        async def hold():
            async with UsbStick(str(self.folder / "usb"), ("127.0.0.1", self.radio.port)).plugged():
                plugged.set()
                while not pull.is_set():
                    await asyncio.sleep(0.05)

        def thread():
            try:
                asyncio.run(hold())
            except Exception as error:
                failed.append(error)
                plugged.set()

        worker = threading.Thread(target=thread, daemon=True)
        worker.start()
        assert plugged.wait(CONNECT_S) and not failed, f"the stick cannot be plugged in: {failed}"
        try:
            yield
        finally:
            pull.set()
            worker.join(CONNECT_S)

    def read_boot(self, path):
        """A file of the FAT partition, as another machine would read it with the card in its slot."""
        return boot_file(self.card, path)

    def write_boot(self, path, text):
        boot_file(self.card, path, "-", input=text)

    def put_boot(self, path, file):
        """A file of this machine's onto the FAT partition."""
        boot_file(self.card, path, file)

    def fetch(self, path, token, file):
        """What the hub gives for this path, into a file."""
        request = urllib.request.Request(self.url + path, headers={"authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=SHELL_S) as answer, open(file, "wb") as out:
            shutil.copyfileobj(answer, out)


def heard(shell, pattern, until, again=b""):
    """What the machine's shell says, once it is this; what it is to be asked again until it answers."""
    said = b""
    shell.sendall(again)
    while not (found := re.search(pattern, said, re.DOTALL)):
        assert time.monotonic() < until, f"the machine's shell has not said {pattern!r}: {said[-500:]!r}"
        try:
            part = shell.recv(65536)
        except TimeoutError:
            shell.sendall(again)
            continue
        assert part, f"the machine's shell is gone: {said[-500:]!r}"
        said += part
    return found


def copied(image, card):
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(image), str(card)], check=True, timeout=BOOT_S)


def boot_file(card, *words, **options):
    ran = subprocess.run([BOOT_FILE, str(card), *map(str, words)], capture_output=True, text=True, timeout=CONNECT_S, **options)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
