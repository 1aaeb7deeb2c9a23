"""Asks an Anthropic-compatible server with the official library, streaming, and prints what it made of the answer.

    anthropic_sdk.py BASE_URL       without /v1

One JSON object: text, thinking, signatures, redacted, citations, tool_calls, server_tools, found, stop_reason, usage,
model; where an error came, `error` and what came before it.
"""

import json
import sys

import anthropic

COUNTS = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"]


def main(base_url):
    client = anthropic.Anthropic(base_url=base_url, api_key="oracle", max_retries=0, timeout=30)
    question = [{"role": "user", "content": "Say something."}]
    text = ""
    try:
        with client.messages.stream(model="claude-haiku-4-5", max_tokens=100, messages=question) as stream:
            for event in stream:
                if event.type == "text":
                    text += event.text
            message = stream.get_final_message()
    except anthropic.APIStatusError as error:
        print(json.dumps({"text": text, "error": complaint(error)}))
        return
    read = told(message)
    assert read["text"] == text, "what was streamed is what was put together"
    print(json.dumps(read))


def complaint(error):
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error", {})
    return {
        "status": error.status_code,
        "type": inner.get("type"),
        "message": inner.get("message"),
        "request_id": body.get("request_id"),
    }


def told(message):
    def of(kind):
        return [block for block in message.content if block.type == kind]

    citations = [citation for block in of("text") for citation in block.citations or []]
    found = [result for block in of("web_search_tool_result") for result in block.content]
    return {
        "model": message.model,
        "text": "".join(block.text for block in of("text")),
        "thinking": "".join(block.thinking for block in of("thinking")),
        "signatures": [block.signature for block in of("thinking")],
        "redacted": [block.data for block in of("redacted_thinking")],
        "citations": [citation.to_dict() for citation in citations],
        "tool_calls": [{"id": block.id, "name": block.name, "input": block.input} for block in of("tool_use")],
        "server_tools": [{"name": block.name, "input": block.input} for block in of("server_tool_use")],
        "found": [result.url for result in found],
        "stop_reason": message.stop_reason,
        "usage": {name: getattr(message.usage, name) for name in COUNTS},
    }


if __name__ == "__main__":
    main(sys.argv[1])
