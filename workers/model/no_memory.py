"""What is said where an emulated device's KV cache is more than this machine has."""


def no_memory(num_blocks: int, num_bytes: int) -> ValueError:
    """An error to raise: `num_blocks` KV blocks take `num_bytes`."""
    return ValueError(
        f"model.num_kv_blocks: {num_blocks} KV blocks take {num_bytes / 1e9:.3g} GB of this "
        "machine's own memory, which has not that much: set it lower"
    )
