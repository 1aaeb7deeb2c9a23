"""Clients of a conversation: the hub's WebSocket, and llama.cpp's own HTTP stream to compare with. They assert the shape of
the stream and leave its meaning to the checks.
"""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field

import websockets

ANSWER_S = 60  # 128 tokens take 4 s on one core; four at once on a busy machine take longer
NOTICE_S = 2  # for anything that needs no model


@dataclass
class Answer:
    """One request as its client saw it."""

    request_id: str
    sent_s: float
    messages: list = field(default_factory=list)  # (time, message)

    def chunks(self):
        return [(t, m["chunk"]) for t, m in self.messages if m["status"] == "chunk" and m["chunk"]["type"] == "text"]

    def text(self):
        return "".join(chunk["data"] for _, chunk in self.chunks())

    def ended(self):
        return bool(self.messages) and self.messages[-1][1]["status"] in ("complete", "error")

    def end(self):
        return self.messages[-1][1]

    def metadata(self):
        assert self.end()["status"] == "complete", f"ended with {self.end()}"
        return self.end()["chunk"]["metadata"]

    def error(self):
        assert self.end()["status"] == "error", f"ended with {self.end()}"
        return self.end()["error"]

    def first_token_ms(self):
        return (self.chunks()[0][0] - self.sent_s) * 1000

    def tokens_per_s(self):
        times = [t for t, _ in self.chunks()]
        return (len(times) - 1) / (times[-1] - times[0])


class Client:
    """One socket of the hub. Everything received is kept, by request; v2 sequence numbers are checked on arrival."""

    def __init__(self, socket):
        self.socket = socket
        self.answers = {}
        self.seq = 0
        self.is_v2 = False
        self.broken = None
        self.changed = asyncio.Condition()
        self.reader = asyncio.create_task(self.read())

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, url, v2=False, token=None):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with websockets.connect(url, open_timeout=NOTICE_S, close_timeout=NOTICE_S, proxy=None, additional_headers=headers) as socket:
            welcome = json.loads(await asyncio.wait_for(socket.recv(), NOTICE_S))
            assert welcome["request_id"] == "welcome" and welcome["status"] == "complete", welcome
            assert welcome["chunk"]["metadata"]["server"] == "hearth", welcome
            client = cls(socket)
            try:
                if v2:
                    client.is_v2 = True
                    hello = await client.ask("hello", {"protocol": [2], "client": {"name": "peers", "version": "1"}}, "hello")
                    assert hello.metadata()["protocol"] == 2, hello.end()
                yield client
            finally:
                client.reader.cancel()

    async def read(self):
        try:
            async for frame in self.socket:
                await self.take(time.monotonic(), json.loads(frame))
        except websockets.ConnectionClosed:
            pass
        except Exception as error:  # what is not the protocol ends every wait on this socket with its reason
            self.broken = error
        async with self.changed:
            self.changed.notify_all()

    async def take(self, now, message):
        async with self.changed:
            answer = self.answers[message["request_id"]]
            assert not answer.ended(), f"after its end came {message}"
            if self.is_v2:
                self.seq += 1
                assert message["seq"] == self.seq, f"seq {self.seq} should be next: {message}"
            else:
                assert "seq" not in message, f"seq was not asked for: {message}"
            answer.messages.append((now, message))
            self.changed.notify_all()

    async def send(self, action, payload, request_id):
        answer = self.answers[request_id] = Answer(request_id, time.monotonic())
        await self.socket.send(json.dumps({"action": action, "payload": payload, "request_id": request_id}))
        return answer

    async def until(self, condition, within_s, what):
        def met_or_broken():
            return condition() or self.broken or self.reader.done()

        async with self.changed:
            try:
                await asyncio.wait_for(self.changed.wait_for(met_or_broken), within_s)
            except TimeoutError:
                raise AssertionError(f"not within {within_s} s: {what}") from None
        if self.broken:
            raise self.broken
        assert condition(), f"the socket closed before: {what}"

    async def ask(self, action, payload, request_id, within_s=ANSWER_S):
        answer = await self.send(action, payload, request_id)
        await self.until(answer.ended, within_s, f"the end of {request_id}")
        return answer

    async def chat(self, text, request_id, **payload):
        """A chat that must succeed, as the protocol says it goes: processing, chunks, complete."""
        return told_in_order(await self.ask("chat", {"text": text, **payload}, request_id))

    async def chat_until(self, chunks, text, request_id, **payload):
        """A chat that is under way: so many chunks are there, and more to come."""
        answer = await self.send("chat", {"text": text, **payload}, request_id)
        await self.until(lambda: len(answer.chunks()) >= chunks or answer.ended(), ANSWER_S, f"{chunks} chunks of {request_id}")
        assert not answer.ended(), f"it ended too soon to be stopped: {answer.end()}"
        return answer


def told_in_order(answer):
    """`processing` → `chunk`* → `complete` with nothing repeated, and `index` without a gap where v2 has it."""
    statuses = [m["status"] for _, m in answer.messages]
    assert statuses[0] == "processing", statuses
    assert set(statuses[1:-1]) == {"chunk"}, statuses
    metadata = answer.metadata()
    assert answer.end()["chunk"]["type"] == "metadata" and answer.end()["chunk"]["data"] is None, answer.end()
    indexed = [m["chunk"]["index"] for _, m in answer.messages if "index" in m.get("chunk", {})]
    assert indexed == list(range(len(indexed))), f"index has a gap: {indexed}"
    usage = metadata["usage"]
    assert usage["input_tokens"] > 0 and usage["output_tokens"] > 0, usage
    assert answer.text().strip(), "no text came"
    return answer


async def direct(port, text):
    """The same chat without the hub, as an Answer: what its delay and speed are compared with."""
    body = {"model": "smollm2", "messages": [{"role": "user", "content": text}]}
    body = json.dumps(body | {"stream": True, "stream_options": {"include_usage": True}}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = Answer("direct", time.monotonic())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    async with asyncio.timeout(ANSWER_S):
        async for line in reader:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            for choice in event["choices"]:
                if choice["delta"].get("content"):
                    chunk = {"status": "chunk", "chunk": {"type": "text", "data": choice["delta"]["content"]}}
                    answer.messages.append((time.monotonic(), chunk))
            if event.get("usage"):
                usage = {"input_tokens": event["usage"]["prompt_tokens"], "output_tokens": event["usage"]["completion_tokens"]}
                answer.messages.append((time.monotonic(), {"status": "complete", "chunk": {"metadata": {"usage": usage}}}))
    writer.close()
    return answer
