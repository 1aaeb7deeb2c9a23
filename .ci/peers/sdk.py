"""Checks of the hub's OpenAI-compatible door with the official `openai` library and with `llm`, a chat program. Run by `sdk`,
which installs what this needs.

Behind the hub stands a small provider of this file's own, whose answers depend on the last words it was told, so that what a
client gets shows what was asked.
"""

import argparse
import asyncio
import contextlib
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import openai
from pydantic import BaseModel

import checks
from processes import Hub

CLIENT_S = 20
LEFT_S = 2.0  # from a client's leaving to the provider's knowing
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Provider(http.server.ThreadingHTTPServer):
    """Speaks Chat Completions. `left` is set when a client goes before its answer is whole."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked, self.left = [], threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked)
        last = asked["messages"][-1]
        words = last["content"] if isinstance(last["content"], str) else json.dumps(last["content"])
        if "FAIL" in words:
            return self.refuse(int(words.rsplit(" ", 1)[1]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            self.answer(asked, last, words)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True
            self.server.left.set()

    def answer(self, asked, last, words):
        if asked.get("tools") and last["role"] != "tool":
            call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
            self.event({"tool_calls": [call]})
            for piece in ('{"city":', '"Bern"}'):
                self.event({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
            return self.end("tool_calls")
        if "response_format" in asked:
            words = json.dumps({"name": "Ada", "born": 1815})
        for word in words.split(" "):
            self.event({"content": word + " "})
        while "FOREVER" in words:
            time.sleep(0.02)
            self.event({"content": "more "})
        if "CUT" in words:
            raise OSError
        self.end("stop")

    def event(self, delta, finish_reason=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        self.data(json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "fake-1", "choices": [choice]}))

    def end(self, reason):
        self.event({}, reason)
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        self.data(json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "fake-1", "choices": [], "usage": usage}))
        self.data("[DONE]")

    def data(self, text):
        event = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def refuse(self, status):
        body = json.dumps({"error": {"message": "as you wished", "type": "test", "code": None}}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class World:
    def __init__(self, provider, hub):
        self.provider, self.hub = provider, hub
        self.base_url = f"http://127.0.0.1:{hub.port}/v1"
        self.client = openai.OpenAI(base_url=self.base_url, api_key="none", timeout=CLIENT_S, max_retries=0)

    def ask(self, text, **more):
        return self.client.chat.completions.create(model="hearth", messages=[{"role": "user", "content": text}], **more)


def whole(world):
    """an answer in one piece, with its usage"""
    answer = world.ask("tell me a joke")
    assert answer.choices[0].message.content.strip() == "tell me a joke", answer
    assert answer.choices[0].finish_reason == "stop" and answer.usage.total_tokens == 18, answer
    assert answer.model == "local/fake-1", answer.model


def streamed(world):
    """an answer in pieces, with its usage at the end"""
    chunks = list(world.ask("one two three", stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.split() == ["one", "two", "three"], text
    assert sum(1 for chunk in chunks if chunk.choices and chunk.choices[0].delta.content) >= 3
    assert chunks[-1].usage.completion_tokens == 7, chunks[-1]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


def conversation(world):
    """system prompt, earlier turns and sampling reach the provider as they were sent"""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello Ada."},
        {"role": "user", "content": "Who am I?"},
    ]
    world.client.chat.completions.create(model="hearth", messages=messages, temperature=0.25, max_tokens=50, stop=["END"], seed=5)
    asked = world.provider.asked[-1]
    assert asked["messages"] == messages, asked
    assert (asked["temperature"], asked["max_tokens"], asked["stop"], asked["seed"]) == (0.25, 50, ["END"], 5), asked


def tools(world):
    """a tool is called, whole and streamed, and its result is read"""
    question = {"role": "user", "content": "How is the weather in Bern?"}
    answer = world.ask(question["content"], tools=[WEATHER], tool_choice="auto", parallel_tool_calls=False)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls" and message.content is None, answer
    assert message.tool_calls[0].function.arguments == '{"city":"Bern"}', message
    assert world.provider.asked[-1]["tools"] == [WEATHER], world.provider.asked[-1]
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
    after = world.client.chat.completions.create(model="hearth", messages=[question, message, result], tools=[WEATHER])
    assert after.choices[0].message.content.strip() == "sunny", after
    with world.client.chat.completions.stream(model="hearth", messages=[question], tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.name == "weather", final


def structured(world):
    """structured output, parsed by the library"""

    class Person(BaseModel):
        name: str
        born: int

    messages = [{"role": "user", "content": "Who wrote the first program?"}]
    parsed = world.client.chat.completions.parse(model="hearth", messages=messages, response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="Ada", born=1815), parsed
    assert world.provider.asked[-1]["response_format"]["type"] == "json_schema", world.provider.asked[-1]


def picture(world):
    """a picture reaches the provider"""
    url = "data:image/png;base64,iVBORw0KGgo="
    content = [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": url}}]
    world.client.chat.completions.create(model="hearth", messages=[{"role": "user", "content": content}])
    parts = world.provider.asked[-1]["messages"][0]["content"]
    assert any(part.get("image_url", {}).get("url") == url for part in parts), parts


def errors(world):
    """each failure is the exception that it should be"""
    for status, kind in [(401, openai.APIStatusError), (429, openai.RateLimitError), (500, openai.InternalServerError)]:
        try:
            world.ask(f"FAIL {status}")
            raise AssertionError(f"{status} raised nothing")
        except kind as error:
            assert error.body["message"], error
    try:
        world.client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "x"}])
        raise AssertionError("an unknown model raised nothing")
    except openai.NotFoundError as error:
        assert "hearth" in str(error), error
    try:
        world.ask("x", n=2)
        raise AssertionError("n=2 raised nothing")
    except openai.BadRequestError as error:
        assert error.param == "n", error


def cut_off(world):
    """half an answer is an error, streamed and whole"""
    for stream in (True, False):
        try:
            answer = world.ask("half an answer CUT", stream=stream)
            said = [chunk for chunk in answer] if stream else answer
            raise AssertionError(f"it was taken for whole: {said}")
        except openai.APIError:
            pass


def leaving(world):
    """a client that leaves stops the provider"""
    world.provider.left.clear()
    stream = world.ask("FOREVER", stream=True)
    next(iter(stream))
    since = time.monotonic()
    stream.close()
    assert world.provider.left.wait(LEFT_S), "the provider still writes"
    return f"{(time.monotonic() - since) * 1000:.0f} ms"


def many(world):
    """thirty at once through the asynchronous client"""

    async def ask():
        client = openai.AsyncOpenAI(base_url=world.base_url, api_key="none", timeout=CLIENT_S, max_retries=0)

        async def one(number):
            messages = [{"role": "user", "content": f"number {number}"}]
            stream = await client.chat.completions.create(model="hearth", messages=messages, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]).strip()

        return await asyncio.gather(*map(one, range(30)))

    assert asyncio.run(ask()) == [f"number {number}" for number in range(30)]


def models(world):
    """the list of models, and one of it"""
    names = [model.id for model in world.client.models.list()]
    assert "hearth" in names and "assistant" in names, names
    assert world.client.models.retrieve("hearth").id == "hearth"
    answer = world.client.chat.completions.create(model="assistant", messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].message.content, answer


def chat_program(world):
    """`llm` asks through the door as it would ask any such server"""
    with tempfile.TemporaryDirectory() as folder:
        row = {"model_id": "hub", "model_name": "hearth", "api_base": world.base_url, "api_key_name": "hub"}
        # JSON is YAML.
        Path(folder, "extra-openai-models.yaml").write_text(json.dumps([row]))
        env = {**os.environ, "LLM_USER_PATH": folder, "LLM_LOAD_PLUGINS": "", "OPENAI_API_KEY": "none"}
        argv = [sys.executable, "-m", "llm", "-m", "hub", "--key", "none", "--no-log", "to be or not"]
        for more in ([], ["--no-stream"]):
            said = subprocess.run(argv + more, env=env, capture_output=True, text=True, timeout=CLIENT_S * 3)
            assert said.returncode == 0 and said.stdout.strip() == "to be or not", (said.stdout, said.stderr)


CHECKS = [whole, streamed, conversation, tools, structured, picture, errors, cut_off, leaving, many, models, chat_program]


@contextlib.contextmanager
def house(options, folder):
    provider = Provider()
    hub = Hub(options.hub, provider.url, folder)
    try:
        hub.start()
        yield World(provider, hub)
    finally:
        hub.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hub", required=True)
    parser.add_argument("checks", nargs="*")
    options = parser.parse_args()
    return checks.run(CHECKS, options.checks, lambda folder: house(options, folder))


if __name__ == "__main__":
    sys.exit(main())
