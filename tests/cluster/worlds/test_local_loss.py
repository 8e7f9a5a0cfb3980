"""What users see when a process of the local world dies. Its own file: one Ray session a process
at a time.
"""

import json

import httpx
import openai
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import local_world
from configs.perfuse_tiny import load_questions
from configs.schema import load_scenario

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

MODEL = "perfuse-tiny"
REAL = {"cluster.world": "local", "cluster.emulation": False, "cluster.dilation": 1}


def test_a_lost_chip_ends_its_requests_with_a_clear_error() -> None:
    """Nothing hangs: a decode chip's process dies, its streams end, the rest of the cluster
    serves on.
    """
    with local_world(Blueprint.draw(load_scenario("demo", REAL))) as world:
        url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "hi"}],
            "n": 4,
            "max_tokens": 800,
            "ignore_eos": True,
            "stream": True,
        }
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as stream:
            lines = stream.iter_lines()
            next(lines)
            world.kill("decode-0")
            errors = [
                json.loads(line[6:])["error"]
                for line in lines
                if line.startswith("data: {") and "error" in json.loads(line[6:])
            ]
        assert errors, "the stream ended without saying why"
        assert "decode-0" in errors[0]["message"]
        question = load_questions()[2]
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            answer = client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": question.question}]
            )
            assert answer.choices[0].finish_reason == "stop"
