"""llama.cpp through its C interface: one batch a step, one token for each sequence.

The high-level Python class keeps one sequence; batched decode needs llama_batch itself. Runs in
llama.cpp's environment, by child.py.
"""

import ctypes
import time
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp import llama_cpp as api
from numpy.typing import NDArray

MAX_SEQUENCES = 16
DECODE_CONTEXT = 256  # of each sequence: 128 tokens in and 64 out


class Context:
    """A KV cache with its batch.

    num_sequences   sequences at a time, each with room for `context` tokens
    """

    def __init__(self, model: Any, num_sequences: int, context: int, params: Any) -> None:
        self.max_tokens = num_sequences * context
        params.n_ctx = self.max_tokens
        params.n_seq_max = num_sequences
        params.n_batch = self.max_tokens
        self._context = api.llama_init_from_model(model, params)
        if not self._context:
            raise ValueError(f"llama.cpp refused a context of {num_sequences} x {context} tokens")
        self._vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model))
        self._batch = api.llama_batch_init(self.max_tokens, 0, 1)

    def clear(self) -> None:
        api.llama_memory_clear(api.llama_get_memory(self._context), False)

    def logits(self, rows: list[list[int]], starts: list[int]) -> NDArray[np.float32]:
        """One pass over some new tokens of each sequence; [sequences, V] after the last of each,
        valid until the next pass."""
        batch, count = self._batch, 0
        for sequence, (tokens, start) in enumerate(zip(rows, starts, strict=True)):
            for offset, token in enumerate(tokens):
                batch.token[count] = token
                batch.pos[count] = start + offset
                batch.n_seq_id[count] = 1
                batch.seq_id[count][0] = sequence
                batch.logits[count] = offset == len(tokens) - 1
                count += 1
        batch.n_tokens = count
        code = api.llama_decode(self._context, batch)
        if code != 0:
            raise RuntimeError(f"llama_decode of {count} tokens gave {code}")
        # Rows of the outputs asked for, in the batch's order, without gaps.
        first = ctypes.cast(api.llama_get_logits(self._context), ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(first, shape=(len(rows), self._vocab))


class Engine:
    """model: path of the GGUF. The other settings are llama.cpp's, here at what was fastest."""

    def __init__(
        self,
        model: str,
        threads: int,
        max_prompt: int = 2048,
        n_ubatch: int = 512,
        flash_attn: int = api.LLAMA_FLASH_ATTN_TYPE_AUTO,
        kv_unified: bool = False,
        load_mode: int = api.LLAMA_LOAD_MODE_NONE,
    ) -> None:
        api.llama_backend_init()
        model_params = api.llama_model_default_params()
        model_params.load_mode = load_mode
        loaded = api.llama_model_load_from_file(model.encode(), model_params)
        if not loaded:
            raise ValueError(f"{model}: llama.cpp cannot load it; its own words are above")
        params = api.llama_context_default_params()
        params.n_threads = params.n_threads_batch = threads
        params.n_ubatch = n_ubatch
        params.flash_attn_type = flash_attn
        params.kv_unified = kv_unified
        self._decode = Context(loaded, MAX_SEQUENCES, DECODE_CONTEXT, params)
        self._prefill = Context(loaded, 1, max_prompt, params)
        self._settings = (
            f"threads {threads}, n_ubatch {n_ubatch}, flash attention {flash_attn}, "
            f"unified KV {kv_unified}, load mode {load_mode}, KV fp16"
        )

    def describe(self) -> dict[str, str]:
        system = api.llama_print_system_info().decode()
        return {
            "version": f"llama-cpp-python {llama_cpp.__version__}",
            "settings": f"{self._settings}; {system.strip(' |')}",
        }

    def decode(self, prompts: list[list[int]], new_tokens: int) -> dict[str, object]:
        self._decode.clear()
        latest = self._decode.logits(prompts, [0] * len(prompts)).argmax(axis=1).tolist()
        tokens = [[token] for token in latest]
        start = time.perf_counter_ns()
        for step in range(new_tokens - 1):
            positions = [len(prompt) + step for prompt in prompts]
            logits = self._decode.logits([[token] for token in latest], positions)
            latest = logits.argmax(axis=1).tolist()
            for row, token in zip(tokens, latest, strict=True):
                row.append(token)
        elapsed = time.perf_counter_ns() - start
        return {"tokens": tokens, "decode_ns": elapsed, "steps": new_tokens - 1}

    def prefill(self, prompt: list[int]) -> dict[str, int]:
        self._prefill.clear()
        start = time.perf_counter_ns()
        token = int(self._prefill.logits([prompt], [0])[0].argmax())
        return {"token": token, "prefill_ns": time.perf_counter_ns() - start}
