"""The points in the life of a request at which something may go wrong, by what is on its way."""

from collections.abc import Mapping

# In the order of a life; "before", "in flight", "moved" (but not notified) and "notified" are those
# of a KV transfer.
POINTS = (
    "asked", "before", "in flight", "moved", "notified", "experts", "ranks", "decoding", "telling",
    "pool", "near", "letting go",
)  # fmt: skip
_KINDS: Mapping[str, tuple[str, ...]] = {
    "asked": ("submit", "accepted"),
    "before": ("reserve", "reserved", "prefill", "generate", "expect_kv"),
    "in flight": ("kv_blocks", "kv_send", "kv_part"),
    "moved": ("start",),
    "experts": ("dispatch", "combine", "weights", "weights_read", "expert_hint"),
    "ranks": ("step", "share", "stage_rows", "piece", "step_failed"),
    "decoding": ("tokens", "stretch"),
    "telling": ("outputs",),
    "pool": ("pool_get", "pool_blocks", "pool_put", "pool_stored", "pool_drop"),
    "near": ("near_put", "near_stored", "near_attend", "near_parts", "near_fetch", "near_blocks"),
    "letting go": ("cancel", "cancelled", "abort", "aborted", "forget", "near_drop"),
}
_POINT: Mapping[str, str] = {kind: point for point, kinds in _KINDS.items() for kind in kinds}
# An answer that says nothing but that a call was heard is called by what it answers.
ANSWER = "reply"
NOTIFIED = f"{ANSWER}:start"
# Whoever has something to do, and says nothing, is asked whether it is there.
WATCHING = ("chip_state", "chip_state_is", "is_there", "reply:is_there")
# What a calm run sends none of, and one with faults does.
LATER = ("cancel", "cancelled", "abort", "aborted")


def word_of(kind: str, asked: str) -> str:
    """How trials call a message; `asked`: the kind of the call that it answers, if it does."""
    return f"{ANSWER}:{asked}" if kind == ANSWER else kind


def point_of(word: str) -> str:
    """Of a message; "" for what belongs to no request."""
    if word == NOTIFIED:
        return "notified"
    return _POINT.get(word.removeprefix(f"{ANSWER}:"), "")
