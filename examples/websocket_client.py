#!/usr/bin/env python3
"""Talks with a Hearth hub from the terminal: `pip install websockets`, then

    python websocket_client.py [ws://127.0.0.1:8000/ws/chat]      asks what you type
    python websocket_client.py --speak                            keeps each answer as answer-1.wav, answer-2.wav … as well
    python websocket_client.py --image "a cat by the fire"        has a picture made, keeps it as picture-1.png, and ends

Speaks protocol v1: ask with `chat` (or `image`), take each `chunk` as it comes, stop at `complete` or `error`. Pictures and
sound are base64 in `data`; binary frames are for clients of v2. Earlier turns on the same connection are the model's context.
Ctrl-C or Ctrl-D leaves, and the hub then stops answering.
"""

import argparse
import base64
import json
import mimetypes
import sys
import wave

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

URL = "ws://127.0.0.1:8000/ws/chat"
MESSAGE_BYTES = 64 * 1024 * 1024  # a picture is one message, a third longer than its file


def ask(socket, action, payload, request_id):
    """Asks, and gives back the chunks as they come; ends with the answer."""
    socket.send(json.dumps({"action": action, "payload": payload, "request_id": request_id}))
    for frame in socket:
        message = json.loads(frame)
        if message["request_id"] != request_id:
            continue  # the hub's welcome
        if message["status"] == "chunk":
            yield message["chunk"]
        elif message["status"] == "complete":
            return
        elif message["status"] == "error":
            error = message["error"]
            print(f"\n[{error['code']}] {error['message']}", file=sys.stderr)
            return
    raise ConnectionError("it closed the connection")


def chat(socket, text, count, speak):
    """Prints the answer while it streams in; with `speak`, keeps its sound, which comes sentence by sentence beside it."""
    payload = {"text": text, "voice": {"speak": True, "format": "pcm"}} if speak else {"text": text}
    sound = bytearray()
    for chunk in ask(socket, "chat", payload, f"chat-{count}"):
        if chunk["type"] == "text":
            print(chunk["data"], end="", flush=True)
        elif chunk["type"] == "audio":
            sound += base64.b64decode(chunk["data"])
        elif chunk["type"] == "image":
            save(chunk)
    print()
    if sound:
        name = f"answer-{count}.wav"
        with wave.open(name, "wb") as file:  # `pcm` is 16 bit, 24 kHz, mono
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(24000)
            file.writeframes(sound)
        print(f"({name}: {len(sound) / 48000:.1f} s)")


def save(chunk):
    """Keeps a picture; a preview is replaced by what follows."""
    about = chunk["metadata"]
    name = f"picture-{about['image'] + 1}{mimetypes.guess_extension(about['mime']) or '.bin'}"
    with open(name, "wb") as file:
        file.write(base64.b64decode(chunk["data"]))
    print(f"({name}: {'a preview' if about['partial'] else about['mime']}, {about['bytes']} bytes)")


def main(options):
    with connect(options.url, max_size=MESSAGE_BYTES) as socket:
        if options.image:
            for chunk in ask(socket, "image", {"prompt": options.image, "partial_images": 2}, "image-1"):
                if chunk["type"] == "image":
                    save(chunk)
            return
        count = 0
        while text := input("> "):
            count += 1
            chat(socket, text, count, options.speak)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Talks with a Hearth hub.")
    parser.add_argument("url", nargs="?", default=URL)
    parser.add_argument("--speak", action="store_true", help="keep the sound of each answer")
    parser.add_argument("--image", metavar="PROMPT", help="have a picture made instead")
    try:
        main(parser.parse_args())
    except (KeyboardInterrupt, EOFError):
        print()
    except (OSError, WebSocketException) as error:
        sys.exit(f"The hub cannot be reached: {error}")
