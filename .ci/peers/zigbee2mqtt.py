"""Checks of the hub in front of a real Zigbee2MQTT, whose stick and devices are simulated. Run by `zigbee2mqtt`, which installs it.

The hub is asked by its REST door. What it says is compared with what Zigbee2MQTT publishes, and with how the simulated devices
really are: a command that it calls done must have been done.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path

from processes import STOP_S, CannotStart, Child, free_port, spawn, wait_for_http
from zigbee import KNOWN, Broker, Stick, Zigbee2Mqtt, wait_for

JOIN_S = 180
CALL_S = 60
BACK_S = 40  # Zigbee2MQTT starts its stick anew
REPORT_S = 45  # the least time between two reports, and a sleeper's window
TOGGLES = 100
# Zigbee2MQTT's own properties beside those that it exposes.
NO_STATE = {"action", "update", "update_available"}


class Hub(Child):
    """`hearth serve` with Zigbee2MQTT as its source of devices."""

    def __init__(self, binary, folder, broker):
        self.port = free_port()
        self.log = folder / "hub.log"
        config = folder / "hub.yaml"
        config.write_text(
            f"gateway: {{ host: 127.0.0.1, port: {self.port} }}\n"
            "providers: { active: assistant, fallback: [] }\n"
            "zigbee: { backend: zigbee2mqtt }\n"
            f'mqtt: {{ url: "mqtt://127.0.0.1:{broker.port}" }}\n'
            f'store: {{ path: "{folder}/hearth.redb" }}\n'
        )
        self.argv = [str(binary), "serve", "--config", str(config)]

    def start(self):
        self.process = spawn(self.argv, self.log, {})
        wait_for_http(f"http://127.0.0.1:{self.port}/healthz", self.process, self.log)
        return self

    def call(self, tool, **arguments):
        """What a tool says, also where it says that it failed."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/tools/{tool}", json.dumps(arguments).encode(), {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=CALL_S) as answer:
                return json.load(answer)["structured"]
        except urllib.error.HTTPError as error:
            return {"error": json.load(error)}

    def devices(self):
        return {row["id"]: row for row in self.call("devices.list", detail=True, limit=200)["devices"]}

    def radio(self):
        return self.call("network.status")["radios"][0]

    def set(self, device, **values):
        (result,) = self.call("devices.set", targets=[device], set=values)["results"]
        return result


class World:
    """One house; the checks are done on it in their order."""

    def __init__(self, options, folder):
        self.broker = Broker(folder).start()
        self.stick = Stick(options.hub, folder, "--nv", str(folder / "nv.json")).start()
        self.z2m = Zigbee2Mqtt(options, self.broker, self.stick, folder / "z2m")
        self.hub = Hub(options.hub, folder, self.broker).start()
        self.ids = {name: self.stick.ieee(name) for name in KNOWN}

    def close(self):
        for child in (self.hub, self.z2m, self.stick, self.broker):
            child.kill()

    def done(self, device, values, **truth):
        """Sets, and holds the hub to its word: done, and so in truth."""
        result = self.hub.set(self.ids[device], **values)
        assert result["ok"], result
        real = self.stick.truth(device)
        for name, value in truth.items():
            assert abs(real[name] - value) <= 1, f"{device} is {real}, and the hub said {result}"
        return result

    def not_done(self, device, values, code):
        result = self.hub.set(self.ids[device], **values)
        assert not result["ok"] and result["error"]["code"] == code, result


def absent(world):
    """Without Zigbee2MQTT the hub says what is missing, and nothing is done"""
    wait_for(lambda: world.hub.radio()["status"] == "down")
    assert "zigbee2mqtt" in world.hub.radio()["why"], world.hub.radio()
    world.z2m.start()
    wait_for(lambda: world.hub.radio()["status"] == "up")


def pairs(world):
    """Devices come in through the hub"""
    world.hub.call("pairing.start", seconds=254)
    wait_for(lambda: {i for i, row in world.hub.devices().items() if row["interviewed"]} == set(world.ids.values()), JOIN_S)
    for name, ieee in world.ids.items():
        row = world.hub.devices()[ieee]
        assert KNOWN[name] is None or (row["vendor"], row["model"]) == KNOWN[name], row
    for name in ("bulb", "plug", "climate"):
        world.z2m.wait_for_log(f"Successfully configured '{world.ids[name]}'", JOIN_S)
    world.hub.call("pairing.stop")
    wait_for(lambda: world.hub.radio()["pairing_seconds_left"] == 0)


def same(world):
    """Names, properties and states are those of Zigbee2MQTT"""
    listed = {row["ieee_address"]: row for row in json.loads([p for t, p in world.z2m.heard if t == "bridge/devices"][-1])}
    count = 0
    for ieee, row in world.hub.devices().items():
        theirs = listed[ieee]
        exposed = set(properties(theirs["definition"]["exposes"]))
        ours = {capability["property"] for capability in row["capabilities"]}
        assert ours == exposed, f"{row['name']}: {ours ^ exposed}"
        count += len(ours)
        said = [payload for topic, payload in world.z2m.heard if topic == theirs["friendly_name"] and payload]
        state = {k: v for k, v in json.loads(said[-1]).items() if v is not None and k not in NO_STATE} if said else {}
        assert {k: row["state"].get(k) for k in state} == state, f"{row['name']}: {row['state']} and not {state}"
    return f"{count} properties"


def properties(exposes):
    for item in exposes:
        if item["type"] in ("light", "switch", "cover", "climate", "lock", "fan"):
            yield from properties(item["features"])
        else:
            yield item["property"]


def controls(world):
    """What the hub calls done, the devices have done"""
    world.done("bulb", {"state": "ON"}, on=1)
    world.done("bulb", {"state": "ON"}, on=1)
    world.done("bulb", {"brightness": 100}, level=100)
    world.done("bulb", {"color_temp": 300}, mireds=300)
    world.done("bulb", {"state": "OFF"}, on=0)
    world.done("bulb", {"state": "TOGGLE"}, on=1)
    world.done("plug", {"state": "ON"}, on=1)
    world.done("tuya", {"state": "ON"}, dp1=1)
    world.done("cover", {"position": 40})
    wait_for(lambda: abs(world.stick.truth("cover")["closed_percent"] - 60) <= 1)
    both = world.hub.call("devices.set", targets=[world.ids["bulb"], world.ids["plug"]], set={"state": "OFF"})["results"]
    assert all(row["ok"] for row in both), both
    assert not world.stick.truth("bulb")["on"] and not world.stick.truth("plug")["on"]


def reports(world):
    """What happens at the devices arrives"""
    world.stick.order("switch plug on")
    plug = world.ids["plug"]
    wait_for(lambda: world.hub.devices()[plug]["state"]["state"] == "ON")
    world.stick.order("temperature climate 23.5")
    world.stick.order("open contact")
    wait_for(lambda: world.hub.devices()[world.ids["contact"]]["state"].get("contact") is False)
    wait_for(lambda: world.hub.devices()[world.ids["climate"]]["state"].get("temperature") == 23.5, REPORT_S)
    read = world.hub.call("devices.read", device=plug, properties=["state", "power"])
    assert read["state"]["state"] == "ON" and "power" in read["state"], read


def refusals(world):
    """A device that refuses, lies or does not answer has not done it"""
    world.done("bulb", {"state": "ON"}, on=1)
    for fault in ("rejects", "lies"):
        world.stick.order(f"fault bulb {fault}")
        world.not_done("bulb", {"state": "OFF"}, "device_rejected")
        world.not_done("bulb", {"brightness": 20}, "device_rejected")
        world.stick.order("fault bulb none")
    world.stick.order("fault plug noack")
    world.not_done("plug", {"state": "OFF"}, "device_unreachable")
    world.stick.order("fault plug none")
    world.done("plug", {"state": "OFF"}, on=0)


def keeps(world):
    """A name given at the hub is Zigbee2MQTT's, and one given there the hub's; map and backup; a device sent away"""
    bulb, plug = world.ids["bulb"], world.ids["plug"]
    since = len(world.z2m.heard)
    world.hub.call("devices.rename", device=bulb, name="hall lamp")
    world.z2m.wait("bridge/devices", lambda rows: any(row["friendly_name"] == "hall lamp" for row in rows), since)
    world.done("bulb", {"state": "OFF"}, on=0)
    world.z2m.ask("device/rename", {"from": plug, "to": "kitchen/kettle"})
    wait_for(lambda: world.hub.devices()[plug]["name"] == "kitchen/kettle")
    world.done("plug", {"state": "ON"}, on=1)
    assert bulb in json.dumps(world.hub.call("network.map")), "the map has no lamp"
    backup = json.dumps(world.hub.call("network.backup"))
    assert "open-coordinator-backup" in backup, backup[:300]
    world.hub.call("devices.remove", device=world.ids["unknown"])
    wait_for(lambda: world.ids["unknown"] not in world.hub.devices())
    assert "unpaired" in world.stick.order("show unknown")


def broker_lost(world):
    """The broker goes and comes back: said at once, nothing done meanwhile, and all as before"""
    world.broker.kill()
    wait_for(lambda: world.hub.radio()["status"] == "down")
    on = world.stick.truth("bulb")["on"]
    world.not_done("bulb", {"state": "OFF" if on else "ON"}, "radio_down")
    world.broker.start()
    wait_for(lambda: world.hub.radio()["status"] == "up", BACK_S)
    time.sleep(1)
    assert world.stick.truth("bulb")["on"] == on, "what had failed was done after all"
    world.done("bulb", {"state": "OFF" if on else "ON"}, on=1 - on)


def zigbee2mqtt_lost(world):
    """Zigbee2MQTT is killed and comes back"""
    world.z2m.process.kill()
    world.z2m.process.wait(STOP_S)
    wait_for(lambda: world.hub.radio()["status"] == "down")
    world.not_done("bulb", {"state": "ON"}, "radio_down")
    world.z2m.start()
    wait_for(lambda: world.hub.radio()["status"] == "up", BACK_S)
    world.done("bulb", {"state": "ON"}, on=1)


def quick(world):
    """How long a command takes until it is confirmed"""
    took = [world.done("bulb", {"state": ("OFF", "ON")[n % 2]}, on=n % 2)["ms"] for n in range(TOGGLES)]
    return f"p50 {statistics.median(took):.0f} ms, the slowest {max(took)} ms"


def ends(world):
    """The hub ends as it should"""
    world.hub.process.terminate()
    assert world.hub.process.wait(STOP_S) == 0


CHECKS = [absent, pairs, same, controls, reports, refusals, keeps, broker_lost, zigbee2mqtt_lost, quick, ends]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hub", required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--zigbee2mqtt", required=True)
    parser.add_argument("checks", nargs="*", choices=[[], *[check.__name__ for check in CHECKS]])
    options = parser.parse_args()
    last = max((i for i, check in enumerate(CHECKS) if check.__name__ in options.checks), default=len(CHECKS) - 1)
    passed = failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = None
        try:
            world = World(options, folder)
            for check in CHECKS[: last + 1]:
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
                world.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
