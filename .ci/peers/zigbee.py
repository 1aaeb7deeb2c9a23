"""Checks of the simulated stick and its house, by real hosts. Run by `zigbee`, which installs them.

Zigbee2MQTT (over TCP, and over the pseudo-terminal) and zigpy-znp form networks, take in devices, control and read them, and
back the stick up; what they say is compared with how the simulated devices really are. The simulator counts what a host does
against the rules: there must be nothing. The last checks show the others something wrong: a check that cannot fail would find
nothing anywhere.
"""

import argparse
import asyncio
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import paho.mqtt.client as mqtt
import zigpy.types
from zigpy_znp.zigbee.application import ControllerApplication

from processes import CannotStart, Child, die_with_parent, free_port, spawn, tail

START_S = 40  # forming a network takes Zigbee2MQTT six
JOIN_S = 60  # a sensor that wakes every 5 s answers a question in each
ANSWER_S = 15
STOP_S = 20
PERMIT_S = 120

# What each device is for Zigbee2MQTT: vendor and model of its definition, or nothing.
KNOWN = {
    "bulb": ("Innr", "RB 282 C"),
    "plug": ("Innr", "SP 240"),
    "climate": ("SONOFF", "SNZB-02"),
    "contact": ("SONOFF", "SNZB-04"),
    "remote": ("IKEA", "E1743"),
    "tuya": ("Tuya", "TS0601_dimmer_1_gang_2"),
    "cover": ("ADEO", "WSD005"),
    "unknown": None,
    "router": ("IKEA", "E1746"),
    "attic": ("SONOFF", "SNZB-02"),
}
# Zigbee2MQTT lets two requests out at once, now and then: its lock is open for a moment between one that waits and one that
# comes just then (zigbee-herdsman 10.9.2, AsyncMutex).
HURRIED = 3
# Words of Zigbee2MQTT's log that are no fault of anybody: one device is in no catalogue, on purpose.
FORGIVEN = ["with Zigbee model 'AW-LAMP-9'"]


class Stick(Child):
    """`hearth simulate`, which takes orders and says how it is."""

    def __init__(self, hub, folder, *options, pty=None):
        self.where = pty or f"tcp://127.0.0.1:{free_port()}"
        at = ["--pty", str(pty)] if pty else ["--listen", self.where.replace("tcp://", "tcp:")]
        self.argv = [str(hub), "simulate", "--json", *at, *options]
        self.log = Path(folder) / "stick.log"
        self.said = queue.Queue()
        self.news = []

    def start(self):
        with open(self.log, "ab") as err:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True, preexec_fn=die_with_parent
            )
        threading.Thread(target=self.read, daemon=True).start()
        try:
            assert "listening" in self.said.get(timeout=START_S)
        except queue.Empty:
            raise CannotStart(f"{self.argv[0]} said nothing\n{tail(self.log)}") from None
        return self

    def read(self):
        with open(self.log, "a") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                row = json.loads(line)
                (self.news.append if "who" in row else self.said.put)(row)

    def order(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        row = self.said.get(timeout=ANSWER_S)
        assert "error" not in row, row
        return row["answer"]

    def figures(self, words):
        return dict(word.split("=", 1) for word in self.order(words).split() if "=" in word)

    def truth(self, device):
        """How a device really is."""
        return {name: int(value) for name, value in self.figures(f"show {device}").items() if value.isdigit()}

    def ieee(self, device):
        return self.order(f"show {device}").split()[1]

    def keeps_rules(self, missing=(), hurried=0):
        """Nothing against the rules, and no command that this firmware does not have but those in `missing`. `hurried`: so often
        two requests at once are forgiven."""
        figures = self.figures("status")
        broken = [row for row in self.news if row["violation"]]
        at_once = [row for row in broken if row["what"] == "a request before the answer to the last one"]
        assert len(at_once) <= hurried and len(at_once) == len(broken) == int(figures["violations"]), f"{figures} {broken[:5]}"
        unknown = {row["what"] for row in self.news if "has no command" in row["what"]}
        assert unknown <= {f"has no command {command}" for command in missing}, unknown
        assert int(figures["requests"]) > 50, "nobody has spoken to the stick"
        return f"{figures['requests']} requests, no rule broken"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_S)
        assert code == 0, f"exit code {code}\n{tail(self.log)}"


class Broker(Child):
    def __init__(self, folder):
        self.port = free_port()
        self.config = Path(folder) / "mosquitto.conf"
        self.log = Path(folder) / "mosquitto.log"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n"
        )

    def start(self):
        self.process = spawn(["mosquitto", "-c", str(self.config)], self.log, {})
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise CannotStart(f"mosquitto\n{tail(self.log)}")


class Zigbee2Mqtt(Child):
    """Zigbee2MQTT with its state in `folder`, and a client of its broker that remembers all it hears."""

    def __init__(self, options, broker, stick, folder):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.log = self.folder.parent / f"{self.folder.name}.log"
        self.argv = [options.node, options.zigbee2mqtt]
        (self.folder / "configuration.yaml").write_text(
            "version: 5\n"
            f'mqtt: {{base_topic: zigbee2mqtt, server: "mqtt://127.0.0.1:{broker.port}"}}\n'
            f'serial: {{adapter: zstack, port: "{stick.where}"}}\n'
            "advanced: {log_level: debug, log_output: [console], pan_id: GENERATE, network_key: GENERATE, ext_pan_id: GENERATE, channel: 15}\n"
            "frontend: {enabled: false}\nhomeassistant: {enabled: false}\n"
        )
        self.heard = []
        self.change = threading.Condition()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_message = self.hear
        self.client.connect("127.0.0.1", broker.port)
        self.client.subscribe("zigbee2mqtt/#")
        self.client.loop_start()

    def hear(self, _client, _data, message):
        with self.change:
            self.heard.append((message.topic.removeprefix("zigbee2mqtt/"), message.payload.decode()))
            self.change.notify_all()

    def start(self):
        began = self.starts()
        # The page that asks for a configuration is not wanted: there is one. Within a checkout it would take that for its own
        # sources, and build them.
        environment = os.environ | {"ZIGBEE2MQTT_DATA": str(self.folder), "Z2M_ONBOARD_NO_SERVER": "1"}
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, cwd=self.folder, preexec_fn=die_with_parent
            )
        wait_for(lambda: self.starts() > began or self.process.poll() is not None, START_S)
        if self.process.poll() is not None:
            raise CannotStart(f"Zigbee2MQTT ended with {self.process.returncode}\n{tail(self.log)}")
        return self

    def starts(self):
        return self.log.read_text(errors="replace").count("Zigbee2MQTT started!") if self.log.exists() else 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_S)

    def wait(self, topic, accept=lambda _: True, since=None, seconds=ANSWER_S):
        """The next message of the topic that is accepted; `since`: from that place of all that was heard."""
        until = time.monotonic() + seconds
        with self.change:
            place = len(self.heard) if since is None else since
            while True:
                for name, payload in self.heard[place:]:
                    if name == topic and payload and accept(json.loads(payload)):
                        return json.loads(payload)
                place = len(self.heard)
                left = until - time.monotonic()
                if left <= 0 or (self.process and self.process.poll() is not None):
                    ours = [payload[:300] for name, payload in self.heard if name == topic][-3:]
                    raise AssertionError(f"nothing like it at {topic} within {seconds} s; last there: {ours}\n{tail(self.log, 8)}")
                self.change.wait(min(left, 1))

    def say(self, topic, payload):
        """Publishes, and gives the place from which an answer is to be looked for."""
        since = len(self.heard)
        self.client.publish(f"zigbee2mqtt/{topic}", json.dumps(payload), qos=1).wait_for_publish(ANSWER_S)
        return since

    def ask(self, request, payload, seconds=ANSWER_S):
        since = self.say(f"bridge/request/{request}", payload)
        answer = self.wait(f"bridge/response/{request}", since=since, seconds=seconds)
        assert answer["status"] == "ok", answer
        return answer["data"]

    def set(self, device, payload, accept):
        return self.wait(device, accept, self.say(f"{device}/set", payload))

    def take_in(self, names):
        """Lets devices in until all of these are interviewed and configured, and gives what is known of them by name."""
        since = len(self.heard)
        self.ask("permit_join", {"time": PERMIT_S})
        addresses = set(names.values())

        def are_done(devices):
            done = {row["ieee_address"] for row in devices if row.get("interview_completed") or row.get("interview_state") == "SUCCESSFUL"}
            return addresses <= done

        devices = self.wait("bridge/devices", are_done, since, JOIN_S)
        for name, ieee in names.items():
            if KNOWN[name]:
                self.wait_for_log(f"Successfully configured '{ieee}'", JOIN_S)
        self.ask("permit_join", {"time": 0})
        rows = {row["ieee_address"]: row for row in devices}
        return {name: rows[ieee] for name, ieee in names.items()}

    def wait_for_log(self, words, seconds):
        until = time.monotonic() + seconds
        while words not in self.log.read_text(errors="replace"):
            assert time.monotonic() < until, f"{words!r} is not in the log\n{tail(self.log)}"
            time.sleep(0.1)

    def complaints(self):
        """What its log has of errors and warnings."""
        plain = re.sub(r"\x1b\[\d+m", "", self.log.read_text(errors="replace"))
        lines = re.findall(r"^\[[^]]*\] (?:error|warning): .*$", plain, re.MULTILINE)
        return [line for line in lines if not any(words in line for words in FORGIVEN)]

    def kill(self):
        self.client.loop_stop()
        self.client.disconnect()
        super().kill()


class World:
    """One house on a stick of 3.x.0 at a TCP port, with Zigbee2MQTT: most checks are done on it, in their order."""

    def __init__(self, options, folder):
        self.options, self.folder = options, Path(folder)
        self.broker = Broker(folder).start()
        self.stick = Stick(options.hub, folder, "--nv", str(self.folder / "nv.json")).start()
        self.z2m = Zigbee2Mqtt(options, self.broker, self.stick, self.folder / "z2m")
        self.names = {name: self.stick.ieee(name) for name in KNOWN}

    def close(self):
        for child in (self.z2m, self.stick, self.broker):
            child.kill()


def expect(truth, **values):
    wrong = {name: truth.get(name) for name, value in values.items() if truth.get(name) != value}
    assert not wrong, f"the device really has {wrong}, expected {values}"


def forms(world):
    """Zigbee2MQTT forms a network"""
    began = time.monotonic()
    world.z2m.start()
    channel = world.stick.figures("status")["network"]
    assert channel.startswith("15/"), channel
    return f"{channel}, {time.monotonic() - began:.1f} s"


def interviews(world):
    """Zigbee2MQTT takes in ten devices and knows each"""
    began = time.monotonic()
    devices = world.z2m.take_in(world.names)
    for name, known in KNOWN.items():
        definition = devices[name].get("definition") or {}
        if known:
            assert (definition["vendor"], definition["model"]) == known, f"{name}: {definition}"
        else:
            assert not devices[name]["supported"], f"{name}: {definition}"
    assert world.stick.truth("contact")["enrolled"] == 1
    return f"{time.monotonic() - began:.1f} s"


def controls(world):
    """Zigbee2MQTT controls bulb, plug, cover, Tuya dimmer and the unknown lamp, which do as they are told"""
    z2m, stick, ieee = world.z2m, world.stick, world.names
    z2m.set(ieee["bulb"], {"state": "ON", "brightness": 100}, lambda s: s.get("brightness") == 100)
    expect(stick.truth("bulb"), on=1, level=100)
    z2m.set(ieee["bulb"], {"color_temp": 250}, lambda s: s.get("color_temp") == 250)
    expect(stick.truth("bulb"), mireds=250, mode=2)
    z2m.set(ieee["bulb"], {"color": {"x": 0.3, "y": 0.4}}, lambda s: s.get("color_mode") == "xy")
    expect(stick.truth("bulb"), x=round(0.3 * 65536), y=round(0.4 * 65536), mode=1)
    z2m.set(ieee["plug"], {"state": "ON"}, lambda s: s.get("state") == "ON")
    expect(stick.truth("plug"), on=1)
    z2m.set(ieee["tuya"], {"state": "ON", "brightness": 254}, lambda s: s.get("brightness") == 254)
    expect(stick.truth("tuya"), dp1=1, dp3=1000)
    z2m.set(ieee["unknown"], {"state": "ON"}, lambda s: s.get("state") == "ON")
    expect(stick.truth("unknown"), on=1)
    z2m.set(ieee["cover"], {"position": 50}, lambda s: s.get("position") == 50)
    until = time.monotonic() + ANSWER_S
    while stick.truth("cover")["closed_percent"] != 50:
        assert time.monotonic() < until, stick.truth("cover")
        time.sleep(0.2)


def reads(world):
    """Zigbee2MQTT reads what it asks for"""
    world.stick.order("switch plug off")
    since = world.z2m.say(f"{world.names['plug']}/get", {"state": ""})
    world.z2m.wait(world.names["plug"], lambda s: s["state"] == "OFF", since)
    world.stick.order("switch plug on")


def reports(world):
    """Reports, alarms and buttons reach Zigbee2MQTT"""
    z2m, stick, ieee = world.z2m, world.stick, world.names
    since = len(z2m.heard)
    stick.order("temperature climate 27.5")
    stick.order("humidity attic 61")
    stick.order("load plug 60")
    stick.order("open contact")
    stick.order("press remote on")
    stick.order("turn tuya 3 500")
    z2m.wait(ieee["contact"], lambda s: s.get("contact") is False, since)
    z2m.wait(ieee["remote"], lambda s: s.get("action") == "on", since)
    z2m.wait(ieee["tuya"], lambda s: s.get("brightness") == 127, since)
    z2m.wait(ieee["plug"], lambda s: s.get("power") == 60, since)
    z2m.wait(ieee["climate"], lambda s: s.get("temperature") == 27.5, since, 30)
    z2m.wait(ieee["attic"], lambda s: s.get("humidity") == 61, since, 30)
    stick.order("close contact")
    z2m.wait(ieee["contact"], lambda s: s.get("contact") is True, since)


def groups(world):
    """Groups, scenes and bindings lie in the devices"""
    z2m, stick, ieee = world.z2m, world.stick, world.names
    z2m.ask("group/add", {"friendly_name": "room", "id": 7})
    for name in ("bulb", "plug"):
        z2m.ask("group/members/add", {"group": "room", "device": ieee[name]})
        expect(stick.truth(name), groups=7)
    z2m.say("room/set", {"state": "OFF"})
    wait_for(lambda: (stick.truth("bulb")["on"], stick.truth("plug")["on"]) == (0, 0))
    z2m.say("room/set", {"state": "ON"})
    wait_for(lambda: (stick.truth("bulb")["on"], stick.truth("plug")["on"]) == (1, 1))
    z2m.say("room/set", {"scene_store": 3})
    time.sleep(0.5)
    z2m.say("room/set", {"state": "OFF"})
    wait_for(lambda: stick.truth("bulb")["on"] == 0)
    z2m.say("room/set", {"scene_recall": 3})
    wait_for(lambda: stick.truth("bulb")["on"] == 1)
    before = stick.truth("remote")["bindings"]
    since = z2m.say("bridge/request/device/bind", {"from": ieee["remote"], "to": ieee["bulb"], "clusters": ["genOnOff"]})
    stick.order("press remote stop")  # so that it listens
    answer = z2m.wait("bridge/response/device/bind", since=since, seconds=30)
    assert answer["status"] == "ok", answer
    assert stick.truth("remote")["bindings"] == before + 1
    stick.order("press remote off")
    wait_for(lambda: stick.truth("bulb")["on"] == 0)
    stick.order("press remote on")


def wait_for(holds, seconds=ANSWER_S):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.1)


def keeps(world):
    """Names, the map, the backup; a device that comes back with another address; one that is sent away"""
    z2m, stick, ieee = world.z2m, world.stick, world.names
    z2m.ask("device/rename", {"from": ieee["bulb"], "to": "lamp"})
    z2m.set("lamp", {"state": "OFF"}, lambda s: s.get("state") == "OFF")
    network = z2m.ask("networkmap", {"type": "raw", "routes": True}, 60)["value"]
    assert {row["ieeeAddr"] for row in network["nodes"]} >= set(ieee.values())
    behind = [row for row in network["links"] if row["source"]["ieeeAddr"] == ieee["attic"]]
    assert any(row["target"]["ieeeAddr"] == ieee["router"] for row in behind), "the attic's sensor is behind the router"
    backup = z2m.ask("backup", {}, 60)
    assert len(backup["zip"]) > 1000
    stick.order("rejoin bulb")
    time.sleep(1)
    z2m.set("lamp", {"state": "ON"}, lambda s: s.get("state") == "ON")
    expect(stick.truth("bulb"), on=1)
    z2m.ask("device/remove", {"id": ieee["unknown"]})
    wait_for(lambda: "unpaired" in stick.order("show unknown"))
    stored = json.loads((z2m.folder / "coordinator_backup.json").read_text())
    assert stored["metadata"]["format"] == "zigpy/open-coordinator-backup"
    own_keys = [row for row in stored["devices"] if row.get("link_key")]
    assert len(own_keys) >= 5, stored["devices"]
    return f"{len(stored['devices'])} devices in the backup, {len(own_keys)} with a key of their own"


def resumes(world):
    """Zigbee2MQTT comes back to the network, and restores it to another stick, with all devices"""
    z2m, stick = world.z2m, world.stick
    network = stick.figures("status")["network"]
    z2m.stop()
    z2m.start()
    assert stick.figures("status")["network"] == network
    z2m.set("lamp", {"state": "OFF"}, lambda s: s.get("state") == "OFF")
    expect(stick.truth("bulb"), on=0)
    z2m.stop()
    stick.order("swap 3.x.0")
    z2m.start()
    assert stick.figures("status")["network"] == network
    z2m.set("lamp", {"state": "ON"}, lambda s: s.get("state") == "ON")
    expect(stick.truth("bulb"), on=1)
    since = len(z2m.heard)
    stick.order("temperature climate 19")
    z2m.wait(world.names["climate"], lambda s: s.get("temperature") == 19, since, 30)
    for name in ("bulb", "plug", "router"):
        expect(stick.truth(name), own_key=1)


def clean(world):
    """No rule was broken, and Zigbee2MQTT has nothing to complain of"""
    complaints = world.z2m.complaints()
    assert not complaints, "\n".join(complaints[:10])
    return world.stick.keeps_rules(hurried=HURRIED)


def seen(world):
    """The checks see a liar, a broken rule, and a complaint"""
    z2m, stick = world.z2m, world.stick
    stick.order("fault bulb lies")
    z2m.set("lamp", {"state": "OFF"}, lambda s: s.get("state") == "OFF")
    must_fail(lambda: expect(stick.truth("bulb"), on=0))
    stick.order("fault bulb none")
    stick.order("unplug plug")
    z2m.say(f"{world.names['plug']}/set", {"state": "OFF"})
    z2m.wait_for_log("Publish 'set' 'state'", 60)
    must_fail(lambda: clean(world))
    z2m.stop()
    host, port = stick.where.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(bytes([0xFE, 0x00, 0x21, 0x7F, 0x5E, 0xFE, 0x00, 0x21, 0x01, 0x00]))
        wait_for(lambda: stick.figures("status")["violations"] != "0")
    must_fail(lambda: stick.keeps_rules(hurried=HURRIED))


def must_fail(check):
    try:
        check()
    except AssertionError:
        return
    raise AssertionError("something wrong was shown, and nobody saw it")


def over_pty(world):
    """Zigbee2MQTT on a stick of 3.0.x behind a pseudo-terminal: forms, takes in, controls, resumes; no rule is broken"""
    folder = world.folder / "old"
    folder.mkdir()
    broker = Broker(folder).start()  # of its own: the other remembers the other house
    stick = Stick(world.options.hub, folder, "--generation", "3.0.x", "--devices", "bulb,contact", pty=folder / "ttyZ").start()
    z2m = Zigbee2Mqtt(world.options, broker, stick, folder / "z2m")
    try:
        z2m.start()
        names = {name: stick.ieee(name) for name in ("bulb", "contact")}
        z2m.take_in(names)
        z2m.set(names["bulb"], {"state": "ON", "brightness": 42}, lambda s: s.get("brightness") == 42)
        expect(stick.truth("bulb"), on=1, level=42)
        z2m.stop()
        z2m.start()
        z2m.set(names["bulb"], {"state": "OFF"}, lambda s: s.get("state") == "OFF")
        expect(stick.truth("bulb"), on=0)
        assert not z2m.complaints(), "\n".join(z2m.complaints()[:10])
        said = stick.keeps_rules(hurried=HURRIED)
        z2m.stop()
        stick.stop()
        assert not (folder / "ttyZ").is_symlink(), "the link is taken away"
        return said
    finally:
        for child in (z2m, stick, broker):
            child.kill()


def zigpy_new(world):
    """zigpy-znp on a stick of 3.x.0: forms, takes in, controls, reads, hears, backs up, restores to another stick"""
    return asyncio.run(zigpy_session(world, "3.x.0"))


def zigpy_old(world):
    """zigpy-znp on a stick of 3.0.x: the same"""
    return asyncio.run(zigpy_session(world, "3.0.x"))


async def zigpy_app(stick):
    app = ControllerApplication(
        {
            "device": {"path": stick.where.replace("tcp://", "socket://"), "baudrate": 115200},
            "database_path": None,
            "backup_enabled": False,
            "topology_scan_enabled": False,
        }
    )
    await app.connect()
    return app


async def zigpy_session(world, generation):
    folder = world.folder / f"zigpy-{generation}"
    folder.mkdir()
    stick = Stick(world.options.hub, folder, "--generation", generation, "--devices", "bulb,plug,climate").start()
    app = None
    try:
        app = await zigpy_app(stick)
        await app.form_network()
        await app.start_network()
        await app.permit(PERMIT_S)
        names = {name: zigpy.types.EUI64.convert(stick.ieee(name).removeprefix("0x")) for name in ("bulb", "plug", "climate")}

        def are_in():
            return all(ieee in app.devices and app.devices[ieee].is_initialized for ieee in names.values())

        await hold(are_in, JOIN_S)
        bulb, plug = app.devices[names["bulb"]], app.devices[names["plug"]]
        assert (bulb.manufacturer, bulb.model) == ("innr", "RB 282 C")
        await switch(bulb, True)
        expect(stick.truth("bulb"), on=1)
        read, failed = await bulb.endpoints[1].on_off.read_attributes(["on_off"])
        assert (list(read.values()), failed) == ([True], {}), (read, failed)
        # A report: bound, configured, and heard.
        meter = plug.endpoints[1].electrical_measurement
        await meter.bind()
        configured = await meter.configure_reporting(0x050B, 0, 60, 1)
        assert list(configured.values()) == [0], configured
        await switch(plug, True)
        stick.order("load plug 70")
        await hold(lambda: meter.get(0x050B) == 70)
        # Another stick: the backup of the first goes onto it, and the devices stay.
        backup = await app.backups.create_backup(load_devices=True)
        assert len(backup.network_info.key_table) >= 2, backup
        network = stick.figures("status")["network"]
        # The old firmware has no tables by number: asking for one is how it is known.
        missing = ["1/0x32"] if generation == "3.0.x" else []
        said = stick.keeps_rules(missing)
        await app.disconnect()
        stick.order(f"swap {generation}")
        app = await zigpy_app(stick)
        await app.backups.restore_backup(backup, counter_increment=2500)
        await app.start_network()
        assert stick.figures("status")["network"] == network
        again = app.add_device(ieee=bulb.ieee, nwk=bulb.nwk)
        again.add_endpoint(1).add_input_cluster(6)
        again.endpoints[1].profile_id = 0x0104
        await again.endpoints[1].on_off.off()
        expect(stick.truth("bulb"), on=0)
        stick.keeps_rules(missing)
        return said
    finally:
        if app:
            await app.disconnect()
        stick.kill()


async def switch(device, is_on):
    cluster = device.endpoints[1].on_off
    answer = await (cluster.on() if is_on else cluster.off())
    assert answer.status == 0, answer


async def hold(holds, seconds=ANSWER_S):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to be"
        await asyncio.sleep(0.1)


CHECKS = [forms, interviews, controls, reads, reports, groups, keeps, resumes, clean, seen, over_pty, zigpy_new, zigpy_old]
# These go by themselves; the others follow one another.
ALONE = [over_pty, zigpy_new, zigpy_old]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hub", required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--zigbee2mqtt", required=True)
    parser.add_argument("checks", nargs="*", choices=[[], *[check.__name__ for check in CHECKS]])
    options = parser.parse_args()
    named = [check for check in CHECKS if check.__name__ in options.checks]
    # A check of the house needs those before it.
    last = max((CHECKS.index(check) for check in named if check not in ALONE), default=-1)
    wanted = [c for c in CHECKS if not named or c in named or (c not in ALONE and CHECKS.index(c) < last)]
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        world = None
        try:
            world = World(options, folder)
            for check in wanted:
                began = time.monotonic()
                try:
                    more = check(world)
                    passed += 1
                    print(f"ok   {check.__doc__}" + (f": {more}" if more else "") + f" ({time.monotonic() - began:.1f} s)", flush=True)
                except Exception:
                    failed += 1
                    print(f"FAIL {check.__doc__}\n{traceback.format_exc()}", flush=True)
        except CannotStart as error:
            failed += 1
            print(f"FAIL {error}")
        finally:
            if world:
                if os.environ.get("KEEP_LOGS"):
                    os.system(f"cp -r {folder} {os.environ['KEEP_LOGS']}")
                world.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
