"""The official SDKs of the three providers talk to wf-mock-llm: argument 1 is its address, argument 2 a good key.

Each says what it got in words of its own types; a mock that is not what they expect makes them raise. Warnings count
as errors.
"""

import json
import sys
import urllib.request
import warnings

import anthropic
import openai
from google import genai
from google.genai import errors, types

BASE, KEY = sys.argv[1:3]
MODEL = "mock-1"
ASKED = "Tell me of streams and their ends."
warnings.simplefilter("error")


def control(**change):
    body = json.dumps(change).encode()
    request = urllib.request.Request(BASE + "/__mock/control", data=body, method="POST")
    urllib.request.urlopen(request, timeout=20).read()


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def check(name, condition, seen):
    if not condition:
        raise AssertionError(f"{name}: {seen!r}")


def with_anthropic():
    def client(key):
        return anthropic.Anthropic(api_key=key, base_url=BASE, max_retries=0, timeout=20)

    asked = {"model": MODEL, "max_tokens": 500, "messages": [{"role": "user", "content": ASKED}]}
    good = client(KEY)
    plain = good.messages.create(**asked)
    check("anthropic plain", plain.content[0].text and plain.stop_reason == "end_turn", plain)
    with good.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    check("anthropic streamed", text == plain.content[0].text, text)
    check("anthropic usage", final.usage.output_tokens == plain.usage.output_tokens > 0, final.usage)
    check("anthropic input", final.usage.input_tokens == plain.usage.input_tokens > 0, final.usage)
    control(next=["limited"])
    limited = raises(anthropic.RateLimitError, lambda: good.messages.create(**asked))
    check("anthropic retry", float(limited.response.headers["retry-after"]) > 0, limited.response.headers)
    raises(anthropic.AuthenticationError, lambda: client("nobody").messages.create(**asked))
    control(next=["error-inside"])
    broken = raises(anthropic.APIStatusError, lambda: list(good.messages.create(stream=True, **asked)))
    check("anthropic error inside", "overloaded" in str(broken).lower(), broken)
    check("anthropic models", [model.id for model in good.models.list()] == ["mock"], "models")


def with_openai():
    def client(key):
        return openai.OpenAI(api_key=key, base_url=BASE + "/v1", max_retries=0, timeout=20)

    asked = {"model": MODEL, "messages": [{"role": "user", "content": ASKED}]}
    good = client(KEY)
    plain = good.chat.completions.create(**asked)
    text = plain.choices[0].message.content
    check("openai plain", text and plain.choices[0].finish_reason == "stop", plain)
    chunks = list(good.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked))
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    check("openai streamed", streamed == text, streamed)
    check("openai usage", chunks[-1].usage == plain.usage, chunks[-1])
    bare = list(good.chat.completions.create(stream=True, **asked))
    check("openai without usage", all(chunk.usage is None and chunk.choices for chunk in bare), bare)
    control(next=["limited"])
    limited = raises(openai.RateLimitError, lambda: good.chat.completions.create(**asked))
    check("openai retry", float(limited.response.headers["retry-after-ms"]) > 0, limited.response.headers)
    check("openai code", limited.code == "rate_limit_exceeded", limited)
    raises(openai.AuthenticationError, lambda: client("nobody").chat.completions.create(**asked))
    control(next=["error-inside"])
    raises(openai.APIError, lambda: list(good.chat.completions.create(stream=True, **asked)))
    check("openai models", [model.id for model in good.models.list()] == ["mock"], "models")


def with_genai():
    def client(key):
        options = types.HttpOptions(base_url=BASE, timeout=20_000)
        return genai.Client(api_key=key, vertexai=False, http_options=options)

    asked = {"model": MODEL, "contents": ASKED}
    good = client(KEY)
    plain = good.models.generate_content(**asked)
    check("genai plain", plain.text and plain.candidates[0].finish_reason == types.FinishReason.STOP, plain)
    chunks = list(good.models.generate_content_stream(**asked))
    text = "".join(chunk.text or "" for chunk in chunks)
    check("genai streamed", text == plain.text, text)
    seen, wanted = chunks[-1].usage_metadata, plain.usage_metadata
    check("genai usage", seen.candidates_token_count == wanted.candidates_token_count > 0, seen)
    control(next=["limited"])
    limited = raises(errors.ClientError, lambda: good.models.generate_content(**asked))
    check("genai limited", (limited.code, limited.status) == (429, "RESOURCE_EXHAUSTED"), limited)
    details = limited.details["error"]["details"]
    check("genai retry", any(detail["@type"].endswith("RetryInfo") for detail in details), details)
    # A client that nobody holds closes itself in the middle of its call.
    stranger = client("nobody")
    refused = raises(errors.ClientError, lambda: stranger.models.generate_content(**asked))
    check("genai bad key", refused.code == 400 and "API key not valid" in refused.message, refused)
    control(next=["error-inside"])
    broken = raises(errors.APIError, lambda: list(good.models.generate_content_stream(**asked)))
    check("genai error inside", broken.code == 503, broken)
    check("genai models", [model.name for model in good.models.list()] == ["models/mock"], "models")


for talk in (with_anthropic, with_openai, with_genai):
    talk()
    print(f"{talk.__name__[5:]}: ok", flush=True)
