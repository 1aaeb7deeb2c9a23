#!/usr/bin/env python3
"""Talks with a Hearth hub from the terminal: `pip install websockets`, then

    python websocket_client.py [ws://127.0.0.1:8000/ws/chat]

Speaks protocol v1: ask with `chat`, print each `chunk` as it comes, stop at `complete` or `error`.
Earlier turns on the same connection are the model's context. Ctrl-C or Ctrl-D leaves, and the hub then stops answering.
"""

import json
import sys

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

URL = "ws://127.0.0.1:8000/ws/chat"


def ask(socket, request_id, text):
    """Asks one question and prints the answer while it streams in."""
    request = {"action": "chat", "payload": {"text": text}, "request_id": request_id}
    socket.send(json.dumps(request))
    for frame in socket:
        message = json.loads(frame)
        if message["request_id"] != request_id:
            continue  # the hub's welcome
        if message["status"] == "chunk" and message["chunk"]["type"] == "text":
            print(message["chunk"]["data"], end="", flush=True)
        elif message["status"] == "complete":
            print()
            return
        elif message["status"] == "error":
            error = message["error"]
            print(f"\n[{error['code']}] {error['message']}", file=sys.stderr)
            return
    raise ConnectionError("it closed the connection")


def main(url):
    with connect(url) as socket:
        count = 0
        while text := input("> "):
            count += 1
            ask(socket, f"chat-{count}", text)


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else URL)
    except (KeyboardInterrupt, EOFError):
        print()
    except (OSError, WebSocketException) as error:
        sys.exit(f"The hub cannot be reached: {error}")
