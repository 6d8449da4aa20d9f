"""How the pixels of a shard are best encoded: size, time to write and time to read, printed as Markdown."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from earthprobe.sensors import BANDS, bands_of
from earthprobe.storage.tiff import decode_band

from bench.tools import WORK, timed

PATCHES = 256
PATCHES_READ = 1024
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
    parser.add_argument("--sensor", choices=["s1", "s2"], default="s1")
    parser.add_argument("--folder", type=Path, required=True, help="of its patches")
    chosen = parser.parse_args()
    folders = sorted(chosen.folder.iterdir())[:PATCHES]  # none twice: a compressor would find it
    planes = {band: np.stack([plane(folder, band) for folder in folders]) for band in bands_of(chosen.sensor)}
    WORK.mkdir(parents=True, exist_ok=True)
    print("compression | bytes split | null allowed | size | write, µs a patch | read, µs a patch")
    print("--- | --- | --- | --- | --- | ---")
    for compression, split, nullable, options in WAYS:
        print(" | ".join(row(planes, compression, split, nullable, options)), flush=True)


def plane(folder: Path, name: str) -> Any:
    """The pixels of a band of a patch."""
    band = BANDS[name]
    return decode_band((folder / f"{folder.name}_{name}.tif").read_bytes(), name, band.size, band.dtype).ravel()


def row(planes: dict[str, Any], compression: str, split: bool, nullable: bool, options: dict[str, Any]) -> list[str]:
    """One way: what it is, the share of the raw size, and the times of one thread."""
    types = {
        band: pa.list_(pa.field("element", pa.type_for_alias(BANDS[band].dtype), nullable=nullable), p.shape[1])
        for band, p in planes.items()
    }
    schema = pa.schema([pa.field(band, pixels, nullable=nullable) for band, pixels in types.items()])
    columns = [pa.FixedSizeListArray.from_arrays(pa.array(p.ravel()), type=types[band]) for band, p in planes.items()]
    table = pa.table(columns, schema=schema)
    groups = PATCHES_READ // len(table)
    path = WORK / "encoding.parquet"

    def write() -> None:
        names = [f"{band}.list.element" for band in planes] if split else False
        with pq.ParquetWriter(
            path, schema, compression=compression, use_dictionary=False, use_byte_stream_split=names, **options
        ) as writer:
            for _ in range(groups):
                writer.write_table(table)

    def read() -> None:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for group in range(groups):
                file.read_row_group(group, use_threads=False)

    writing, reading = (min(timed(f)[0] for _ in range(4)) / len(table) / groups * 1e6 for f in (write, read))
    size = path.stat().st_size / groups / sum(p.nbytes for p in planes.values())
    level = f" ({options['compression_level']})" if options else ""
    yes = {True: "yes", False: "no"}
    return [compression + level, yes[split], yes[nullable], f"{size:.3f}", f"{writing:.0f}", f"{reading:.0f}"]


if __name__ == "__main__":
    main()
