#!/usr/bin/env python3
"""Calls a tool of a Hearth hub, or hears of its changes: `pip install websockets`, then

    python tools_and_events.py tools.list                        calls a tool and prints its result
    python tools_and_events.py settings.get '{"key": "a.b"}'     the same with arguments
    python tools_and_events.py --watch settings conversations    prints what is there, then every change
    python tools_and_events.py --watch devices rooms             the same of the house: what a device reports, as it comes
    python tools_and_events.py devices.set '{"targets": ["kitchen lamp"], "set": {"state": "ON"}}'
    python tools_and_events.py --token hth_… users.list          as somebody, where the hub asks who it is

Speaks protocol v2, asked for with the subprotocol: no `hello` is needed. Ctrl-C leaves, and a call that runs is stopped.
"""

import argparse
import json
import sys

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

URL = "ws://127.0.0.1:8000/ws/chat"


def frames(socket, request_id):
    """The hub's messages about one request, as they come."""
    for frame in socket:
        message = json.loads(frame)
        if message["request_id"] == request_id:
            yield message


def call(socket, name, arguments):
    """Calls a tool, tells of its steps, and gives back its result."""
    payload = {"name": name, "arguments": arguments}
    socket.send(json.dumps({"action": "tool", "request_id": "call-1", "payload": payload}))
    for message in frames(socket, "call-1"):
        if message["status"] == "chunk":
            step = message["chunk"]["metadata"]["progress"]
            print(f"{step['done']:g} of {step.get('total', '?')} {step.get('message', '')}", file=sys.stderr)
        elif message["status"] == "complete":
            return message["chunk"]["metadata"]["result"]
        elif message["status"] == "error":
            sys.exit(f"[{message['error']['code']}] {message['error']['message']}")
    raise ConnectionError("it closed the connection")


def watch(socket, topics):
    """Prints a line for each thing that is there, and for each that changes."""
    payload = {"topics": topics, "snapshot": True}
    socket.send(json.dumps({"action": "subscribe", "request_id": "watch-1", "payload": payload}))
    known = {}
    for message in frames(socket, "watch-1"):
        if message["status"] == "error":
            sys.exit(f"[{message['error']['code']}] {message['error']['message']}")
        event = message.get("event", {})
        if event.get("reread"):
            print(f"{event['topic']}: read it again", flush=True)
        elif event:
            what = "is gone" if event["deleted"] else json.dumps(put_over(known, event))
            print(f"{event['topic']} {event['kind']} {event['key']}: {what}", flush=True)


def put_over(known, event):
    """What is news: the record, or of a device that is known its changes, which are put over what is known of it."""
    key, changes = (event["kind"], event["key"]), event.get("changes")
    if "record" in event:
        known[key] = event["record"]
        return event["record"]
    if changes is not None and key in known:
        state = {**known[key]["state"], **changes.pop("state", {})}
        known[key] = {**known[key], **changes, "state": state}
        return {"name": known[key]["name"], "available": known[key]["available"], "state": state}
    return changes


def main(options):
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    with connect(options.url, subprotocols=["hearth.v2"], additional_headers=headers) as socket:
        if options.watch:
            return watch(socket, options.watch)
        result = call(socket, options.tool, json.loads(options.arguments))
        texts = [block["text"] for block in result["content"] if block["type"] == "text"]
        print(json.dumps(result["structured"], indent=2) if "structured" in result else "\n".join(texts))
        sys.exit(1 if result["is_error"] else 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Calls a tool of a Hearth hub, or hears of its changes.")
    parser.add_argument("tool", nargs="?", default="tools.list", help="its name (default: tools.list)")
    parser.add_argument("arguments", nargs="?", default="{}", help="a JSON object (default: {})")
    parser.add_argument("--watch", metavar="TOPIC", nargs="+", help="hear of these topics instead")
    parser.add_argument("--token", help="who asks")
    parser.add_argument("--url", default=URL)
    try:
        main(parser.parse_args())
    except KeyboardInterrupt:
        print()
    except (OSError, WebSocketException) as error:
        sys.exit(f"The hub cannot be reached: {error}")
