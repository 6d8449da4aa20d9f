"""How the pixels of a shard are best encoded: size, time to write and time to read, printed as Markdown."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from earthprobe.tiff import SIZE, decode_band

from bench.tools import WORK, timed

PATCHES = 256
GROUPS = 4
WAYS: list[tuple[str, bool, bool, dict[str, Any]]] = [
    ("none", False, False, {}),
    ("lz4", False, False, {}),
    ("zstd", False, False, {}),
    ("none", True, False, {}),
    ("snappy", True, False, {}),
    ("lz4", True, False, {}),
    ("zstd", True, False, {}),
    ("zstd", True, False, {"compression_level": -5}),
    ("lz4", True, True, {}),
]


def main() -> None:
    """Measures each way with the bands of a folder of patches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--s1-folder", type=Path, required=True)
    folders = sorted(parser.parse_args().s1_folder.iterdir())
    planes = [
        np.stack(
            [
                decode_band((f / f"{f.name}_{band}.tif").read_bytes(), f.name).ravel()
                for f in (folders * PATCHES)[:PATCHES]
            ]
        )
        for band in ("VV", "VH")
    ]
    WORK.mkdir(parents=True, exist_ok=True)
    print("compression | bytes split | null allowed | size | write, µs a patch | read, µs a patch")
    print("--- | --- | --- | --- | --- | ---")
    for compression, split, nullable, options in WAYS:
        print(" | ".join(row(planes, compression, split, nullable, options)), flush=True)


def row(planes: list[Any], compression: str, split: bool, nullable: bool, options: dict[str, Any]) -> list[str]:
    """One way: what it is, the share of the raw size, and the times of one thread."""
    pixels = pa.list_(pa.field("element", pa.float32(), nullable=nullable), SIZE * SIZE)
    schema = pa.schema([pa.field(band, pixels, nullable=nullable) for band in ("VV", "VH")])
    table = pa.table(
        [pa.FixedSizeListArray.from_arrays(pa.array(p.ravel()), type=pixels) for p in planes], schema=schema
    )
    path = WORK / "encoding.parquet"

    def write() -> None:
        names = [f"{band}.list.element" for band in ("VV", "VH")] if split else False
        with pq.ParquetWriter(
            path, schema, compression=compression, use_dictionary=False, use_byte_stream_split=names, **options
        ) as writer:
            for _ in range(GROUPS):
                writer.write_table(table)

    def read() -> None:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for group in range(GROUPS):
                file.read_row_group(group, use_threads=False)

    writing, reading = (min(timed(f)[0] for _ in range(4)) / PATCHES / GROUPS * 1e6 for f in (write, read))
    size = path.stat().st_size / GROUPS / sum(p.nbytes for p in planes)
    level = f" ({options['compression_level']})" if options else ""
    yes = {True: "yes", False: "no"}
    return [compression + level, yes[split], yes[nullable], f"{size:.3f}", f"{writing:.0f}", f"{reading:.0f}"]


if __name__ == "__main__":
    main()
