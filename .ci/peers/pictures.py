"""The pictures of docs/START.md: the screen and the page of a card in a virtual machine. Run by `pictures`."""

import argparse
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from card import Card
from machine import REPO

BROWSER_S = 600
SETTLE_S = 5
DEVICES = "bulb,plug,climate"


def screen(folder):
    """The screen of the machine as rows of RGB bytes, by the emulator's monitor: width, height, rows."""
    shot = Path(folder) / "screen.ppm"
    shot.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(SETTLE_S)
        monitor.connect(f"{folder}/monitor")
        monitor.sendall(f"screendump {shot}\n".encode())
        until = time.monotonic() + SETTLE_S
        while not (shot.exists() and shot.stat().st_size) and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(1)
    magic, width, height, _, pixels = shot.read_bytes().split(maxsplit=4) if shot.exists() else [b""] * 5
    assert magic == b"P6", "the emulator gives no picture of the screen"
    width, height = int(width), int(height)
    return width, height, [pixels[row * width * 3 : (row + 1) * width * 3] for row in range(height)]


def png(width, height, rows):
    """PNG of 8-bit RGB (W3C PNG, Third Edition): signature, IHDR, IDAT, IEND."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", required=True)
    parser.add_argument("--native-hub", required=True)
    parser.add_argument("--to", required=True)
    options = parser.parse_args()
    Path(options.to).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        card = Card(options, folder)
        machine = card.machine
        try:
            card.radio.start("--devices", DEVICES)
            display = ["-device", "virtio-gpu-pci,xres=1280,yres=720", "-monitor", f"unix:{folder}/monitor,server=on,wait=off"]
            machine.boot(options=display).serving()
            _, code = card.report()
            time.sleep(SETTLE_S)
            (Path(options.to) / "screen.png").write_bytes(png(*screen(folder)))
            card.plug()
            environment = os.environ | {"HUB_URL": machine.url, "CODE": code, "SHOTS": options.to}
            subprocess.run(["node", REPO / ".ci/peers/pictures.mjs"], env=environment, timeout=BROWSER_S, check=True)
        finally:
            card.pull()
            machine.cut()
            card.radio.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
