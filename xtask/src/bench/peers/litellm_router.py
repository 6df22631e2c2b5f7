"""Workflows of calls one after the other through litellm's Router, as it comes: simple shuffle, two retries, a fixed cool-down.

Argument: a JSON file with the lane. Prints what came of it as one JSON object in the last line.
"""

import asyncio
import json
import os
import sys
import time

# Its list of prices is not asked for over the network.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm  # noqa: E402
from litellm import Router  # noqa: E402

litellm.suppress_debug_info = True
litellm.telemetry = False


async def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lane = json.load(file)
    router = Router(
        model_list=[
            {
                "model_name": "bench",
                "litellm_params": {
                    "model": "openai/bench",
                    "api_key": key["secret"],
                    "api_base": lane["base_url"] + "/v1",
                },
            }
            for key in lane["keys"]
        ]
    )
    # What it loads with its first call is not to count.
    ready = [{"role": "user", "content": "ready?"}]
    await litellm.acompletion(model="openai/bench", messages=ready, mock_response="yes", api_key="none")
    counts = {"answered": 0, "failures": 0, "unfinished": 0}
    begun = time.monotonic()
    last = begun

    async def workflow(number):
        nonlocal last
        for call in range(lane["calls"]):
            question = f"Workflow {number} wants to know what comes after step {call}."
            while True:
                if time.monotonic() - begun > lane["give_up_s"]:
                    counts["unfinished"] += lane["calls"] - call
                    return
                try:
                    await router.acompletion(
                        model="bench", messages=[{"role": "user", "content": question}], max_tokens=200
                    )
                    break
                except Exception:  # whatever a workflow gets to see is a failure
                    counts["failures"] += 1
                    await asyncio.sleep(lane["after_failure_s"])
            counts["answered"] += 1
            last = time.monotonic()

    await asyncio.gather(*(workflow(number) for number in range(1, lane["workflows"] + 1)))
    print(json.dumps({"seconds": last - begun, **counts}))


asyncio.run(main())
