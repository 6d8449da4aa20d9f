"""The list of an archive's patches: its columns, and which shard a patch is in."""

import hashlib

import pyarrow as pa

from earthprobe.storage.geoparquet import FIELDS

SCHEMA = pa.schema(
    [
        ("patch_id", pa.string()),
        ("s2_id", pa.string()),
        ("split", pa.string()),
        ("group", pa.string()),
        ("country", pa.string()),
        ("date", pa.date32()),
        ("longitude", pa.float64()),
        ("latitude", pa.float64()),
        ("shard", pa.uint16()),
        ("folder_s1", pa.string()),
        ("folder_s2", pa.string()),
        *FIELDS,
    ]
)
"""Patches of a ``group`` are not independent: they are of one scene. ``folder_s1`` and ``folder_s2`` say where a
patch's files lie, below the archive's folder of the sensor."""

NAMES, TABLE, FILES = "names", "table", "files"
"""Where the places of an archive's patches are from: from their names, which say them to the metre, a user's table, or
the tags of GeoTIFFs. It stands in the metadata (``places_from``)."""


def shard_of(patch_id: str, shards: int) -> int:
    """The shard of a patch: a hash of its id alone, so that no patch moves when another is added."""
    digest = hashlib.blake2b(patch_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards
