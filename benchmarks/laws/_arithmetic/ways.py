"""Where the two shipped clusters differ: who stands with whom, and whether KV travels."""

from benchmarks.laws._arithmetic.path import (
    BLOCK_TOKENS,
    CHECKSUM_BYTES,
    ENVELOPE,
    HASH_BYTES,
    INDEX_BYTES,
    SAMPLING,
    Asked,
    Cluster,
    Times,
)


def through_single(cluster: Cluster, asked: Asked) -> Times:
    """Gateway and router on one host, all experts on the one chip: two messages cross the link
    (the prompt, each token), and a step none.
    """
    times = Times(num_tokens=len(asked.answer))
    sent, host, link = times.messages, cluster.host, cluster.link
    routes = cluster.model.routes([*asked.prompt, *asked.answer])
    at = cluster.prepared(host.copy(cluster.submit_bytes(asked)), asked, sent)
    at += link.alone(ENVELOPE + 4 * len(asked.prompt) + SAMPLING)
    start, end = asked.num_cached, len(asked.prompt)
    for index in range(times.num_tokens):
        at = cluster.step(at, routes, start, end - start, sent)
        start, end = end, end + 1
        is_last = index == times.num_tokens - 1
        read = at + link.alone(cluster.report_bytes(asked, asked.reason if is_last else ""))
        times.e2e_ns = read + host.copy(cluster.output_bytes(asked, is_last))
        times.ttft_ns = times.ttft_ns or times.e2e_ns
    sent.update(submit=1, accepted=1, generate=1)
    return times


def through_demo(cluster: Cluster, asked: Asked, *, with_pool: bool) -> Times:
    """Everybody on a node of his own; KV goes from the prefill chip to the decode chip, and into
    the pool, which has nothing of it yet.
    """
    times = Times(num_tokens=len(asked.answer))
    sent, link, chip = times.messages, cluster.link, cluster.chip
    routes = cluster.model.routes([*asked.prompt, *asked.answer])
    num_tokens = len(asked.prompt)
    at = cluster.prepared(link.alone(cluster.submit_bytes(asked)), asked, sent)
    prompt = ENVELOPE + 4 * num_tokens + SAMPLING
    at = link.out([(at, ENVELOPE + 4), (at, prompt)])[1]  # accepted, and room is asked for
    at += link.alone(ENVELOPE + 1 + 4)
    at += link.alone(prompt + len("decode-0") + 4)
    num_pooled = (num_tokens // BLOCK_TOKENS) if with_pool else 0
    num_wanted = ((num_tokens - 1) // BLOCK_TOKENS) if with_pool else 0
    if num_wanted:
        at += link.alone(ENVELOPE + num_wanted * HASH_BYTES) + link.alone(ENVELOPE)
    at = cluster.step(at, routes, 0, num_tokens, sent)
    sent.update(submit=1, accepted=1, reserve=1, reserved=1, prefill=1, kv_blocks=1, start=1)
    # The first token, KV to the decode chip, and KV to the pool leave by one way.
    block = cluster.model.num_hidden_layers * BLOCK_TOKENS * cluster.model.kv_token_bytes
    num_blocks = -(-num_tokens // BLOCK_TOKENS)
    kv_bytes = ENVELOPE + num_blocks * (INDEX_BYTES + CHECKSUM_BYTES + block)
    # Both are read from one memory, the pool's first.
    pool_read = at + chip.run(reads=num_pooled * block) if num_pooled else at
    kv_read = at + chip.run(reads=num_blocks * block) + chip.streams(num_pooled * block)
    flows = [(at, cluster.report_bytes(asked, "")), (kv_read, kv_bytes)]
    if num_pooled:
        a_pooled = HASH_BYTES + CHECKSUM_BYTES + block
        flows.append((pool_read, ENVELOPE + num_pooled * a_pooled))
        sent.update(pool_put=1, pool_get=1)
    told, moved = link.out(flows)[:2]
    times.ttft_ns = _read(cluster, told, asked, is_last=times.num_tokens == 1)
    times.e2e_ns = times.ttft_ns
    # Written, acknowledged, and then begun: the source lets go only of what is there.
    at = moved + chip.run(writes=num_blocks * block) + link.alone(ENVELOPE)
    at += link.alone(ENVELOPE + 4 + 8)
    for index in range(1, times.num_tokens):
        at = cluster.step(at, routes, num_tokens + index - 1, 1, sent)
        is_last = index == times.num_tokens - 1
        told = at + link.alone(cluster.report_bytes(asked, asked.reason if is_last else ""))
        times.e2e_ns = _read(cluster, told, asked, is_last)
    return times


def _read(cluster: Cluster, told: float, asked: Asked, is_last: bool) -> float:
    """The router acknowledges a report and tells the reader, both by its one way out."""
    flows = [(told, ENVELOPE), (told, cluster.output_bytes(asked, is_last))]
    return cluster.link.out(flows)[1]
