"""The benchmarks: each function measures one row, ours and another way side by side, and asserts equal results.

`python -m bench.measure NAME` prints one row as JSON; `python -m bench` runs them all, each in its own process.
"""

import functools
import json
import math
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bench import archives, intervals, models
from bench.tools import (
    BASE,
    CORES,
    DIMENSIONS,
    REPOSITORY,
    S1_FOLDER,
    WORK,
    Pairs,
    Row,
    archive,
    optical,
    peak_mib,
    probe_data,
    timed,
    weights,
)

GFLOP = 35.4  # of DOFA base for one patch: 197 tokens of 224 x 224 pixels
STRENGTHS = [1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001]


# Pixels -------------------------------------------------------------------------------------------------------------


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


def _write_shard(root: Path) -> None:
    from earthprobe.steps import shard

    shard.run(
        patches=root / "patches.parquet",
        sensor="s1",
        source=[root / S1_FOLDER],
        shard=0,
        output=root / "ours.parquet",
    )


def shard_memory() -> Row:
    """Peak memory of writing a shard of 2,048 patches; the limit is that of 1,024."""
    large, small = archive(2048), archive(1024)
    return Row(peak_mib(_write_shard, large)[0], None, "MiB", peak_mib(_write_shard, small)[0], less_is_better=True)


# Embeddings ---------------------------------------------------------------------------------------------------------


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


# Probes -------------------------------------------------------------------------------------------------------------


def _forest(data: Any, trees: int, kind: str) -> Any:
    from earthprobe import registry

    return registry.load("probes", kind).fit(data, threads=CORES, n_estimators=trees).scores["test"]


def _scikit_learns(data: Any, trees: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    train, test = data.parts["train"], data.parts["test"]
    forest = RandomForestClassifier(trees, random_state=0, n_jobs=CORES).fit(train.features, train.targets)
    for part in (data.parts["val"], test):
        columns = [p[:, 1] for p in forest.predict_proba(part.features)]
    return np.stack(columns, axis=1).astype(np.float32)


def _map(data: Any, scores: Any) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(data.parts["test"].targets, scores))


def random_forest(classes: int) -> Row:
    """Growing and scoring a forest: ours in batches, and scikit-learn at once."""
    data, trees = probe_data(10_000, classes), 12
    pairs = Pairs(lambda: _forest(data, trees, "random_forest"), lambda: _scikit_learns(data, trees))
    assert np.array_equal(pairs.result, pairs.expected)
    return pairs.rate(trees, "trees/s")


def _forest_of_classes(classes: int) -> Any:
    return _forest(probe_data(10_000, classes), 100, "random_forest")


def _scikit_learns_of_classes(classes: int) -> Any:
    return _scikit_learns(probe_data(10_000, classes), 100)


def random_forest_memory(classes: int) -> Row:
    """Peak memory of the same, with enough trees to count."""
    ours, scores = peak_mib(_forest_of_classes, classes)
    other, want = peak_mib(_scikit_learns_of_classes, classes)
    assert np.array_equal(scores, want)
    return Row(ours, other, "MiB", less_is_better=True)


def faster_forest(kind: str, rows: int, classes: int) -> Row:
    """Another kind of forest against scikit-learn's; the mAP is compared, not equal."""
    data, trees = probe_data(rows, classes), 8
    _forest(probe_data(200, classes), 1, kind)  # what is compiled is compiled now
    pairs = Pairs(lambda: _forest(data, trees, kind), lambda: _scikit_learns(data, trees))
    quality = [_map(data, scores) for scores in (pairs.result, pairs.expected)]
    print(f"mAP of {kind} and of scikit-learn: {quality[0]:.4f} {quality[1]:.4f}", file=sys.stderr)
    return pairs.rate(trees, "trees/s")


def linear() -> Row:
    """A grid of six strengths, 19 classes: ours, and scikit-learn one class at a time; mAP within 0.002."""
    from earthprobe.probes import linear as module
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, log_loss

    data = probe_data(10_000, 19)
    train, val, test = (data.parts[split] for split in ("train", "val", "test"))

    def theirs() -> Any:
        best: tuple[float, Any] = (math.inf, None)
        for strength in STRENGTHS:
            models = [
                LogisticRegression(C=1 / (strength * len(train.ids)), max_iter=1000).fit(train.features, y)
                for y in train.targets.T
            ]
            scores = [[m.predict_proba(p.features)[:, 1] for m in models] for p in (val, test)]
            loss = float(np.mean([log_loss(y, p) for y, p in zip(val.targets.T, scores[0], strict=True)]))
            best = min(best, (loss, np.stack(scores[1], axis=1)), key=lambda pair: pair[0])
        return best[1]

    pairs = Pairs(lambda: module.fit(data, threads=CORES, strengths=STRENGTHS).scores["test"], theirs, 2)
    ours, reference = (float(average_precision_score(test.targets, of)) for of in (pairs.result, pairs.expected))
    print(f"mAP of ours and scikit-learn: {ours:.4f} {reference:.4f}", file=sys.stderr)
    assert abs(ours - reference) < 0.002
    return pairs.seconds()


def mlp() -> Row:
    """An epoch of 50,000 patches: ours, and the same steps fed by a DataLoader; the limit is the goal for that many."""
    import torch
    import torch.nn.functional as F  # noqa: N812
    from earthprobe.probes import mlp as module
    from torch.utils.data import DataLoader, TensorDataset

    data = probe_data(50_000, 19)
    probe = {
        "hidden": [512],
        "learning_rate": 3e-4,
        "weight_decay": 0.01,
        "dropout": 0.2,
        "batch_size": 64,
        "max_epochs": 1,
        "patience": 1,
        "seed": 0,
    }
    x, y, x_val, y_val = (
        torch.from_numpy(a)
        for s in ("train", "val")
        for a in (data.parts[s].features, data.parts[s].targets.astype("f4"))
    )

    def theirs() -> float:
        torch.manual_seed(0)
        model = module.build(DIMENSIONS, probe["hidden"], y.shape[1], probe["dropout"])
        share = (y.sum(0) + 0.5) / (len(y) + 1)
        with torch.no_grad():
            model[-1].bias.copy_(torch.log(share / (1 - share)))
        optimizer = torch.optim.AdamW(model.parameters(), lr=probe["learning_rate"], weight_decay=probe["weight_decay"])
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).split(64)
        batches = [rows.tolist() for rows in order]
        for features, targets in DataLoader(TensorDataset(x, y), batch_sampler=batches, generator=torch.Generator()):
            loss = F.binary_cross_entropy_with_logits(model(features), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            return float(F.binary_cross_entropy_with_logits(model(x_val), y_val))

    torch.set_num_threads(CORES)
    pairs = Pairs(lambda: module.fit(data, threads=CORES, **probe), theirs)
    ours, want = pairs.result.chosen["val_loss"], pairs.expected
    assert math.isclose(ours, want, rel_tol=1e-4), (ours, want)
    return pairs.seconds(30 * 50_000 / 269_695)


def umap() -> Row:
    """Laying out a sample of 5,000 of 20,000 patches: ours, and umap-learn with all of them."""
    import umap as library
    from earthprobe.steps.sample import stratified

    data = probe_data(20_000, 19).parts["train"]
    labels = pl.Series([np.flatnonzero(row).tolist() for row in data.targets], dtype=pl.List(pl.UInt8))

    def layout(rows: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return library.UMAP(n_neighbors=15, min_dist=0.1, random_state=0, n_jobs=1).fit_transform(rows)

    layout(data.features[:5000])  # umap-learn compiles itself
    rows = stratified(labels, 5000, np.random.default_rng(0))
    return Pairs(lambda: layout(data.features[rows]), lambda: layout(data.features)).seconds()


# The workflow -------------------------------------------------------------------------------------------------------


def dag(shards: int, goal: float) -> Row:
    """A dry run of shards x 3 feature sets x 2 label sets x 6 probes; the limit is the goal."""
    import yaml

    root = WORK / "dag"
    (root / "BigEarthNet-S1-v1.0").mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        (root / f"bigearthnet-{split}.csv").touch()
    demo = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    features = {**demo["features"]["dofa_base"], "bands": ["VV", "VH"]}
    config = {
        "archive": {"name": f"dag{shards}", "kind": "bigearthnet-v1", "root": str(root), "shards": shards},
        "label_sets": [19, 43],
        "features": {f"set{n}": {**features, "weights": f"random:{n}"} for n in range(3)},
        "probes": {f"probe{n}": {"kind": "linear"} for n in range(6)},
    }
    path = root / f"{shards}.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "all", "--configfile", str(path)]
    seconds, done = timed(lambda: subprocess.run(command, capture_output=True, check=True, cwd=REPOSITORY))
    assert done.returncode == 0
    return Row(seconds, None, "s", goal, less_is_better=True)


ROWS: dict[str, Callable[[], Row]] = {
    "shard_read": shard_read,
    "shard": functools.partial(shard, "s1"),
    "shard_s2": functools.partial(shard, "s2"),
    "read_s2": read_s2,
    "shard_memory": shard_memory,
    "tar": functools.partial(archives.tar, 10_000, ".tar"),
    "tar_gz": functools.partial(archives.tar, 50_000, ".tar.gz"),
    "tar_zst": functools.partial(archives.tar, 10_000, ".tar.zst"),
    "tar_memory": archives.tar_memory,
    "index_v1": functools.partial(archives.index, "bigearthnet-v1", "s"),
    "index_v1_memory": functools.partial(archives.index, "bigearthnet-v1", "MiB"),
    "index_reben": functools.partial(archives.index, "reben", "s"),
    "index_reben_memory": functools.partial(archives.index, "reben", "MiB"),
    "embed_cpu": functools.partial(embed, "bfloat16", "cpu"),
    "embed_cpu_float32": functools.partial(embed, "float32", "cpu"),
    "embed_cpu_int8": functools.partial(models.dofa, 224, "int8"),
    "embed_cpu_128": functools.partial(models.dofa, 128, "bfloat16"),
    "embed_cpu_112": functools.partial(models.dofa, 112, "bfloat16"),
    "embed_cpu_112_int8": functools.partial(models.dofa, 112, "int8"),
    "embed_vit_small": models.vit_small,
    "embed_dinov2_base": models.softcon,
    "embed_timm_base": models.timm_vit,
    "embed_gpu": functools.partial(embed, "bfloat16", "cuda"),
    "merge": merge,
    "merge_memory": merge_memory,
    "random_forest_19": functools.partial(random_forest, 19),
    "random_forest_43": functools.partial(random_forest, 43),
    "random_forest_43_memory": functools.partial(random_forest_memory, 43),
    "binned_forest_19": functools.partial(faster_forest, "binned_forest", 20_000, 19),
    "binned_forest_43": functools.partial(faster_forest, "binned_forest", 20_000, 43),
    "extra_trees_43": functools.partial(faster_forest, "extra_trees", 20_000, 43),
    "linear": linear,
    "mlp": mlp,
    "intervals_by_tile": functools.partial(intervals.intervals, "tile"),
    "intervals_by_patch": functools.partial(intervals.intervals, "patch"),
    "intervals_memory": intervals.memory,
    "umap": umap,
    "dag_64": functools.partial(dag, 64, 5),
    "dag_1024": functools.partial(dag, 1024, 20),
}


def main() -> Iterator[str]:
    """Measures the rows that are named on the command line."""
    warnings.simplefilter("ignore")
    for name in sys.argv[1:]:
        yield json.dumps(ROWS[name]().columns(name))


if __name__ == "__main__":
    for line in main():
        print(line)
