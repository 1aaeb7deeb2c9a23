"""A speech server made of the official `wyoming` library. Sings 20 ms a letter, at 22050 Hz, a tone for each voice. Prints its
port; with the argument `version` only the library's version, as JSON, null where it is missing."""

import asyncio
import json
import math
import struct
import sys

try:
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.error import Error
    from wyoming.event import async_read_event, async_write_event
    from wyoming.info import Attribution, Describe, Info, TtsProgram, TtsVoice
    from wyoming.tts import Synthesize
    from wyoming.version import __version__
except ImportError:
    __version__ = None

if sys.argv[1:] == ["version"] or __version__ is None:
    print(json.dumps({"wyoming": __version__}))
    sys.exit(0)

RATE = 22050
VOICES = {"low": (440, ["en_US"]), "german": (600, ["de_DE"]), "high": (1000, ["fr"])}
WHOSE = Attribution(name="test", url="https://example.org")


def info():
    voices = [
        TtsVoice(name=name, attribution=WHOSE, installed=True, description=name, version="1", languages=languages)
        for name, (_, languages) in VOICES.items()
    ]
    program = TtsProgram(
        name="singer", attribution=WHOSE, installed=True, description="sings", version="1", voices=voices
    )
    return Info(tts=[program])


async def sing(text, hz, writer):
    count = RATE * len(text) * 20 // 1000
    samples = [int(8192 * math.sin(2 * math.pi * hz * n / RATE)) for n in range(count)]
    audio = struct.pack(f"<{count}h", *samples)
    form = {"rate": RATE, "width": 2, "channels": 1}
    await async_write_event(AudioStart(**form).event(), writer)
    for start in range(0, len(audio), 2048):
        await async_write_event(AudioChunk(audio=audio[start : start + 2048], **form).event(), writer)
    await async_write_event(AudioStop().event(), writer)


async def serve(reader, writer):
    while (event := await async_read_event(reader)) is not None:
        if Describe.is_type(event.type):
            await async_write_event(info().event(), writer)
        elif Synthesize.is_type(event.type):
            wanted = Synthesize.from_event(event)
            name = wanted.voice.name if wanted.voice and wanted.voice.name else "low"
            if name in VOICES:
                await sing(wanted.text, VOICES[name][0], writer)
            else:
                await async_write_event(Error(text=f"no voice {name}").event(), writer)
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
