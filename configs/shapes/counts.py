"""Counts of a shape by the names that published figures have (`configs.model_presets`)."""

from configs.shapes.shape import ModelShape


def count_of(shape: ModelShape, name: str) -> int:
    """Raises KeyError for another name than those of `configs.model_presets.COUNTS`."""
    return {
        "parameters": shape.parameters,
        "parameters_without_embeddings": shape.parameters - shape.embeddings,
        "active": shape.active,
        "active_with_embedding": shape.active_with_embedding,
        "kv_bytes_per_token": shape.kv_bytes_per_token(),
    }[name]
