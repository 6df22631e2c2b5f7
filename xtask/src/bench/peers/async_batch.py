"""Workflows of calls one after the other through async-batch-llm: a call pool per quota group with its limit and the group's keys in
turns, whose callers share one cool-down.

Argument: a JSON file with the lane. Prints what came of it as one JSON object in the last line.
"""

import asyncio
import itertools
import json
import sys
import time

from async_batch_llm import LLMCallPool, ProcessorConfig
from async_batch_llm.callable_strategy import CallableStrategy, CallOutcome
from async_batch_llm.classifiers.openai import OpenAIErrorClassifier
from openai import AsyncOpenAI


def pool(lane, keys):
    clients = itertools.cycle(
        AsyncOpenAI(api_key=key["secret"], base_url=lane["base_url"] + "/v1", max_retries=0) for key in keys
    )

    async def invoke(prompt, *, attempt, timeout, state):
        reply = await next(clients).chat.completions.create(
            model="bench", messages=[{"role": "user", "content": prompt}], max_tokens=200
        )
        usage = {"input_tokens": reply.usage.prompt_tokens, "output_tokens": reply.usage.completion_tokens}
        return CallOutcome(reply.choices[0].message.content, usage)

    config = ProcessorConfig(concurrency=lane["workflows"], max_requests_per_minute=lane["rpm"])
    return LLMCallPool(CallableStrategy(invoke), config=config, error_classifier=OpenAIErrorClassifier())


async def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lane = json.load(file)
    groups = {}
    for key in lane["keys"]:
        groups.setdefault(key["group"], []).append(key)
    # What the SDK loads with its first use is not to count.
    _ = AsyncOpenAI(api_key="none").chat.completions
    pools = [pool(lane, keys) for keys in groups.values()]
    counts = {"answered": 0, "failures": 0, "unfinished": 0}
    begun = time.monotonic()
    last = begun

    async def workflow(number):
        nonlocal last
        mine = pools[number % len(pools)]
        for call in range(lane["calls"]):
            question = f"Workflow {number} wants to know what comes after step {call}."
            while True:
                left = begun + lane["give_up_s"] - time.monotonic()
                if left <= 0:
                    counts["unfinished"] += lane["calls"] - call
                    return
                result = await mine.submit_result(question, timeout=left)
                if result.success:
                    break
                if time.monotonic() - begun < lane["give_up_s"]:
                    counts["failures"] += 1
                    await asyncio.sleep(lane["after_failure_s"])
            counts["answered"] += 1
            last = time.monotonic()

    await asyncio.gather(*(workflow(number) for number in range(1, lane["workflows"] + 1)))
    print(json.dumps({"seconds": last - begun, **counts}))


asyncio.run(main())
