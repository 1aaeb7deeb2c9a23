"""Checks of `hearth update` on a card in a virtual machine: a good system, one whose kernel does not start, one whose hub does not stay
up, the power cut at every stage, and the same for the program alone. Run by `appliance`, which builds the card.

Each check begins with the card as it was flashed. The bundles are made of the card itself by `image/bundle`, with a key that is made
for the run, and lie on a disk beside it, as on a USB stick. The gate wants to see all well for some seconds in the place of ten minutes.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import checks
from machine import REPO, Machine, boot_file, copied

BUNDLE = str(REPO / "image/bundle")
ROOT_AT = 260 * 1024 * 1024  # of root A, as image/disk lays it
MAKE_S = 1200  # a bundle of a system: 900 MB are read, hashed and packed
TOOL_S = 60
INSTALL_S = 2400  # the same on an emulated processor, and written
SETTLE_S = 900  # two starts that fail, and one that does not
HOLD_S = 20
PATIENCE_S = 120
# Told to the gate's unit by the service manager, whose environment comes by the kernel's command line.
TIMES = f"systemd.setenv=HEARTH_UPDATE_HOLD_S={HOLD_S} systemd.setenv=HEARTH_UPDATE_PATIENCE_S={PATIENCE_S}"
CUTS_S = (5, 30, 60, 120, 180)  # seconds into an update at which the plug is pulled
NEW = "900.0.1"
SHELF = "10.0.2.100"  # where the machine finds a web server
SHELF_PY = Path(__file__).with_name("shelf.py")
CRASHES = "[Service]\nExecStart=\nExecStart=/bin/false\n"


class Updates:
    """A card, and bundles of other versions of it."""

    def __init__(self, options, folder):
        self.options, self.folder = options, Path(folder)
        self.machine = Machine(options.image, folder, None)
        self.key = self.new_key("key")

    def new_key(self, name):
        """The secret key's file; its public one lies beside it."""
        key = self.folder / name
        subprocess.run(["minisign", "-G", "-W", "-f", "-p", f"{key}.pub", "-s", key], check=True, timeout=TOOL_S, capture_output=True)
        return key

    def bundle(self, *what, key=None, version=NEW):
        bundle = self.folder / "bundle"
        words = [BUNDLE, *what, key or self.key, bundle]
        made = subprocess.run(words, env=os.environ | {"HEARTH_VERSION": version}, timeout=MAKE_S, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        return bundle

    def system(self, words="", drop_in=None):
        """A bundle of this card as a new version, with more words for its kernel, or another way to start the hub."""
        card = self.folder / "made.img"
        copied(self.options.image, card)
        if words:
            boot_file(card, "a/cmdline.txt", "-", input=boot_file(card, "a/cmdline.txt").strip() + f" {words}\n")
        files = {"usr/lib/hearth/version": NEW + "\n"}
        if drop_in:
            files["usr/lib/systemd/system/hearth.service.d/zz.conf"] = drop_in
        patch = self.folder / "patch"
        for path, text in files.items():
            patch.write_text(text)
            for command in (f"rm {path}", f"write {patch} {path}"):
                run = ["debugfs", "-w", "-R", command, f"{card}?offset={ROOT_AT}"]
                subprocess.run(run, check=True, timeout=TOOL_S, capture_output=True)
        bundle = self.bundle(card)
        card.unlink()
        return bundle

    def program(self, program, **options):
        """A bundle of the hub's program alone."""
        return self.bundle("--app", program, **options)

    def renew(self):
        """The card as it was flashed."""
        self.machine.cut()
        self.machine.renew()

    def boot(self, bundle, found=None):
        """Power on, with the bundle on a disk beside the card, and its key among those that are trusted."""
        disk = f"if=none,id=bundle,format=raw,readonly=on,file={bundle}"
        self.machine.boot(TIMES, ["-drive", disk, "-device", "virtio-blk-pci,drive=bundle"], found).serving()
        public = Path(f"{self.key}.pub").read_text().splitlines()[1]
        self.machine.run(f"mkdir -p /etc/hearth/update-keys && echo '{public}' >/etc/hearth/update-keys/test.pub && sync")

    def install(self):
        """Begins the update; the machine, or the hub, starts anew by itself when it is written."""
        self.machine.run("systemd-run --unit=update-test --collect hearth update /dev/vdb")

    def status(self):
        return json.loads(self.machine.run("hearth update status --json"))

    def until(self, is_so, within_s, what):
        until, last = time.monotonic() + within_s, None
        while time.monotonic() < until:
            with contextlib.suppress(OSError, AssertionError, ValueError):
                last = self.status()
                if is_so(last):
                    return last
            time.sleep(5)
        raise AssertionError(f"not within {within_s} s: {what}; last: {last}\n{self.journal()}")

    def journal(self):
        with contextlib.suppress(OSError, AssertionError):
            return self.machine.run("journalctl -b --no-pager -o cat -u update-test -u hearth-update-gate -u hearth-update-settle | tail -40")

    def is_kept(self):
        return self.until(lambda s: s["good"] == "b" and s["on_trial"] is None, INSTALL_S, "the new system is good")

    def has_gone_back(self, why):
        """Waits for the old system or program to be the one that runs; why the new one was not kept."""
        status = self.until(lambda s: s["on_trial"] is None and NEW in s["failed"], INSTALL_S + SETTLE_S, "the old one is back")
        assert status["slot"] == status["good"] == "a", status
        assert re.search(why, status["failed"][NEW]), status
        self.machine.serving()
        assert self.machine.run("nproc").strip() == "2", "all processors are back"
        return status["failed"][NEW]


def refused(updates):
    """what another key has signed, what is not newer and what is damaged changes nothing"""
    hub = updates.options.hub
    said = []
    for bundle, why in [
        (lambda: updates.program(hub, key=updates.new_key("other")), "key"),
        (lambda: updates.program(hub, version="0.0.1"), "newer"),
        (lambda: damaged(updates.program(hub)), "hash|damaged|not what was signed"),
    ]:
        updates.renew()
        updates.boot(bundle())
        before = updates.status()
        answer = updates.machine.run("hearth update /dev/vdb; echo code $?", within_s=INSTALL_S)
        assert "code 0" not in answer and re.search(why, answer), answer
        assert updates.status() == before, updates.status()
        said.append(answer.splitlines()[-2])
    return "; ".join(said)


def damaged(bundle):
    """The bundle with one bit of its last megabyte the other way round."""
    with open(bundle, "r+b") as file:
        file.seek(-1_000_000, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    return bundle


def good_program(updates):
    """a good program alone is tried and kept, without a new start of the machine"""
    updates.renew()
    updates.boot(updates.program(updates.options.hub))
    boot_id = updates.machine.run("cat /proc/sys/kernel/random/boot_id")
    updates.install()
    status = updates.until(lambda s: s["program"] == NEW and s["on_trial"] is None, INSTALL_S, "the new program is good")
    assert status["slot"] == "a" and not status["failed"], status
    updates.machine.serving()
    runs = updates.machine.run("readlink /proc/$(systemctl show -P MainPID hearth)/exe").strip()
    assert runs == f"/var/lib/hearth-app/{NEW}/hearth", runs
    assert updates.machine.run("cat /proc/sys/kernel/random/boot_id") == boot_id
    updates.machine.run("hearth update rollback")
    updates.machine.serving()
    assert updates.machine.run("readlink /proc/$(systemctl show -P MainPID hearth)/exe").strip() == "/usr/bin/hearth"


def crashing_program(updates):
    """a program that does not stay up leads back to the old one"""
    updates.renew()
    program = updates.folder / "false"
    program.write_text("#!/bin/sh\nexit 1\n")
    updates.boot(updates.program(program))
    updates.install()
    return updates.has_gone_back("the gateway does not answer")


def good_system(updates):
    """a good system is tried and kept, and the firmware starts it from then on"""
    updates.renew()
    updates.boot(updates.system())
    began = time.monotonic()
    updates.install()
    status = updates.is_kept()
    took = time.monotonic() - began
    assert (status["slot"], status["version"], status["failed"]) == ("b", NEW, {}), status
    updates.machine.shut_down()
    assert "os_prefix=b/" in updates.machine.read_boot("config.txt")
    updates.machine.boot().serving()
    assert updates.status()["slot"] == "b"
    return f"kept {took:.0f} s after it was begun"


def night(updates):
    """by night a good system is fetched over a connection that breaks, is tried and kept; its owner leaves it again"""
    updates.renew()
    bundle = updates.system()
    shelf = f"tcp:{SHELF}:80-cmd:{sys.executable} {SHELF_PY} {bundle}"
    updates.boot(bundle, shelf)
    look = "systemctl start hearth-update.service"
    assert updates.machine.run("systemctl is-enabled hearth-update.timer").strip() == "enabled"
    before = updates.status()
    updates.machine.run(look)
    assert updates.status() == before, "nobody has asked for it"
    config = "/etc/hearth/config.yaml"
    updates.machine.run(f"sed -i 's|^  url: null$|  url: http://{SHELF}/bundle|; s/^  check: off$/  check: daily/' {config} && sync")
    assert not bundle.with_suffix(".asked").exists(), "nobody has looked yet"
    updates.machine.run(f"{look} --no-block")
    status = updates.is_kept()
    assert (status["slot"], status["version"], status["failed"]) == ("b", NEW, {}), status
    asked = bundle.with_suffix(".asked").read_text().splitlines()
    assert len(asked) == 2 and asked[0] == "from 0" != asked[1], asked
    updates.machine.serving()
    updates.machine.run(look)
    said = updates.machine.run("journalctl -b -u hearth-update --no-pager -o cat")
    assert "newer" in said, said
    assert updates.status()["slot"] == "b"
    updates.machine.run("systemd-run --unit=update-test --collect hearth update rollback")
    status = updates.until(lambda s: s["good"] == "a" and s["on_trial"] is None, SETTLE_S, "the old system is the good one again")
    assert status["slot"] == "a" and status["version"] != NEW, status
    updates.machine.shut_down()
    assert "os_prefix=a/" in updates.machine.read_boot("config.txt")
    return f"the second time {asked[1]} bytes on"


def bad_kernel(updates):
    """a kernel that does not start leads back to the old system"""
    updates.renew()
    updates.boot(updates.system(words="rdinit=/nothing"))
    updates.install()
    return updates.has_gone_back("did not come up")


def crashing_hub(updates):
    """a system whose hub does not stay up leads back to the old one, with the old data"""
    updates.renew()
    updates.boot(updates.system(drop_in=CRASHES))
    updates.install()
    return updates.has_gone_back("the gateway does not answer")


def power_cuts(updates):
    """after a power cut at any time of an update one of the two systems serves, and at last it is the new one"""
    updates.renew()
    bundle, seen = updates.system(), []
    for seconds in CUTS_S:
        updates.boot(bundle)
        if updates.status()["good"] == "b":
            break
        updates.install()
        time.sleep(seconds)
        updates.machine.cut()
        updates.machine.boot().serving()
        seen.append(f"{seconds} s: {updates.status()['slot']}")
        updates.machine.cut()
    updates.boot(bundle)
    status = updates.status()
    if status["on_trial"] is None and status["good"] == "a":
        updates.install()
    assert not updates.is_kept()["failed"]
    return ", ".join(seen)


CHECKS = [refused, good_program, crashing_program, good_system, night, bad_kernel, crashing_hub, power_cuts]


@contextlib.contextmanager
def started(options, folder):
    updates = Updates(options, folder)
    try:
        yield updates
    finally:
        updates.machine.cut()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", required=True)
    parser.add_argument("--hub", required=True, help="the hub for the card, which is the program of some bundles")
    parser.add_argument("checks", nargs="*", help=", ".join(check.__name__ for check in CHECKS))
    options = parser.parse_args()
    return checks.run(CHECKS, options.checks, lambda folder: started(options, folder))


if __name__ == "__main__":
    sys.exit(main())
