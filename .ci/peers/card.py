"""Checks of the card that `image/build` makes, booted in a virtual machine with a simulated stick on its USB port. Run by
`appliance`, which builds it.

The checks are in the order in which an owner meets things, and each stands on those before it: the machine goes through them as one
life. Of those that are named on the command line, each still needs what came before it to be named as well; `boots` alone does not.
"""

import argparse
import asyncio
import contextlib
import re
import sys
import time

import checks
from client import Client
from machine import Machine, Radio
from processes import tail

# What may be reached from the network: the page and everything behind it, mDNS, and the port on which an address is asked for.
PORTS = {("tcp", "80"), ("udp", "5353"), ("udp", "68"), ("udp", "546")}
JOIN_S = 240  # a device's interview, by an emulated processor on a busy machine
BACK_S = 60
REPORT_S = 240  # it waits for an address
WATCHDOG_S = 180  # 30 s without a word, then a start anew
CUTS = 20
HOUSE = "bulb,climate,plug"
DEVICES = 3
REPORTING = "bulb*10,plug*10,climate*10"
REPORTING_EVERY_S = 60
WRITES_S = 3600  # an hour, with what comes once in it
WRITES_MB_MAX = 5
IDLE_S = 60
SETTLE_S = 120  # after its start the hub gives back what it needed for that, within a minute
SYSTEM_MIB_MAX = 160
HUB_MB_MAX = 12


class Card:
    """The machine, and what an owner has once it is claimed."""

    def __init__(self, options, folder):
        self.options = options
        self.radio = Radio(options.native_hub, folder)
        self.machine = Machine(options.image, folder, self.radio)
        self.token = None
        self.said = 0
        self.port = contextlib.ExitStack()  # what is in the machine's USB port

    def devices(self):
        return self.machine.get("/api/v1/devices", self.token)["devices"]

    def until(self, is_so, within_s, what):
        """Asks until it is so; what was found."""
        until, last = time.monotonic() + within_s, None
        while time.monotonic() < until:
            try:
                last = is_so()
                if last:
                    return last
            except OSError as error:
                last = error
            time.sleep(0.5)
        raise AssertionError(f"not within {within_s} s: {what}; last: {last}\n{self.journal()}")

    def journal(self, lines=25):
        try:
            return self.machine.run(f"journalctl --no-pager -u hearth -n {lines} -o cat")
        except (AssertionError, OSError) as error:
            return f"(no journal: {error})\n{tail(self.machine.log)}"

    def plug(self):
        self.port.enter_context(self.machine.stick())

    def pull(self):
        self.port.close()

    def refused(self, *request):
        """The code with which the hub refuses this; what it does not refuse is an AssertionError."""
        try:
            answer = self.machine.ask(*request)
        except OSError as error:
            return getattr(error, "code", error)
        raise AssertionError(f"{request} was answered: {answer}")

    def report(self):
        """What stands on the card once the claim's code does: the whole of it, and the code."""

        def found():
            text = self.machine.run("cat /boot/firmware/hearth-report.txt || true")
            code = re.search(r"\b[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}\b", text)
            return code and (text, code[0])

        return self.until(found, REPORT_S, "a report with a code")

    def written(self):
        """Bytes written to the whole card since it was switched on."""
        return 512 * int(self.machine.run("cat /sys/block/vda/stat").split()[6])

    def pid(self):
        return self.machine.run("systemctl show -P MainPID hearth").strip()

    def serves_anew(self, old, within_s):
        """The seconds until another process than `old` is the hub and answers."""
        began = time.monotonic()
        self.until(lambda: self.pid() not in ("0", old) and self.devices(), within_s, "the hub is back")
        return time.monotonic() - began

    def radio_is(self, state):
        return lambda: any(radio["status"] == state for radio in self.machine.get("/api/v1/zigbee", self.token)["radios"])

    def known(self):
        """The devices that were asked what they are."""
        return [device for device in self.devices() if device.get("interviewed", True)]

    def bulb(self, is_so=lambda bulb: True):
        """The one lamp of the house, once it is so."""
        return self.until(lambda: [one for one in self.known() if "light" in one["domains"] and is_so(one)], JOIN_S, "the bulb")[0]

    def say(self, text):
        self.said += 1

        async def chat():
            async with Client.connected(self.machine.url.replace("http", "ws") + "/ws/chat", token=self.token) as client:
                return await client.ask("chat", {"text": text}, f"card-{self.said}")

        return asyncio.run(chat())


SETTINGS = """hostname: kitchen
timezone: Europe/Zurich
wifi:
  country: XX
keys:
  openai: sk-this-is-not-to-stay-on-the-card
"""


def settings(card):
    """what the owner has written on the card is taken at the first boot, its secrets leave the card, and what is wrong is reported"""
    machine = card.machine
    machine.write_boot("hearth.yaml", SETTINGS)
    machine.boot().serving()
    report, _ = card.report()
    assert "kitchen.local" in report and "wifi.country" in report, report
    left = machine.run("cat /boot/firmware/hearth.yaml")
    assert "kitchen" in left and "sk-this" not in left, left
    assert machine.run("cat /etc/hostname").strip() == "kitchen" and "CE" in machine.run("date +%Z")
    assert machine.run("stat -c %a /etc/credstore/hearth.openai_api_key").strip() == "600"
    # By the bytes of the whole partition, and not only by its files.
    machine.run("sync")
    found = machine.run("grep -c sk-this-is-not $(findmnt -no SOURCE /boot/firmware) || true").strip()
    assert found == "0", "the key can still be read from the card"
    return report.splitlines()[0]


def boots(card):
    """a first boot ends with a hub that serves, and so does a second one"""
    card.machine.cut()
    card.machine.renew()
    first = card.machine.boot().serving()
    ends = ("running", "degraded")
    card.until(lambda: card.machine.run("systemctl is-system-running || true").strip() in ends, BACK_S * 3, "everything is up")
    failed = card.machine.run("systemctl --failed --no-legend --plain || true").strip()
    assert not failed, f"units that failed: {failed}\n{card.machine.run('journalctl -b -p warning --no-pager | tail -40')}"
    card.machine.shut_down()
    second = card.machine.boot().serving()
    return f"{first:.0f} s after power on, {second:.0f} s the second time"


def identity(card):
    """what makes a card its own was made on it, and its root cannot be written to"""
    run = card.machine.run
    assert re.fullmatch(r"[0-9a-f]{32}\n", run("cat /etc/machine-id")), "no machine-id"
    assert "ro" in run("findmnt -no OPTIONS /").strip().split(","), "the root can be written to"
    assert run("cut -d: -f2 /etc/shadow | grep -vc '^[!*]' || true").strip() == "0", "somebody has a password"
    assert "memory" in run("cat /sys/fs/cgroup/cgroup.controllers"), "MemoryMax means nothing here"
    data = int(run("findmnt -bno SIZE /data"))
    swaps = run("tail -n +2 /proc/swaps | cut -d' ' -f1").split()
    assert all(swap.startswith("/dev/zram") for swap in swaps), f"swap is on {swaps}"
    return f"data has {data / 1e6:.0f} MB, swap is in {', '.join(swaps) or 'nothing'}"


def ports(card):
    """exactly the ports that are meant to be open are"""
    said = card.machine.run("ss -H -lntup")
    reached = set()
    for line in said.splitlines():
        words = line.split()
        address, _, port = words[4].rpartition(":")
        # avahi asks from a port that the kernel gives it.
        is_asking = words[0] == "udp" and '"avahi-daemon"' in line and port != "5353"
        if not address.startswith(("127.", "[::1]")) and not is_asking:
            reached.add((words[0], port))
    assert reached <= PORTS and ("tcp", "80") in reached, f"{reached - PORTS} should not be reached\n{said}"
    return ", ".join(sorted(f"{kind} {port}" for kind, port in reached))


def claimed(card):
    """nothing answers before the hub is claimed; the code that it shows makes an owner, once"""
    for path in ("/api/v1/devices", "/api/v1/status", "/api/v1/tools"):
        assert card.refused("GET", path) == 401, path
    door = card.machine.get("/api/v1/claim")
    assert door == {"required": True, "claimable": True}, door
    _, code = card.report()
    card.token = card.machine.ask("POST", "/api/v1/claim", {"code": code, "name": "mina"})["token"]
    assert card.refused("POST", "/api/v1/claim", {"code": code, "name": "eve"}) in (401, 403, 409)


def stick(card):
    """a stick that is plugged in is found, its network formed, and a bulb that joins obeys"""
    card.plug()
    began = time.monotonic()
    card.until(card.radio_is("up"), JOIN_S, "the radio is up")
    up_s = time.monotonic() - began
    card.machine.ask("POST", "/api/v1/zigbee/pairing", {"seconds": 200}, card.token)
    bulb = card.bulb(lambda device: device.get("available"))
    result = card.machine.ask("PUT", f"/api/v1/devices/{bulb['id']}/state", {"state": "ON"}, card.token)["results"][0]
    assert result["ok"], result
    card.bulb(lambda device: device["state"].get("state") == "ON")
    return f"up {up_s:.0f} s after the plug, the bulb on after {result['ms']} ms"


def chats(card):
    """words stream over the WebSocket, and what they ask for is done"""
    answer = card.say(f"turn off {card.bulb()['name']}")
    card.bulb(lambda device: device["state"].get("state") == "OFF")
    assert answer.metadata()["provider"] == "assistant" and answer.chunks(), answer.messages
    return answer.text()


def replugged(card):
    """a stick that is pulled out and plugged in again works again, and the hub answers all the time"""
    card.pull()
    card.until(lambda: not card.radio_is("up")(), BACK_S, "the radio is down")
    card.plug()
    began = time.monotonic()
    card.until(card.radio_is("up"), BACK_S, "the radio is up again")
    return f"up again after {time.monotonic() - began:.1f} s"


def killed(card):
    """a hub that is killed is there again, with its house"""
    card.until(lambda: len(card.known()) == DEVICES, JOIN_S, "all devices are in")
    before = {device["id"]: device["name"] for device in card.devices()}
    old = card.pid()
    card.machine.run("systemctl kill -s KILL hearth")
    took_s = card.serves_anew(old, BACK_S)
    after = {device["id"]: device["name"] for device in card.devices()}
    assert after == before, f"{before} became {after}"
    return f"after {took_s:.1f} s"


def hung(card):
    """a hub that hangs is ended by the watchdog and started anew"""
    old = card.pid()
    card.machine.run(f"kill -STOP {old}")
    took_s = card.serves_anew(old, WATCHDOG_S)
    assert "watchdog" in card.machine.run("journalctl --no-pager -u hearth -n 50").lower()
    return f"after {took_s:.0f} s"


def idle(card):
    """at rest, the hub and the system are as small as they should be"""
    run = card.machine.run
    pid = card.pid()

    def spent():
        ticks = run(f"cut -d' ' -f14,15 /proc/{pid}/stat").split()
        return sum(map(int, ticks)), card.written()  # 1/100 s, bytes

    time.sleep(SETTLE_S)
    pss_mb = int(re.search(r"^Pss:\s+(\d+) kB", run(f"cat /proc/{pid}/smaps_rollup"), re.MULTILINE)[1]) / 1000
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", run("cat /proc/meminfo"), re.MULTILINE))
    system_mib = (int(memory["MemTotal"]) - int(memory["MemAvailable"])) / 1024
    before = spent()
    time.sleep(IDLE_S)
    ticks, written = (after - was for was, after in zip(before, spent(), strict=True))
    said = f"hub {pss_mb:.1f} MB PSS (at most {HUB_MB_MAX}), system {system_mib:.0f} MiB (at most {SYSTEM_MIB_MAX})"
    said += f", {ticks / IDLE_S:.1f} % of an emulated core, {written / 1e3:.0f} kB written in {IDLE_S} s"
    assert pss_mb <= HUB_MB_MAX and system_mib <= SYSTEM_MIB_MAX, said
    return said


def cut(card):
    """after each cut of the power what was acknowledged is there"""
    for number in range(card.options.cuts):
        name = f"lamp {number}"
        bulb = card.bulb()
        card.machine.ask("PATCH", f"/api/v1/devices/{bulb['id']}", {"name": name}, card.token)
        card.pull()
        card.machine.cut()
        card.machine.boot().serving()
        card.plug()
        assert name in [device["name"] for device in card.devices()], f"cut {number}: {card.devices()}"
    return f"{card.options.cuts} times"


def restored(card):
    """a backup that is restored on a blank card gives the same house, with no pairing and no claim"""
    machine, backup = card.machine, card.machine.folder / "house.tar"
    before = {device["id"]: device["name"] for device in card.devices()}
    machine.fetch("/api/v1/backup", card.token, backup)
    card.pull()
    machine.cut()
    machine.renew()
    machine.put_boot("house.tar", backup)
    machine.boot().serving()
    machine.run("systemctl stop hearth && hearth restore /boot/firmware/house.tar && systemctl start hearth")
    machine.serving()
    card.plug()
    card.until(card.radio_is("up"), JOIN_S, "the radio is up")
    assert {device["id"]: device["name"] for device in card.devices()} == before, card.devices()
    bulb = card.bulb(lambda bulb: bulb["available"])
    result = machine.ask("PUT", f"/api/v1/devices/{bulb['id']}/state", {"state": "ON"}, card.token)["results"][0]
    assert result["ok"], result


def writes(card):
    """a house of thirty devices that all report every minute writes little to the card"""
    card.pull()
    card.machine.cut()
    card.radio.kill()
    card.machine.renew()
    card.radio.start("--devices", REPORTING)
    card.machine.boot().serving()
    claimed(card)
    card.plug()
    card.until(card.radio_is("up"), JOIN_S, "the radio is up")
    card.machine.ask("POST", "/api/v1/zigbee/pairing", {"seconds": 200}, card.token)
    card.until(lambda: len(card.known()) == 30, JOIN_S, "all devices are in")
    card.radio.order(f"chatter {REPORTING_EVERY_S}")
    # A first boot writes what later ones do not: the grown file system, the journal, a first snapshot.
    time.sleep(SETTLE_S + 2 * IDLE_S)
    before = card.written()
    time.sleep(card.options.writes_s)
    an_hour_mb = (card.written() - before) / 1e6 * 3600 / card.options.writes_s
    said = f"{an_hour_mb:.1f} MB an hour, by {card.options.writes_s} s (at most {WRITES_MB_MAX})"
    assert an_hour_mb <= WRITES_MB_MAX, said
    return said


CHECKS = [settings, boots, identity, ports, claimed, stick, chats, replugged, killed, hung, idle, cut, restored, writes]


@contextlib.contextmanager
def started(options, folder):
    card = Card(options, folder)
    try:
        card.radio.start("--devices", HOUSE, "--generation", "3.0.x")
        if options.checks and not {"boots", "settings"} & set(options.checks):
            card.machine.boot().serving()
        yield card
    finally:
        card.pull()
        card.machine.cut()
        card.radio.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", required=True)
    parser.add_argument("--native-hub", required=True, help="a hub for this machine, which simulates the stick")
    parser.add_argument("--cuts", type=int, default=CUTS)
    parser.add_argument("--writes-s", type=int, default=WRITES_S)
    parser.add_argument("checks", nargs="*", help=", ".join(check.__name__ for check in CHECKS))
    options = parser.parse_args()
    return checks.run(CHECKS, options.checks, lambda folder: started(options, folder))


if __name__ == "__main__":
    sys.exit(main())
