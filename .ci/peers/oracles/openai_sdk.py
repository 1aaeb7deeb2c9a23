"""Asks a server with OpenAI's own Python library and prints, as JSON, what the library made of the answer.

    openai_sdk.py BASE_URL chat|responses|images

Each event of a stream is held to the library's own types, which are stricter than the library itself.
"""

import base64
import hashlib
import json
import sys

import openai
from openai.types.chat import ChatCompletionChunk
from openai.types.image_gen_stream_event import ImageGenStreamEvent
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

DEADLINE_S = 30


def main():
    base_url, mode = sys.argv[1:]
    client = openai.OpenAI(base_url=base_url, api_key="sk-oracle", timeout=DEADLINE_S, max_retries=0)
    print(json.dumps({"chat": chat, "responses": responses, "images": images}[mode](client)))


def checked(stream, of):
    adapter = TypeAdapter(of)
    for event in stream:
        adapter.validate_python(event.model_dump(exclude_unset=True, by_alias=True), strict=False)
        yield event


def chat(client):
    said = {"text": "", "finish": None, "usage": None, "calls": {}}
    stream = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "Hello"}], stream=True, stream_options={"include_usage": True}
    )
    for chunk in checked(stream, ChatCompletionChunk):
        if chunk.usage:
            said["usage"] = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens]
        for choice in chunk.choices:
            said["text"] += choice.delta.content or ""
            said["finish"] = choice.finish_reason or said["finish"]
            for call in choice.delta.tool_calls or []:
                known = said["calls"].setdefault(call.index, {"id": "", "name": "", "arguments": ""})
                known["id"] += call.id or ""
                known["name"] += call.function.name or ""
                known["arguments"] += call.function.arguments or ""
    said["calls"] = [call for _, call in sorted(said["calls"].items())]
    return said


def responses(client):
    pieces, previews = {"text": "", "reasoning": "", "arguments": ""}, []
    kinds = {
        "response.output_text.delta": "text",
        "response.reasoning_summary_text.delta": "reasoning",
        "response.function_call_arguments.delta": "arguments",
    }
    with client.responses.stream(model="m", input="Hello") as stream:
        for event in checked(stream, ResponseStreamEvent):
            if event.type in kinds:
                pieces[kinds[event.type]] += event.delta
            elif event.type == "response.image_generation_call.partial_image":
                previews.append([event.partial_image_index, sha256(event.partial_image_b64)])
        whole = stream.get_final_response()
    made = {"calls": [], "encrypted": [], "pictures": [], "reasoning": ""}
    for item in whole.output:
        if item.type == "function_call":
            made["calls"].append({"id": item.call_id, "name": item.name, "arguments": item.arguments})
        elif item.type == "reasoning":
            made["encrypted"].append(item.encrypted_content)
            made["reasoning"] += "".join(part.text for part in item.summary)
        elif item.type == "image_generation_call":
            made["pictures"].append(sha256(item.result))
    made["text"] = whole.output_text
    made["arguments"] = "".join(call["arguments"] for call in made["calls"])
    assert all(made[kind] == said for kind, said in pieces.items()), (pieces, made)
    return {**made, "previews": previews, "status": whole.status, "usage": [whole.usage.input_tokens, whole.usage.output_tokens]}


def images(client):
    stream = client.images.generate(model="gpt-image-1", prompt="a cat", stream=True, partial_images=2)
    said = {"previews": [], "pictures": [], "usage": None}
    for event in checked(stream, ImageGenStreamEvent):
        if event.type == "image_generation.partial_image":
            said["previews"].append([event.partial_image_index, sha256(event.b64_json)])
        else:
            said["pictures"].append(sha256(event.b64_json))
            said["usage"] = [event.usage.input_tokens, event.usage.output_tokens]
    whole = client.images.generate(model="gpt-image-1", prompt="two cats", n=2)
    said["document"] = [sha256(image.b64_json) for image in whole.data]
    return said


def sha256(text):
    return hashlib.sha256(base64.b64decode(text, validate=True)).hexdigest()


main()
