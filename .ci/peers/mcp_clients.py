"""Checks of the hub's `/mcp` with clients that others have written: the official Python client in both eras, over HTTP and
through `hearth mcp --stdio`, FastMCP's, and the inspector's command line. Run by `mcp`, which installs what this needs and
builds the hub with the tools that the checks call (the feature `conformance`).
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time

import anyio
import fastmcp
import mcp
from mcp import types

import checks
import conformance
from processes import Hub

CLIENT_S = 20
CALLS = 300


class World:
    def __init__(self, hub, options):
        self.url = f"http://127.0.0.1:{hub.port}/mcp"
        self.base = f"http://127.0.0.1:{hub.port}"
        self.hub, self.options = hub, options

    def client(self, mode, **more):
        return mcp.Client(self.url, mode=mode, **more)

    def bridge(self):
        words = ["mcp", "--stdio", "--url", self.base]
        return mcp.StdioServerParameters(command=self.hub.binary, args=words)


async def sampled(_context, params):
    text = types.TextContent(type="text", text=f"asked: {params.messages[0].content.text}")
    return types.CreateMessageResult(role="assistant", content=text, model="none")


async def filled_in(_context, _params):
    return types.ElicitResult(action="accept", content={"username": "ann", "email": "ann@example.org", "name": "ann"})


async def use(client, *, subscribes):
    """What any client does with any server."""
    tools = (await client.list_tools()).tools
    names = [tool.name for tool in tools]
    assert names == sorted(names) and "test_simple_text" in names, names
    said = await client.call_tool("test_simple_text", {})
    assert said.content[0].text == "This is a simple text response for testing.", said
    failed = await client.call_tool("test_error_handling", {})
    assert failed.is_error, failed
    steps = []

    async def step(progress, total, message):
        steps.append((progress, total))

    await client.call_tool("test_tool_with_progress", {}, progress_callback=step)
    assert steps == [(0, 100), (50, 100), (100, 100)], steps
    resources = (await client.list_resources()).resources
    assert any(str(resource.uri) == "test://static-text" for resource in resources), resources
    read = await client.read_resource("test://static-text")
    assert read.contents[0].text.startswith("This is the content"), read
    templates = (await client.list_resource_templates()).resource_templates
    assert templates, templates
    prompts = (await client.list_prompts()).prompts
    assert any(prompt.name == "test_simple_prompt" for prompt in prompts), prompts
    got = await client.get_prompt("test_prompt_with_arguments", {"arg1": "one", "arg2": "two"})
    assert "arg1='one'" in got.messages[0].content.text, got
    reference = types.PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
    completed = await client.complete(reference, {"name": "arg1", "value": "par"})
    assert completed.completion.values == ["paris", "park", "party"], completed
    asked = await client.call_tool("test_sampling", {"prompt": "hello"})
    assert asked.content[0].text == "LLM response: asked: hello", asked
    elicited = await client.call_tool("test_elicitation", {"message": "who?"})
    assert "action=accept" in elicited.content[0].text and "ann" in elicited.content[0].text, elicited
    rounds = await client.call_tool("test_input_required_result_elicitation", {})
    assert rounds.content[0].text == "Hello, ann!", rounds
    try:
        await client.read_resource("test://nothing")
        raise AssertionError("a resource that is not there was read")
    except mcp.MCPError as error:
        assert error.error.code in (-32002, -32602), error
    if subscribes:
        await client.subscribe_resource("test://watched-resource")
        await client.unsubscribe_resource("test://watched-resource")
        await client.set_logging_level("debug")
        await client.send_ping()


def both(target, mode, subscribes):
    async def run():
        async with mcp.Client(target, mode=mode, sampling_callback=sampled, elicitation_callback=filled_in) as client:
            await use(client, subscribes=subscribes)
            return f"speaks {client.protocol_version}"

    return asyncio.run(asyncio.wait_for(run(), CLIENT_S))


def python_with_sessions(world):
    """the official Python client, with a session: lists, calls, asks, reads, subscribes"""
    return both(world.url, "legacy", True)


def python_without_sessions(world):
    """the official Python client, without one: the same, with input_required"""
    return both(world.url, "auto", False)


def python_bridge_with_sessions(world):
    """the official Python client through `hearth mcp --stdio`, with a session"""
    return both(world.bridge(), "legacy", True)


def python_bridge_without_sessions(world):
    """the official Python client through `hearth mcp --stdio`, without one"""
    return both(world.bridge(), "auto", False)


def python_news(world):
    """the official Python client hears that the tools have changed, in both eras"""

    async def with_session():
        heard = anyio.Event()

        async def hear(message):
            if "tools/list_changed" in str(getattr(getattr(message, "root", message), "method", "")):
                heard.set()

        async with world.client("legacy", message_handler=hear) as client:
            await client.list_tools()
            await asyncio.sleep(0.5)  # until its stream for news is open
            await client.call_tool("test_trigger_tool_change", {})
            await heard.wait()

    async def without():
        async with world.client("auto") as client:
            async with client.listen(tools_list_changed=True) as news:
                await client.call_tool("test_trigger_tool_change", {})
                async for one in news:
                    return one

    asyncio.run(asyncio.wait_for(with_session(), CLIENT_S))
    asyncio.run(asyncio.wait_for(without(), CLIENT_S))


def python_cancel(world):
    """the official Python client gives a call up and goes on, in both eras"""

    async def run(mode):
        async with world.client(mode) as client:
            try:
                await asyncio.wait_for(client.call_tool("test_reconnection", {}), 0.25)
                raise AssertionError("it was to take longer")
            except (TimeoutError, asyncio.TimeoutError):
                pass
            said = await client.call_tool("test_simple_text", {})
            assert said.content, said

    for mode in ("legacy", "auto"):
        asyncio.run(asyncio.wait_for(run(mode), CLIENT_S))


def fastmcp_client(world):
    """FastMCP's client: lists, calls, progress, sampling, resources, prompts"""

    async def run():
        steps = []

        async def step(progress, total, message):
            steps.append(progress)

        async def sample(messages, params, context):
            return "sampled"

        async with fastmcp.Client(world.url, sampling_handler=sample, timeout=CLIENT_S) as client:
            assert any(tool.name == "test_simple_text" for tool in await client.list_tools())
            await client.call_tool("test_tool_with_progress", {}, progress_handler=step)
            assert steps == [0, 50, 100], steps
            said = await client.call_tool("test_sampling", {"prompt": "x"})
            assert said.content[0].text == "LLM response: sampled", said
            assert (await client.read_resource("test://static-text"))[0].text
            assert await client.list_prompts() and await client.get_prompt("test_simple_prompt")
            return f"speaks {client.protocol_version}"

    return asyncio.run(asyncio.wait_for(run(), CLIENT_S))


def inspector(world):
    """the inspector's command line: tools/list, tools/call, resources/list, prompts/list"""

    def ask(*words):
        argv = [world.options.node, world.options.inspector, "--cli", world.url, "--transport", "http", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=CLIENT_S, env=os.environ, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    assert any(tool["name"] == "test_simple_text" for tool in ask("--method", "tools/list")["tools"])
    said = ask("--method", "tools/call", "--tool-name", "test_simple_text")
    assert said["content"][0]["text"].startswith("This is a simple text"), said
    assert ask("--method", "resources/list")["resources"] and ask("--method", "prompts/list")["prompts"]


def one_call_after_the_other(world):
    """a call takes no 40 ms for want of TCP_NODELAY"""
    import http.client

    wire = http.client.HTTPConnection("127.0.0.1", world.hub.port, timeout=CLIENT_S)
    capabilities = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    call["params"] = {"name": "test_simple_text", "arguments": {}, "_meta": capabilities}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "test_simple_text"}
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        wire.request("POST", "/mcp", json.dumps(call), headers)
        answer = wire.getresponse()
        assert answer.status == 200 and b"simple text" in answer.read()
        took.append(1000 * (time.perf_counter() - began))
    took.sort()
    assert took[CALLS // 2] < 20, took[CALLS // 2]
    return f"median {took[CALLS // 2]:.2f} ms, p99 {took[CALLS * 99 // 100]:.2f} ms of a build for tests"


CHECKS = [
    python_with_sessions,
    python_without_sessions,
    python_bridge_with_sessions,
    python_bridge_without_sessions,
    python_news,
    python_cancel,
    fastmcp_client,
    inspector,
    one_call_after_the_other,
]


@contextlib.contextmanager
def house(options, folder):
    hub = Hub(options.hub, "http://127.0.0.1:1", folder)
    try:
        hub.start()
        yield World(hub, options)
    finally:
        hub.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hub", required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--inspector", required=True)
    parser.add_argument("--conformance", required=True)
    parser.add_argument("--client", required=True)
    parser.add_argument("checks", nargs="*")
    options = parser.parse_args()
    return checks.run(
        CHECKS,
        options.checks,
        lambda folder: house(options, folder),
        lambda world, folder: conformance.suites(options, world.hub, folder),
    )


if __name__ == "__main__":
    sys.exit(main())
