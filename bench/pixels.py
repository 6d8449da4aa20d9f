"""Rows of pixels: reading them from files, writing shards of them, and reading shards."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bench.tools import S1_FOLDER, Pairs, Row, archive, optical, peak_mib, timed, write_shard


def shard_read() -> Row:
    """Reading bands: ours, rasterio, and merely the bytes."""
    import rasterio
    from earthprobe.storage.source import Folder
    from earthprobe.storage.tiff import decode_band

    root = archive() / S1_FOLDER
    paths = [str(path) for path in sorted(root.glob("*/*.tif"))]
    source = Folder(root)

    def read_band(path: str) -> Any:
        folder, name = path.split("/")[-2:]
        return decode_band(source.read(f"{folder}/{name}"), name)

    def by_rasterio(path: str) -> Any:
        with rasterio.open(path) as image:
            return image.read(1)

    def each(read: Callable[[str], object]) -> Callable[[], None]:
        def run() -> None:
            for path in paths:
                read(path)

        return run

    def as_bytes(path: str) -> None:
        with open(path, "rb") as file:  # noqa: PTH123
            file.read()

    assert all(np.array_equal(read_band(path), by_rasterio(path)) for path in paths)
    pairs = Pairs(each(read_band), each(by_rasterio))
    limit = min(timed(each(as_bytes))[0] for _ in range(5))
    return pairs.rate(len(paths), "bands/s", len(paths) / limit)


def shard(sensor: str) -> Row:
    """From TIFFs to the Parquet file of a shard: ours, a loop over rasterio, and merely the bytes."""
    import rasterio
    from earthprobe.sensors import BANDS, bands_of
    from earthprobe.steps import shard as module
    from earthprobe.storage.row_group import schema_of

    root = archive()
    folder = root / S1_FOLDER if sensor == "s1" else optical()
    table = pl.read_parquet(root / "patches.parquet").sort("patch_id")
    patches = list(zip(table["patch_id"], table["patch_id" if sensor == "s1" else "s2_id"], strict=True))
    bands = bands_of(sensor)
    schema = schema_of({band: BANDS[band] for band in bands})

    def other() -> None:
        with pq.ParquetWriter(
            root / "other.parquet",
            schema,
            compression="lz4",
            use_dictionary=False,
            use_byte_stream_split=[f"{band}.list.element" for band in bands],
            write_statistics=["patch_id"],
        ) as writer:
            for start in range(0, len(patches), module.ROW_GROUP):
                group, planes = patches[start : start + module.ROW_GROUP], {band: [] for band in bands}
                for _, name in group:
                    for band, values in planes.items():
                        with rasterio.open(folder / name / f"{name}_{band}.tif") as image:
                            values.append(image.read(1).ravel())
                columns = [
                    pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(v)), type=schema.field(band).type)
                    for band, v in planes.items()
                ]
                writer.write_table(pa.table([pa.array([p for p, _ in group]), *columns], schema=schema))

    def ours() -> None:
        module.run(
            patches=root / "patches.parquet", sensor=sensor, source=[folder], shard=0, output=root / "ours.parquet"
        )

    def as_bytes() -> None:
        for _, name in patches:
            for band in bands:
                (folder / name / f"{name}_{band}.tif").read_bytes()

    pairs = Pairs(ours, other, 5)
    assert pq.read_table(root / "ours.parquet").equals(pq.read_table(root / "other.parquet"))
    limit = min(timed(as_bytes)[0] for _ in range(5))
    return pairs.rate(len(patches), "patches/s", len(patches) / limit)


def read_s2() -> Row:
    """All bands of Sentinel-2 at 10 m: ours from a shard, rasterio from files, and the shard without resampling."""
    import rasterio
    from earthprobe.sensors import bands_of
    from earthprobe.steps import shard
    from earthprobe.storage.pixels import read_shards
    from rasterio.enums import Resampling

    root, folder, bands = archive(), optical(), bands_of("s2")
    path = root / "s2.parquet"
    shard.run(patches=root / "patches.parquet", sensor="s2", source=[folder], shard=0, output=path)
    names = pl.read_parquet(root / "patches.parquet").sort("patch_id")["s2_id"].to_list()

    memory: dict[tuple[int, ...], Any] = {}

    def room(shape: tuple[int, ...]) -> Any:  # the same again, as torch gives it out for a GPU
        return memory.setdefault(shape, np.empty(shape, np.float32))

    def ours() -> list[Any]:
        return [pixels[0].copy() for _, pixels in read_shards([path], bands, 256, room)]

    def theirs() -> list[Any]:
        first = []
        for number, name in enumerate(names):
            planes = []
            for band in bands:
                with rasterio.open(folder / name / f"{name}_{band}.tif") as image:
                    planes.append(image.read(1, out_shape=(120, 120), resampling=Resampling.bilinear))
            if number % 256 == 0:
                first.append(np.stack(planes))
        return first

    def merely_read() -> None:
        with pq.ParquetFile(path) as file:
            for _ in file.iter_batches(batch_size=256):
                pass

    ours()  # imports and compiles
    pairs = Pairs(ours, theirs)
    np.testing.assert_allclose(np.stack(pairs.result), np.stack(pairs.expected), atol=0.51)  # rasterio's are rounded
    limit = min(timed(merely_read)[0] for _ in range(5))
    return pairs.rate(len(names), "patches/s", len(names) / limit)


def shard_memory() -> Row:
    """Peak memory of writing a shard of 2,048 patches; the limit is that of 1,024."""
    large, small = archive(2048), archive(1024)
    ours, limit = (peak_mib(write_shard, root, "ours.parquet")[0] for root in (large, small))
    return Row(ours, None, "MiB", limit, less_is_better=True)
