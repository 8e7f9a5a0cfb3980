"""A journal that was written before chips could come and go."""

from cluster.router.journal.records import MAGIC, pack
from cluster.router.journal.recovery import replay
from cluster.router.machine.chips import ChipState
from tests.cluster.router.machine.requests import tokenizer

WRITTEN = (
    b'RouterState {"block_size":16,"chips":{"p0":{"name":"p0","role":"prefill","num_blocks":9,'
    b'"epoch":1,"alive":true,"num_requests":0,"queued_tokens":0,"blocks_taken":0,"prefixes":{},'
    b'"watermark_blocks":null,"sharers":{}},"d0":{"name":"d0","role":"decode","num_blocks":9,'
    b'"epoch":1,"alive":true,"num_requests":0,"queued_tokens":0,"blocks_taken":0,"prefixes":{},'
    b'"watermark_blocks":null,"sharers":{}}},"requests":{},"sequences":{},"line":[],'
    b'"is_line_woken":false,"aborts":{},"outboxes":{},"is_draining":false,"stores":{},'
    b'"num_stores_named":0,"dropped_stores":[]}',
    b'RequestSubmitted {"at_ns":0,"request":{"request_id":"r0","model":"m","sampling":'
    b'{"max_tokens":10,"temperature":0.0,"top_p":1.0,"top_k":0,"seed":0,"stop":[],'
    b'"stop_token_ids":[],"ignore_eos":false,"min_tokens":0,"logprobs":null,"return_logits":false,'
    b'"shaping":null},"messages":[],"prompt":"x","prompt_ids":[],"retrieval":null,"deadline_ns":0,'
    b'"arrived_ns":null,"tools":[],"shortens":false},"deadline_ns":1000,"reader":"gateway",'
    b'"reader_epoch":1}',
    b'PromptPrepared {"at_ns":0,"request_id":"r0","prompt_ids":[0,1,2],"block_hashes":'
    b'["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],"max_tokens":0}',
    b'RoomReserved {"at_ns":0,"sequence_id":"r0","first_block":0}',
)


def test_it_is_read_and_none_of_its_chips_leaves() -> None:
    data = MAGIC[:7] + b"\x03" + b"".join(pack(i, record) for i, record in enumerate(WRITTEN))
    state = replay(data, tokenizer())
    assert state is not None
    assert state.chips == {
        "p0": ChipState("p0", "prefill", 9, num_requests=1, queued_tokens=3),
        "d0": ChipState("d0", "decode", 9, num_requests=1, blocks_taken=1),
    }
    assert not any(chip.is_draining for chip in state.chips.values())
    placement = state.requests["r0"].placement
    assert placement is not None and placement.is_reserved
