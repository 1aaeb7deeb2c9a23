"""A CC2531 on the USB port of a virtual machine: QEMU's `usb-redir` on one side, a Zigbee stick's bytes over TCP on the other.

QEMU's own serial adapter always says that it is an FTDI chip, which may be in anything and which no hub takes for a stick. This one
says what a real stick says, so that finding it is part of what is checked. Speaks usbredir 0.7 (usbredirproto.h of the package
libusbredirparser-dev) as far as a CDC-ACM device needs it, with no capability but those in CAPABILITIES.
"""

import asyncio
import collections
import contextlib
import struct

HELLO, CONNECT, DISCONNECT, RESET, INTERFACES, ENDPOINTS = range(6)
SET_CONFIGURATION, GET_CONFIGURATION, CONFIGURATION_STATUS = 6, 7, 8
SET_ALTERNATE, GET_ALTERNATE, ALTERNATE_STATUS = 9, 10, 11
START_INTERRUPT, STOP_INTERRUPT, INTERRUPT_STATUS = 15, 16, 17
CANCEL, CONTROL, BULK = 21, 100, 101
SUCCESS, CANCELLED, STALL = 0, 1, 4

# Connect has the device's version, endpoints have a packet size, ids have 64 bits and lengths 32: QEMU wants the last three for XHCI.
CAPABILITIES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6
HELLO_HEADER = struct.Struct("<III")  # type, length, id: before anybody knows the other's capabilities
HEADER = struct.Struct("<IIQ")
CONTROL_HEADER = struct.Struct("<BBBBHHH")  # endpoint, request, requesttype, status, value, index, length
BULK_HEADER = struct.Struct("<BBHIH")  # endpoint, status, length, stream, upper half of the length
PACKET_BYTES = 64  # of a bulk endpoint at full speed
PACKET_LEN_MAX = 1 << 20

VENDOR, PRODUCT, VERSION = 0x0451, 0x16A8, 0x0009
STRINGS = ["Texas Instruments", "TI CC2531 USB CDC", "0X00124B0000000001"]
NOTIFY_IN, DATA_IN, DATA_OUT = 0x82, 0x84, 0x04

DEVICE = struct.pack("<BBHBBBBHHHBBBB", 18, 1, 0x0200, 2, 0, 0, 64, VENDOR, PRODUCT, VERSION, 1, 2, 3, 1)


def endpoint(address, attributes, size, interval):
    return struct.pack("<BBBBHB", 7, 5, address, attributes, size, interval)


PARTS = (
    struct.pack("<BBBBBBBBB", 9, 4, 0, 0, 1, 2, 2, 1, 0)  # communication, abstract control model
    + bytes([5, 0x24, 0, 0x10, 1, 5, 0x24, 1, 0, 1, 4, 0x24, 2, 2, 5, 0x24, 6, 0, 1])
    + endpoint(NOTIFY_IN, 3, 16, 64)
    + struct.pack("<BBBBBBBBB", 9, 4, 1, 0, 2, 10, 0, 0, 0)  # data
    + endpoint(DATA_IN, 2, PACKET_BYTES, 0)
    + endpoint(DATA_OUT, 2, PACKET_BYTES, 0)
)
CONFIGURATION = struct.pack("<BBHBBBBB", 9, 2, 9 + len(PARTS), 2, 1, 0, 0x80, 25) + PARTS


def string(number):
    text = STRINGS[number - 1].encode("utf-16-le") if number else struct.pack("<H", 0x0409)
    return bytes([len(text) + 2, 3]) + text


def descriptor(kind, number):
    """What the device says of itself, or nothing where it has no such descriptor."""
    if kind == 1:
        return DEVICE
    if kind == 2 and number == 0:
        return CONFIGURATION
    if kind == 3 and number <= len(STRINGS):
        return string(number)
    return None


class UsbStick:
    """Plugged in while `plugged` is entered. `machine` is the path of QEMU's socket, `stick` the TCP address of the radio."""

    def __init__(self, machine, stick):
        self.machine = machine
        self.stick = stick
        self.asked = collections.deque()  # the machine's reads that wait for bytes: (id, length)
        self.held = bytearray()  # bytes of the stick that nobody has asked for yet

    @contextlib.asynccontextmanager
    async def plugged(self):
        from_machine, self.to_machine = await asyncio.open_unix_connection(self.machine)
        from_stick, self.to_stick = await asyncio.open_connection(*self.stick)
        self.asked.clear()
        self.held.clear()
        tasks = [asyncio.create_task(self.serve(from_machine)), asyncio.create_task(self.read(from_stick))]
        try:
            yield self
        finally:
            self.send(DISCONNECT, 0, b"")
            for task in tasks:
                task.cancel()
            for writer in (self.to_machine, self.to_stick):
                writer.close()
            # A task that has failed says so here, and not as a stick that is silent.
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome

    def send(self, kind, number, body):
        self.to_machine.write(HEADER.pack(kind, len(body), number) + body)

    async def serve(self, reader):
        hello, header = b"hearth's stick".ljust(64, b"\0") + struct.pack("<I", CAPABILITIES), HELLO_HEADER
        self.to_machine.write(header.pack(HELLO, len(hello), 0) + hello)
        while True:
            try:
                kind, length, number = header.unpack(await reader.readexactly(header.size))
            except asyncio.IncompleteReadError:
                return  # the machine is off
            header = HEADER
            assert length <= PACKET_LEN_MAX, f"the machine sends {length} bytes at once"
            await self.take(kind, number, await reader.readexactly(length))
            await self.to_machine.drain()

    async def take(self, kind, number, body):
        if kind == HELLO:
            self.introduce()
        elif kind == SET_CONFIGURATION:
            self.send(CONFIGURATION_STATUS, number, bytes([SUCCESS, body[0]]))
        elif kind == GET_CONFIGURATION:
            self.send(CONFIGURATION_STATUS, number, bytes([SUCCESS, 1]))
        elif kind in (SET_ALTERNATE, GET_ALTERNATE):
            self.send(ALTERNATE_STATUS, number, bytes([SUCCESS, body[0], 0]))
        elif kind in (START_INTERRUPT, STOP_INTERRUPT):
            self.send(INTERRUPT_STATUS, number, bytes([SUCCESS, body[0]]))
        elif kind == CANCEL:
            self.cancel(number)
        elif kind == CONTROL:
            self.control(number, body)
        elif kind == BULK:
            await self.bulk(number, body)
        elif kind == RESET:
            self.asked.clear()

    def introduce(self):
        classes = [bytes([0, 1]), bytes([2, 10]), bytes([2, 0]), bytes([1, 0])]  # numbers, classes, subclasses, protocols
        self.send(INTERFACES, 0, struct.pack("<I", 2) + b"".join(row.ljust(32, b"\0") for row in classes))
        kinds, intervals, owners, sizes = [255] * 32, [0] * 32, [0] * 32, [0] * 32
        for address, kind, interval, owner, size in [
            (0x00, 0, 0, 0, 64),
            (0x80, 0, 0, 0, 64),
            (NOTIFY_IN, 3, 64, 0, 16),
            (DATA_IN, 2, 0, 1, PACKET_BYTES),
            (DATA_OUT, 2, 0, 1, PACKET_BYTES),
        ]:
            at = (address & 0x80) >> 3 | address & 0x0F
            kinds[at], intervals[at], owners[at], sizes[at] = kind, interval, owner, size
        self.send(ENDPOINTS, 0, bytes(kinds + intervals + owners) + struct.pack("<32H", *sizes))
        self.send(CONNECT, 0, struct.pack("<BBBBHHH", 1, 2, 0, 0, VENDOR, PRODUCT, VERSION))

    def control(self, number, body):
        address, request, kind, _, value, index, length = CONTROL_HEADER.unpack_from(body)
        answer, status = b"", SUCCESS
        if (kind, request) == (0x80, 6):  # GET_DESCRIPTOR
            found = descriptor(value >> 8, value & 0xFF)
            answer, status = ((found or b"")[:length], STALL if found is None else SUCCESS)
        elif (kind, request) == (0x80, 0):  # GET_STATUS
            answer = bytes(2)
        elif (kind, request) == (0xA1, 0x21):  # GET_LINE_CODING: 115200 8N1
            answer = struct.pack("<IBBB", 115200, 0, 0, 8)[:length]
        elif kind & 0x80:
            status = STALL
        # Whatever is set (line coding, control lines, break) means nothing to a stick on USB.
        sent = len(answer) if kind & 0x80 else length
        self.send(CONTROL, number, CONTROL_HEADER.pack(address, request, kind, status, value, index, sent) + answer)

    async def bulk(self, number, body):
        address, _, length, stream, _ = BULK_HEADER.unpack_from(body)
        if address & 0x80:
            self.asked.append((number, length))
            self.answer()
        else:
            self.to_stick.write(body[BULK_HEADER.size :])
            self.send(BULK, number, BULK_HEADER.pack(address, SUCCESS, length, stream, 0))
            await self.to_stick.drain()

    async def read(self, reader):
        while data := await reader.read(PACKET_BYTES):
            self.held += data
            self.answer()

    def answer(self):
        while self.held and self.asked:
            number, length = self.asked.popleft()
            # A packet that is full would say that there is more to come.
            data = bytes(self.held[: min(length, PACKET_BYTES - 1)])
            del self.held[: len(data)]
            self.send(BULK, number, BULK_HEADER.pack(DATA_IN, SUCCESS, len(data), 0, 0) + data)

    def cancel(self, number):
        waited = [row for row in self.asked if row[0] == number]
        if waited:
            self.asked.remove(waited[0])
            self.send(BULK, number, BULK_HEADER.pack(DATA_IN, CANCELLED, 0, 0, 0))
