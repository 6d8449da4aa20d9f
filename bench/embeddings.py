"""Rows of embeddings: from a shard to Parquet, and many files to one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bench.tools import BASE, CORES, DIMENSIONS, WORK, Pairs, Row, archive, peak_mib, timed, weights

GFLOP = 35.4  # of DOFA base for one patch: 197 tokens of 224 x 224 pixels


def embed(precision: str, device: str) -> Row:
    """From a shard to Parquet: ours, torchgeo's dataset and float32 model, and the machine's matrix product."""
    import torch
    import torch.nn.functional as F  # noqa: N812
    from earthprobe.models.dofa import architecture
    from earthprobe.models.weights import load
    from earthprobe.steps import embed
    from earthprobe.steps.embed import choose_precision
    from torch.utils.data import DataLoader, Subset
    from torchgeo.datasets import BigEarthNet

    if device == "cuda" and not torch.cuda.is_available():
        return Row("not measured: no GPU", None, "patches/s")
    if device == "cpu" and choose_precision("auto", "cpu") == torch.float32 and precision == "bfloat16":
        return Row("not measured: no bfloat16 units", None, "patches/s")
    torch.set_num_threads(CORES)
    fast = device == "cuda"
    root = archive(8192 if fast else 1024)
    shard_file = root / "shard.parquet"
    if not fast:  # as many as take half a minute
        shard_file = _head(shard_file, 512 if precision == "bfloat16" else 96)
    count = pq.read_metadata(shard_file).num_rows
    statistics = json.loads((root / "statistics.json").read_text())["train"]
    mean, std = (torch.tensor([statistics[b][k] for b in ("VV", "VH")]).view(-1, 1, 1) for k in ("mean", "std"))
    model = load(weights(), lambda: architecture(BASE)).to(device)

    def prepare(pixels: Any) -> Any:
        return F.interpolate((pixels - mean.to(device)) / std.to(device), size=(224, 224), mode="bilinear")

    dataset = BigEarthNet(str(root), split="train", bands="s1")
    some = Subset(dataset, range(min(2048 if fast else 64, len(dataset))))

    @torch.inference_mode()
    def theirs() -> None:
        loader = DataLoader(some, batch_size=64 if fast else 16, num_workers=8 if fast else 1)
        for batch in loader:  # torchgeo sorts the files: VH comes first
            model.forward_features(prepare(batch["image"].to(device).flip(1)), [3.75, 3.75]).cpu()

    def ours() -> None:
        embed.run(
            model=json.dumps(
                {"model": BASE, "weights": "random:0", "bands": ["VV", "VH"], "precision": precision},
            ),
            shard=[shard_file],
            statistics=[root / "statistics.json"],
            weights=weights(),
            device=device,
            threads=CORES,
            output=root / "features.parquet",
        )

    pairs = Pairs(ours, theirs)
    few = pq.read_table(shard_file).slice(0, 64)
    planes = [few[b].combine_chunks().flatten().to_numpy().reshape(-1, 120, 120) for b in ("VV", "VH")]
    with torch.inference_mode():
        want = build_again(architecture, weights()).forward_features(
            F.interpolate((torch.from_numpy(np.stack(planes, 1)) - mean) / std, size=(224, 224), mode="bilinear"),
            [3.75, 3.75],
        )
    got = pq.read_table(root / "features.parquet")["embedding"].combine_chunks().flatten().to_numpy()
    assert F.cosine_similarity(torch.from_numpy(got.reshape(count, -1)[:64]), want).min() > 0.999
    return pairs.rate(count, "patches/s", _matrix_product(precision, device) / GFLOP, count_of_other=len(some))


def build_again(architecture: Callable[[str], Any], path: Path) -> Any:
    """Torchgeo's model on the CPU with the stored weights."""
    import safetensors.torch

    model = architecture(BASE)
    model.load_state_dict(safetensors.torch.load_file(path))
    return model


def _head(path: Path, rows: int) -> Path:
    """The first rows of a shard, as a shard."""
    target = path.with_name(f"shard-{rows}.parquet")
    with pq.ParquetFile(path) as file:
        table = file.read().slice(0, rows)
        metadata = {**(table.schema.metadata or {}), **(file.metadata.metadata or {})}
    metadata.pop(b"ARROW:schema", None)
    pq.write_table(table.replace_schema_metadata(metadata), target, row_group_size=256)
    return target


def _matrix_product(precision: str, device: str) -> float:
    """GFLOP/s of the model's largest matrix product, the best of many."""
    import torch

    dtype = {"bfloat16": torch.bfloat16, "float32": torch.float32}[precision]
    rows = 256 * 197 if device == "cuda" else 8 * 197
    x, w = (torch.randn(n, 768, dtype=dtype, device=device) for n in (rows, 3072))

    def product() -> None:
        torch.nn.functional.linear(x, w)
        if device == "cuda":
            torch.cuda.synchronize()

    with torch.inference_mode():
        return 2 * rows * 768 * 3072 / min(timed(product)[0] for _ in range(100)) / 1e9


def _feature_shards(rows: int) -> Path:
    """64 shards of embeddings, and the patches that they should hold."""
    from earthprobe.steps.embed import ROW_GROUP, embedding_schema
    from earthprobe.storage.files import write_csv
    from earthprobe.storage.parquet import with_metadata

    root = WORK / f"features-{rows}"
    if (root / "patches.parquet").exists() and (root / "rejected.csv").exists():
        return root
    root.mkdir(parents=True, exist_ok=True)
    schema = with_metadata(embedding_schema(DIMENSIONS), {"model": "synthetic"})
    rng = np.random.default_rng(0)
    of = np.sort(rng.permutation(rows).reshape(64, -1))
    for number, members in enumerate(of):
        values = pa.array(rng.standard_normal(len(members) * DIMENSIONS, dtype=np.float32))
        column = pa.FixedSizeListArray.from_arrays(values, type=schema.field("embedding").type)
        table = pa.table([pa.array([f"p{i:07d}" for i in members]), column], schema=schema)
        path = root / f"{number:04d}.parquet"
        pq.write_table(table, path, row_group_size=ROW_GROUP, compression="none", use_dictionary=False)
    write_csv(root / "rejected.csv", ("patch_id", "split", "reason"), [])
    pl.DataFrame({"patch_id": [f"p{i:07d}" for i in range(rows)]}).write_parquet(root / "patches.parquet")
    return root


def _merge_ours(root: Path) -> None:
    from earthprobe.steps import merge

    merge.run(
        shards=sorted(root.glob("0*.parquet")),
        patches=root / "patches.parquet",
        rejected=[root / "rejected.csv"],
        output=root / "ours.parquet",
    )


def _merge_polars(root: Path) -> None:
    frames = [pl.read_parquet(path) for path in sorted(root.glob("0*.parquet"))]
    pl.concat(frames).sort("patch_id").write_parquet(root / "other.parquet", compression="uncompressed")


def merge() -> Row:
    """Merging 64 shards: ours, polars in memory, and copying as many bytes."""
    root = _feature_shards(128_000)
    pairs = Pairs(lambda: _merge_ours(root), lambda: _merge_polars(root))
    ours, theirs = (pl.read_parquet(root / f"{name}.parquet") for name in ("ours", "other"))
    assert ours["patch_id"].equals(theirs["patch_id"])
    assert np.array_equal(ours["embedding"].to_numpy(), theirs["embedding"].to_numpy())

    def copy() -> None:
        shutil.copyfile(root / "ours.parquet", root / "copy.parquet")

    limit = min(timed(copy)[0] for _ in range(3))
    return pairs.rate(128_000, "rows/s", 128_000 / limit)


def merge_memory() -> Row:
    """Peak memory of merging 512,000 rows of 64 shards: ours and polars; the limit is ours for a quarter of them."""
    large, small = _feature_shards(512_000), _feature_shards(128_000)
    ours, other = peak_mib(_merge_ours, large)[0], peak_mib(_merge_polars, large)[0]
    return Row(ours, other, "MiB", peak_mib(_merge_ours, small)[0], less_is_better=True)
