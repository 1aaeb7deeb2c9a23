"""Checks of the hub against llama.cpp's own server with a small real model. Run by `llm`, which installs what this needs.

What the model says is its own affair and never compared with a text written here; what the hub gave to the model, what
the client got of its answer, and whether the model is still at work, are.
"""

import argparse
import asyncio
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from client import ANSWER_S, NOTICE_S, Client, direct, told_in_order
from processes import LONGEST_TOKENS, STOP_S, CannotStart, Hub, LlamaServer, spawn, tail

CHECK_S = 180
FREED_S = 1.0  # from cancel to an idle slot: one token takes 25 ms, a busy machine ten times that
# Before the first token llama.cpp looks once a second whether its client is still there, and each look at /slots puts
# that off by a second, so this one is not asked more often than that.
UNREAD_LOOK_S = 1.6
ROUNDS = 3
STORY = "Write a very long story about a robot who lives in a lighthouse."
LONG_PROMPT_WORDS = 1000  # some 10 s to read with one thread
TOO_LONG_WORDS = 5000  # over the 2048 tokens of a slot


class World:
    """The processes under check, and fresh names for what the checks send."""

    def __init__(self, server, hub, folder):
        self.server, self.hub, self.folder = server, hub, folder
        self.named = 0

    def name(self, what):
        self.named += 1
        return f"{what}-{self.named}"

    async def busy(self):
        return await asyncio.to_thread(self.server.busy)

    async def freed_ms(self, within_s=FREED_S, every_s=0.02):
        """Milliseconds until no slot works any more."""
        since = time.monotonic()
        while time.monotonic() - since < within_s:
            await asyncio.sleep(every_s)
            if not await self.busy():
                return (time.monotonic() - since) * 1000
        raise AssertionError(f"llama.cpp was still at work {within_s} s after it should have been let go")


async def v1_chat(world):
    """v1: a chat streams token by token, with usage"""
    async with Client.connected(world.hub.url) as client:
        answer = await client.chat(STORY, "a")
        metadata, chunks = answer.metadata(), answer.chunks()
        tokens = metadata["usage"]["output_tokens"]
        assert metadata["provider"] == "local", metadata
        assert len(chunks) >= 0.8 * tokens > 16, f"{len(chunks)} chunks for {tokens} tokens"
        spread = (chunks[-1][0] - chunks[0][0]) / (answer.messages[-1][0] - answer.sent_s)
        assert spread > 0.3, f"the chunks came in one heap: {spread:.0%} of the time is between first and last"
        assert abs(metadata["first_token_ms"] - answer.first_token_ms()) < 250, (metadata, answer.first_token_ms())
        return f"{len(chunks)} chunks, {tokens} tokens, {metadata['finish_reason']}"


async def v1_history(world):
    """v1: the second turn of a connection has the first as its context, word for word"""
    question = "What is the name of my dog?"
    async with Client.connected(world.hub.url) as client:
        alone = (await client.chat(question, "a")).metadata()["usage"]["input_tokens"]
    async with Client.connected(world.hub.url) as client:
        first = await client.chat("My dog is called Barnabas. Say hello to him.", "a")
        second = await client.chat(question, "b")
        prompt = world.server.prompt_with(question)
        assert "called Barnabas" in prompt and as_said(first) in prompt, prompt
        used = second.metadata()["usage"]["input_tokens"]
        assert used >= alone + first.metadata()["usage"]["output_tokens"], f"{used} tokens, {alone} without history"
        return f"{alone} input tokens alone, {used} with the first turn"


async def v2_chat(world):
    """v2: hello and chat; seq and index have no gap; the conversation is named"""
    async with Client.connected(world.hub.url, v2=True) as client:
        named = world.name("talk")
        answer = await client.chat("Say hello.", "a", conversation_id=named)
        assert all("index" in chunk for _, chunk in answer.chunks()), "a chunk has no index"
        begun = answer.messages[0][1]["chunk"]["metadata"]["conversation_id"]
        ended = answer.metadata()["conversation_id"]
        assert begun == ended == named, (begun, ended, named)
        return f"seq to {client.seq}"


async def cancel_streaming(world):
    """cancel in mid-stream: `cancelled` at once, the model stops, and the next chat starts at once"""
    async with Client.connected(world.hub.url, v2=True) as client:
        answer = await client.chat_until(5, STORY, "a", conversation_id=world.name("talk"))
        assert await world.busy() == 1, "the model should be at work"
        since = time.monotonic()
        cancel = await client.ask("cancel", {"target": "a"}, "c1", NOTICE_S)
        assert cancel.metadata()["cancelled"] is True, cancel.end()
        await client.until(answer.ended, NOTICE_S, "the end of what was cancelled")
        assert answer.error()["code"] == "cancelled", answer.end()
        told_ms = (answer.messages[-1][0] - since) * 1000
        freed_ms = await world.freed_ms()
        assert len(answer.chunks()) < LONGEST_TOKENS / 2, "the answer was complete anyway"
        again = await client.ask("cancel", {"target": "a"}, "c2", NOTICE_S)
        assert again.metadata()["cancelled"] is False, again.end()
        after = await client.chat("Say hello.", "b", conversation_id=world.name("talk"))
        return f"told after {told_ms:.0f} ms, slot free after {freed_ms:.0f} ms, next first token in {after.first_token_ms():.0f} ms"


async def cancel_unread(world):
    """cancel before the first token: `cancelled` at once, and the model stops reading the prompt"""
    async with Client.connected(world.hub.url, v2=True) as client:
        text = " ".join(f"sand{n % 7}" for n in range(LONG_PROMPT_WORDS))
        answer = await client.send("chat", {"text": text, "conversation_id": world.name("talk")}, "a")
        await asyncio.sleep(1)
        assert await world.busy() == 1 and not answer.chunks(), f"the model should be reading: {answer.messages}"
        since = time.monotonic()
        await client.send("cancel", {"target": "a"}, "c")
        await client.until(answer.ended, NOTICE_S, "the end of what was cancelled")
        assert answer.error()["code"] == "cancelled", answer.end()
        told_ms = (answer.messages[-1][0] - since) * 1000
        freed_ms = await world.freed_ms(2 * UNREAD_LOOK_S, UNREAD_LOOK_S)
        return f"told after {told_ms:.0f} ms, slot free within {freed_ms:.0f} ms"


async def many_at_once(world):
    """four chats at once on one socket: each is answered, and they run side by side"""
    async with Client.connected(world.hub.url, v2=True) as client:
        asked = {f"r{n}": f"Tell me {n + 2} facts about the number {n + 2}." for n in range(4)}
        answers = await asyncio.gather(*(client.chat(t, r, conversation_id=world.name("talk")) for r, t in asked.items()))
        spans = [(a.chunks()[0][0], a.chunks()[-1][0]) for a in answers]
        beside = max(sum(1 for begin, end in spans if begin <= at <= end) for at, _ in spans)
        assert beside >= 2, f"they ran one after the other: {spans}"
        return f"{sum(len(a.chunks()) for a in answers)} chunks, {beside} streams beside each other"


async def client_leaves(world):
    """a v1 client leaves in mid-stream, with a close and without: the model stops"""
    freed = []
    for leave in ("close", "abort"):
        async with Client.connected(world.hub.url) as client:
            await client.chat_until(5, STORY, "a")
            assert await world.busy() == 1, "the model should be at work"
            if leave == "close":
                await client.socket.close()
            else:
                client.socket.transport.abort()
            freed.append(f"{leave}: slot free after {await world.freed_ms():.0f} ms")
    return ", ".join(freed)


async def survives_restart(world):
    """SIGTERM ends the hub in good order, and a conversation goes on after it"""
    named, question = world.name("talk"), "What did I plant?"
    async with Client.connected(world.hub.url, v2=True) as client:
        first = await client.chat("I have planted a cherry tree. Say hello.", "a", conversation_id=named)
        code = await asyncio.to_thread(world.hub.stop)
        await asyncio.wait_for(client.reader, NOTICE_S)
        assert code == 0, f"exit code {code}"
        assert client.socket.close_code in (1001, 1012), f"close code {client.socket.close_code}"
    await asyncio.to_thread(world.hub.start)
    async with Client.connected(world.hub.url, v2=True) as client:
        second = await client.chat(question, "a", conversation_id=named)
        prompt = world.server.prompt_with(question)
        assert "a cherry tree" in prompt and as_said(first) in prompt, prompt
        return f"{second.metadata()['usage']['input_tokens']} input tokens after the restart"


async def command_line(world):
    """`hearth chat` answers; with --json each line is JSON; Ctrl-C cancels"""
    argv = [world.hub.binary, "chat", "Say hello.", "--url", world.hub.url]
    plain = await asyncio.to_thread(run, argv)
    assert plain.returncode == 0 and plain.stdout.strip(), plain
    told = await asyncio.to_thread(run, [*argv, "--json"])
    assert told.returncode == 0, told
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(lines) > 2 and lines[-1]["status"] == "complete", lines[-1:]

    log = Path(world.folder) / "cli.log"
    chat = spawn([world.hub.binary, "chat", STORY, "--url", world.hub.url], log, {})
    try:
        until = time.monotonic() + ANSWER_S
        while not (log.stat().st_size > 8 and await world.busy()):
            assert time.monotonic() < until and chat.poll() is None, f"no word was printed: {tail(log)}"
            await asyncio.sleep(0.05)
        chat.send_signal(signal.SIGINT)
        freed_ms = await world.freed_ms()
        code = await asyncio.to_thread(chat.wait, STOP_S)
    finally:
        chat.kill()
    return f"{len(lines)} JSON lines; slot free {freed_ms:.0f} ms after Ctrl-C, exit code {code}"


async def in_dialect(world, provider):
    question = "What is the name of my dog?"
    async with Client.connected(world.hub.url, v2=True) as client:
        asked = {"provider": provider, "conversation_id": world.name(provider)}
        first = await client.ask("chat", {"text": "My dog is called Barnabas. Say hello to him.", **asked}, "a")
        metadata = first.metadata()
        assert metadata["provider"] == provider and metadata["usage"]["output_tokens"] > 0, metadata
        assert metadata["finish_reason"] in ("stop", "length") and len(first.chunks()) > 4, metadata
        second = await client.ask("chat", {"text": question, **asked}, "b")
        prompt = await asyncio.to_thread(world.server.prompt_with, question)
        assert "called Barnabas" in prompt and as_said(first) in prompt, prompt
        running = await client.send("chat", {"text": STORY, **asked}, "c")
        await client.until(running.chunks, ANSWER_S, "a first word")
        await client.ask("cancel", {"target": "c"}, "stop")
        await client.until(running.ended, NOTICE_S, "the end of what was stopped")
        assert running.error()["code"] == "cancelled", running.messages[-1:]
        freed_ms = await world.freed_ms()
        return f"{len(first.chunks())} + {len(second.chunks())} chunks, the slot free {freed_ms:.0f} ms after a cancel"


async def anthropic_dialect(world):
    """the same model through the Messages adapter: history, usage, cancel"""
    return await in_dialect(world, "anthropic")


async def responses_dialect(world):
    """the same model through the Responses adapter: history, usage, cancel"""
    return await in_dialect(world, "openai")


async def too_long(world):
    """a text that the model's context cannot hold is `too_large`, and not to be tried again"""
    async with Client.connected(world.hub.url, v2=True) as client:
        text = " ".join(["word"] * TOO_LONG_WORDS)
        answer = await client.ask("chat", {"text": text, "conversation_id": world.name("talk")}, "a")
        assert (answer.error()["code"], answer.error()["retryable"]) == ("too_large", False), answer.end()
        return answer.error()["message"]


async def server_dies(world):
    """the server is killed in mid-stream, stays away, and comes back: each is told for what it is"""
    async with Client.connected(world.hub.url, v2=True) as client:
        cut = await client.chat_until(5, STORY, "a", conversation_id=world.name("talk"))
        world.server.kill()
        try:
            await client.until(cut.ended, NOTICE_S, "the end of a stream that was cut")
            away = await client.ask("chat", {"text": "Hello?", "conversation_id": world.name("talk")}, "b")
        finally:
            await asyncio.to_thread(world.server.start)
        assert (cut.error()["code"], cut.error()["retryable"]) == ("provider_error", True), cut.end()
        assert (away.error()["code"], away.error()["retryable"]) == ("offline", True), away.end()
        back = told_in_order(await client.ask("chat", {"text": "Hello!", "conversation_id": world.name("talk")}, "c"))
        return f"{len(cut.chunks())} chunks before the cut, {len(back.chunks())} after the return"


async def speed(world):
    """through the hub, the words come about as early and as fast as without it"""
    asked = "Tell me about the weather on day {} of a long journey over the sea."
    seen = {"direct": [], "hub": []}
    for n in range(ROUNDS):
        seen["direct"].append(await direct(world.server.port, asked.format(n)))
        async with Client.connected(world.hub.url) as client:
            seen["hub"].append(await client.chat(asked.format(n), "a"))
    figures = {}
    for how, answers in seen.items():
        first_ms = statistics.median(a.first_token_ms() for a in answers)
        rate = statistics.median(a.tokens_per_s() for a in answers)
        tokens = statistics.median(a.metadata()["usage"]["input_tokens"] for a in answers)
        figures[how] = (first_ms, rate)
        print(f"     {how:6}: first token {first_ms:6.1f} ms for {tokens:.0f} input tokens, then {rate:5.1f} chunks/s")
    # A guard against a stream that is held back somewhere, not a measurement: benches/ has those.
    assert figures["hub"][1] > 0.5 * figures["direct"][1], figures
    return f"medians of {ROUNDS}"


def as_said(answer):
    """How this model's template writes an answer down that it gave earlier."""
    return f"<|im_start|>assistant\n{answer.text()}<|im_end|>"


CHECKS = [
    v1_chat,
    v1_history,
    v2_chat,
    cancel_streaming,
    cancel_unread,
    many_at_once,
    client_leaves,
    survives_restart,
    command_line,
    anthropic_dialect,
    responses_dialect,
    too_long,
    server_dies,
    speed,
]


def run(argv):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_S)


async def passes(check, world):
    try:
        said = await asyncio.wait_for(check(world), CHECK_S)
        print(f"ok   {check.__doc__} ({said})", flush=True)
        return True
    except Exception as error:
        print(f"FAIL {check.__doc__}", flush=True)
        traceback.print_exception(error, limit=-3, file=sys.stdout)
        print(f"--- the hub said:\n{tail(world.hub.log)}\n--- llama.cpp said:\n{tail(world.server.log, 8)}", flush=True)
        return False
    finally:
        await settled(world)


async def settled(world):
    """No check begins while the model is still at work for the one before, or with a process missing."""
    for process in (world.server, world.hub):
        if process.process.poll() is not None:
            await asyncio.to_thread(process.start)
    until = time.monotonic() + ANSWER_S
    while time.monotonic() < until and await world.busy():
        await asyncio.sleep(UNREAD_LOOK_S)


async def run_all(world, checks):
    results = [await passes(check, world) for check in checks]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return all(results)


def probe(server):
    """Whether this server runs on this machine: it loads the model and says a word."""
    try:
        server.start()
        return bool(asyncio.run(direct(server.port, "Say hello.")).text())
    except (CannotStart, OSError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--hub")
    parser.add_argument("--probe", action="store_true", help="only see whether the server runs here")
    parser.add_argument("checks", nargs="*", help="names of checks; all without one")
    args = parser.parse_args()
    unknown = set(args.checks) - {check.__name__ for check in CHECKS}
    if unknown:
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="hearth-peers-") as folder:
        server = LlamaServer(args.server, args.model, folder)
        hub = Hub(args.hub, server.url, folder)
        try:
            if args.probe:
                return 0 if probe(server) else 1
            server.start()
            hub.start()
            checks = [check for check in CHECKS if not args.checks or check.__name__ in args.checks]
            return 0 if asyncio.run(run_all(World(server, hub, folder), checks)) else 1
        except CannotStart as error:
            print(f"{error}\n0 passed, 1 failed")
            return 1
        finally:
            hub.kill()
            server.kill()


if __name__ == "__main__":
    sys.exit(main())
