"""What the official `ollama` package makes of a server: four requests, and one JSON document about their answers.

    ollama_sdk.py http://127.0.0.1:PORT
"""

import json
import sys

import ollama


def main(host):
    client = ollama.Client(host=host, timeout=20)
    question = {"model": "m", "messages": [{"role": "user", "content": "Say hello"}]}
    text, thinking, calls, pieces = "", "", [], 0
    for part in client.chat(stream=True, think=True, **question):
        pieces += 1
        text += part.message.content or ""
        thinking += part.message.thinking or ""
        calls += [
            {"name": call.function.name, "arguments": dict(call.function.arguments)}
            for call in part.message.tool_calls or []
        ]
    print(
        json.dumps(
            {
                "text": text,
                "thinking": thinking,
                "tool_calls": calls,
                "pieces": pieces,
                "model": part.model,
                "done_reason": part.done_reason,
                "prompt_eval_count": part.prompt_eval_count,
                "eval_count": part.eval_count,
                "broken": broken(client, question),
                "refused": refused(client, question),
                "models": [row.model for row in client.list().models],
            }
        )
    )


def broken(client, question):
    text = ""
    try:
        for part in client.chat(stream=True, **question):
            text += part.message.content or ""
    except ollama.ResponseError as error:
        return {"text": text, "error": error.error}


def refused(client, question):
    try:
        list(client.chat(stream=True, **question))
    except ollama.ResponseError as error:
        return {"status": error.status_code, "error": error.error}


main(sys.argv[1])
