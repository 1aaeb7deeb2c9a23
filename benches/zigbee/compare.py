"""Measures hosts on the simulated stick. Run by `compare`, which knows where they are.

Each host has a stick of its own with the same house and the same delays. A command goes from the client that people use (the
hub's WebSocket, Zigbee2MQTT's broker, zigpy's own call) to the message that says what the state is now; nobody can be quicker
than the two ways through the air.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".ci" / "peers"))

import aiohttp  # noqa: E402
import zigpy.types  # noqa: E402
from processes import Hub  # noqa: E402
from zigbee import ANSWER_S, JOIN_S, PERMIT_S, Broker, Stick, Zigbee2Mqtt, zigpy_app  # noqa: E402

PAUSE_S = 0.02  # between commands, so that each goes by itself
SETTLE_S = 5
LOAD_S = 30  # how long a chattering house is watched
EVERY_S = 10  # a report of each device
JOIN_LOAD_S = 600


class Timed(Stick):
    """A stick that remembers when a device came in."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.joined = {}

    def read(self):
        with open(self.log, "a") as log:
            for line in self.process.stdout:
                row = json.loads(line)
                if "is in the network" in row.get("what", ""):
                    self.joined.setdefault(row["who"], time.monotonic())
                log.write(line)
                (self.news.append if "who" in row else self.said.put)(row)


class HearthHost:
    """The hub: its WebSocket, protocol 2."""

    name = "hub"

    async def start(self, options, folder, stick):
        self.process = Hub(options.hub, "http://127.0.0.1:9", folder)
        self.process.config.write_text(
            self.process.config.read_text().replace("zigbee: { backend: off }", f'zigbee: {{ backend: direct, port: "{stick.where}" }}')
        )
        self.process.start()
        self.http = aiohttp.ClientSession()
        self.socket = await self.http.ws_connect(self.process.url)
        self.count = 0
        await self.act("hello", {"protocol": [2], "features": ["events"]})
        await self.act("subscribe", {"topics": ["pairing", "devices"], "snapshot": False})
        self.interviewed = {}

    async def act(self, action, payload):
        """A request and its last answer."""
        self.count += 1
        request = f"r{self.count}"
        await self.socket.send_json({"action": action, "payload": payload, "request_id": request})
        async with asyncio.timeout(ANSWER_S):
            while True:
                row = await self.next()
                if row.get("request_id") == request and row.get("status") in ("complete", "error"):
                    assert row["status"] == "complete", row
                    return row

    async def next(self):
        row = json.loads((await self.socket.receive()).data)
        news = find(row, lambda part: part.get("event") == "interviewed" and "id" in part)
        if news:
            self.interviewed.setdefault(news["id"], time.monotonic())
        return row

    async def tool(self, name, arguments, key=None):
        """What the tool answers under this key."""
        row = await self.act("tool", {"name": name, "arguments": arguments})
        return find(row, lambda part: key in part)[key] if key else row

    async def take_in(self, ieee):
        until = time.monotonic() + JOIN_S
        while not await self.opens():
            assert time.monotonic() < until, "the radio does not come up"
            await asyncio.sleep(0.2)
        async with asyncio.timeout(JOIN_S):
            while ieee not in self.interviewed:
                await self.next()
        return self.interviewed[ieee]

    async def opens(self):
        """Whether the radio is up and lets devices in."""
        try:
            return await self.tool("pairing.start", {"seconds": PERMIT_S})
        except AssertionError:
            return False

    async def take_in_all(self, count):
        async with asyncio.timeout(JOIN_LOAD_S):
            while len(self.interviewed) < count:
                await self.opens()  # what is told meanwhile is heard behind it
                await asyncio.sleep(2)

    async def set(self, ieee, is_on):
        wanted = "ON" if is_on else "OFF"
        [result] = await self.tool("devices.set", {"targets": [ieee], "set": {"state": wanted}}, "results")
        assert result["ok"] and result["state"]["state"] == wanted, result

    async def stop(self):
        for name in ("socket", "http"):  # what a hub that did not start never had
            if hasattr(self, name):
                await getattr(self, name).close()
        if hasattr(self, "process"):
            self.process.stop()


class Zigbee2MqttHost:
    """Zigbee2MQTT: `set` at the broker, until the state is published."""

    name = "zigbee2mqtt"

    async def start(self, options, folder, stick):
        self.broker = Broker(folder).start()
        self.process = Zigbee2Mqtt(options, self.broker, stick, Path(folder) / "z2m")
        config = self.process.folder / "configuration.yaml"
        config.write_text(config.read_text().replace("log_level: debug", "log_level: warning"))
        await asyncio.to_thread(self.started)

    def started(self):
        process = self.process
        # Its log does not say so at this level.
        process.starts = lambda: sum(1 for topic, _ in process.heard if topic == "bridge/definitions")
        process.start()
        time.sleep(1)

    async def take_in(self, ieee):
        def wait():
            since = len(self.process.heard)
            self.process.ask("permit_join", {"time": PERMIT_S})
            done = lambda row: row["type"] == "device_interview" and row["data"]["ieee_address"] == ieee and row["data"]["status"] == "successful"  # noqa: E731
            self.process.wait("bridge/event", done, since, JOIN_S)
            return time.monotonic()

        return await asyncio.to_thread(wait)

    async def take_in_all(self, count):
        def wait():
            until = time.monotonic() + JOIN_LOAD_S
            while time.monotonic() < until:
                self.process.ask("permit_join", {"time": PERMIT_S}, 60)
                rows = [payload for topic, payload in self.process.heard if topic == "bridge/devices"]
                done = [row for row in json.loads(rows[-1]) if row.get("interview_state") == "SUCCESSFUL"]
                if len(done) > count:  # the coordinator is one
                    return
                time.sleep(2)
            raise AssertionError("not all have come in")

        await asyncio.to_thread(wait)

    async def set(self, ieee, is_on):
        wanted = "ON" if is_on else "OFF"
        await asyncio.to_thread(self.process.set, ieee, {"state": wanted}, lambda s: s.get("state") == wanted)

    async def stop(self):
        await asyncio.to_thread(self.process.stop)
        self.process.kill()
        self.broker.kill()


class ZigpyHost:
    """zigpy-znp, within this process."""

    name = "zigpy"
    process = None

    async def start(self, _options, _folder, stick):
        self.app = await zigpy_app(stick)
        await self.app.form_network()
        await self.app.start_network()

    async def take_in(self, ieee):
        await self.app.permit(PERMIT_S)
        address = zigpy.types.EUI64.convert(ieee.removeprefix("0x"))
        until = time.monotonic() + JOIN_S
        while not (address in self.app.devices and self.app.devices[address].is_initialized):
            assert time.monotonic() < until, "it has not come in"
            await asyncio.sleep(0.001)
        return time.monotonic()

    async def set(self, ieee, is_on):
        device = self.app.devices[zigpy.types.EUI64.convert(ieee.removeprefix("0x"))]
        cluster = device.endpoints[1].on_off
        answer = await (cluster.on() if is_on else cluster.off())
        assert answer.status == 0, answer

    async def stop(self):
        await self.app.disconnect()


def find(part, accept):
    """The first object within JSON that is accepted."""
    if isinstance(part, dict) and accept(part):
        return part
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
    return next((found for found in (find(each, accept) for each in inner) if found), None)


def pss_mb(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("\nPss:")[1].split()[0]) / 1024


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def measure(host, options):
    """The figures of one host."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        stick = Timed(options.hub_of_stick, folder, "--devices", "bulb", "--latency-ms", str(options.latency_ms)).start()
        try:
            await host.start(options, folder, stick)
            ieee = stick.ieee("bulb")
            interviewed = await host.take_in(ieee)
            figures["interview_ms"] = 1e3 * (interviewed - stick.joined["bulb"])
            await asyncio.sleep(SETTLE_S)  # what is bound and configured behind the interview
            times = []
            for round_ in range(options.commands):
                began = time.monotonic()
                await host.set(ieee, round_ % 2 == 0)
                times.append(1e3 * (time.monotonic() - began))
                assert stick.truth("bulb")["on"] == (round_ + 1) % 2, "it says that it is done, and it is not"
                await asyncio.sleep(PAUSE_S)
            figures["p50_ms"], figures["p95_ms"] = statistics.median(times), statistics.quantiles(times, n=20)[-1]
            figures["violations"] = int(stick.figures("status")["violations"])
        finally:
            await host.stop()
            stick.kill()
    return figures


async def load(host, options):
    """What a house costs whose devices all report every ten seconds."""
    with tempfile.TemporaryDirectory() as folder:
        stick = Timed(options.hub_of_stick, folder, "--devices", f"plug*{options.devices}", "--latency-ms", str(options.latency_ms)).start()
        try:
            await host.start(options, folder, stick)
            await host.take_in_all(options.devices)
            stick.order(f"chatter {EVERY_S}")
            await asyncio.sleep(SETTLE_S)
            pid = host.process.process.pid
            began, cpu = time.monotonic(), cpu_s(pid)
            await asyncio.sleep(LOAD_S)
            return {"cpu_percent": 100 * (cpu_s(pid) - cpu) / (time.monotonic() - began), "pss_mb": pss_mb(pid)}
        finally:
            await host.stop()
            stick.kill()


HOSTS = [HearthHost, Zigbee2MqttHost, ZigpyHost]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hub", required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--zigbee2mqtt", required=True)
    parser.add_argument("--stick", help="the program whose `simulate` is the stick (default: the hub)")
    parser.add_argument("--only", default=",".join(host.name for host in HOSTS))
    parser.add_argument("--commands", type=int, default=200)
    parser.add_argument("--latency-ms", type=float, default=5.0)
    parser.add_argument("--devices", type=int, default=0, help="of the house that chatters; 0 leaves it out")
    options = parser.parse_args()
    options.hub_of_stick = options.stick or options.hub
    print(f"A hop takes {options.latency_ms} ms; {options.commands} commands; the air alone takes {2 * options.latency_ms} ms of each.")
    for host in HOSTS:
        if host.name not in options.only.split(","):
            continue
        figures = asyncio.run(measure(host(), options))
        if options.devices and host is not ZigpyHost:
            figures |= asyncio.run(load(host(), options))
        print(f"{host.name:12} " + "  ".join(f"{name} {value:.2f}" for name, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
