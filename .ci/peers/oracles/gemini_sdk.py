"""Asks a server that speaks Gemini's language through Google's own library and prints what that heard, as JSON.

gemini_sdk.py BASE_URL KEY        needs google-genai
"""

import base64
import json
import sys

from google import genai
from google.genai import errors, types


def main(base_url, key):
    options = types.HttpOptions(base_url=base_url, timeout=30_000)
    client = genai.Client(api_key=key, vertexai=False, http_options=options)
    heard = {"text": "", "thoughts": "", "calls": [], "images": [], "usage": None, "finish": None, "model": None}
    try:
        for chunk in client.models.generate_content_stream(model="gemini-2.5-flash", contents="Say hello"):
            listen(chunk, heard)
    except errors.APIError as error:
        heard = {"error": {"code": error.code, "status": error.status, "message": error.message}}
    json.dump(heard, sys.stdout)


def listen(chunk, heard):
    heard["model"] = chunk.model_version or heard["model"]
    if chunk.usage_metadata:
        usage = chunk.usage_metadata
        heard["usage"] = {
            "prompt": usage.prompt_token_count,
            "candidates": usage.candidates_token_count,
            "thoughts": usage.thoughts_token_count,
            "total": usage.total_token_count,
        }
    for candidate in chunk.candidates or []:
        if candidate.finish_reason:
            heard["finish"] = candidate.finish_reason.value
        for part in (candidate.content and candidate.content.parts) or []:
            take(part, heard)


def take(part, heard):
    if part.text:
        heard["thoughts" if part.thought else "text"] += part.text
    if part.function_call:
        signature = part.thought_signature and base64.b64encode(part.thought_signature).decode()
        call = {"name": part.function_call.name, "args": part.function_call.args, "signature": signature}
        heard["calls"].append(call)
    if part.inline_data:
        data = base64.b64encode(part.inline_data.data).decode()
        heard["images"].append({"mime": part.inline_data.mime_type, "data": data})


main(*sys.argv[1:])
