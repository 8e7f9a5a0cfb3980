"""Vector stores, their files and what is found in them, as OpenAI's API shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.gateway.batches import Batch
from cluster.gateway.expiry import Lease
from cluster.gateway.store_client import STATUSES, FileInfo, SearchHit, StoreInfo


def store_shown(store: StoreInfo, default_s: int, lease: Lease | None) -> dict[str, Any]:
    counts = _counts(store.counts)
    return {
        "id": store.store_id,
        "object": "vector_store",
        "created_at": store.created_s or default_s,
        "name": store.name,
        "usage_bytes": store.usage_bytes,
        "file_counts": counts,
        "num_passages": store.num_passages,
        "status": "in_progress" if counts["in_progress"] else "completed",
        "last_active_at": lease.active_s if lease else None,
        "expires_after": {"anchor": "last_active_at", "days": lease.days} if lease else None,
        "expires_at": lease.expires_s if lease else None,
        "metadata": dict(store.metadata),
    }


def file_shown(store_id: str, file: FileInfo, default_s: int) -> dict[str, Any]:
    error = {"code": file.error_code, "message": file.error} if file.error_code else None
    return {
        "id": file.file_id,
        "object": "vector_store.file",
        "created_at": file.created_s or default_s,
        "vector_store_id": store_id,
        "status": file.status,
        "usage_bytes": file.num_bytes,
        "last_error": error,
        "attributes": dict(file.attributes),
        "chunking_strategy": _chunking_shown(*file.chunking),
    }


def _chunking_shown(tokens: int, overlap: int) -> dict[str, Any]:
    if not tokens:
        return {"type": "other"}  # OpenAI's word for what counts no tokens
    sizes = {"max_chunk_size_tokens": tokens, "chunk_overlap_tokens": overlap}
    return {"type": "static", "static": sizes}


def batch_shown(batch: Batch, counted: Mapping[str, int]) -> dict[str, Any]:
    """`counted`: those of its files that are in the store still, by status."""
    counts = _counts(counted)
    status = "completed"
    if batch.is_cancelled:
        status = "cancelled"
    elif counts["in_progress"]:
        status = "in_progress"
    elif counts["failed"] and counts["failed"] == counts["total"]:
        status = "failed"
    return {
        "id": batch.batch_id,
        "object": "vector_store.files_batch",
        "created_at": batch.created_s,
        "vector_store_id": batch.store_id,
        "status": status,
        "file_counts": counts,
    }


def content_shown(texts: Sequence[str]) -> dict[str, Any]:
    """All on one page: the official client turns none."""
    data = [{"type": "text", "text": text} for text in texts]
    kind = "vector_store.file_content.page"
    return {"object": kind, "data": data, "has_more": False, "next_page": None}


def found_shown(queries: Sequence[str], hits: Sequence[SearchHit]) -> dict[str, Any]:
    return {
        "object": "vector_store.search_results.page",
        "search_query": list(queries),
        "data": [_hit_shown(hit) for hit in hits],
        "has_more": False,
        "next_page": None,
    }


def _hit_shown(hit: SearchHit) -> dict[str, Any]:
    return {
        "file_id": hit.file_id,
        "filename": hit.filename,
        "score": hit.score,
        "attributes": dict(hit.attributes),
        "content": [{"type": "text", "text": hit.text}],
        "passage_id": hit.passage_id,
    }


def _counts(counts: Mapping[str, int]) -> dict[str, int]:
    shown = {status: counts.get(status, 0) for status in STATUSES}
    return {**shown, "total": sum(shown.values())}
