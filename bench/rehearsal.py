"""The workflow behind the embeddings at full scale: 519,284 patches with the official names and splits.

The embeddings are synthetic, since no weights and no archive are needed to know how long the steps take. The 19-class
labels are real where reBEN has the patch; other labels are drawn. Each step runs as the workflow runs it, in processes
of Snakemake, and says in its log what it took.
"""

import argparse
import csv
import lzma
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from earthprobe.archives import grid
from earthprobe.archives.bigearthnet import CLASSES_19, CLASSES_43, FROM_43_TO_19
from earthprobe.archives.interface import SPLITS
from earthprobe.steps.embed import ROW_GROUP, embedding_schema
from earthprobe.steps.index import known, schema_of
from earthprobe.storage.files import replacing, write_csv
from earthprobe.storage.geoparquet import described, footprints, geographic
from earthprobe.storage.parquet import check_ids, with_metadata
from earthprobe.storage.patches import SCHEMA as PATCHES_SCHEMA
from earthprobe.storage.patches import shard_of

from bench.tools import S1_FOLDER, Load

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path("results")
SHARDS = 64
DIMENSIONS = 768
RULES = ["merge", "sample", "umap", "explore", "train", "evaluate", "compare", "table", "config"]
RULES += [f"figure_{kind}" for kind in ("class_distribution", "label_correlation", "umap", "f2_per_class", "confusion")]
STEPS = ("step", "detail", "share", "patches", "seconds", "cpu_seconds", "peak_mib")
DONE = re.compile(r"done in ([\d.]+) s, ([\d.]+) s of CPU time, peak memory ([\d.]+) MiB")


def main() -> None:
    """Prepares and runs the rehearsal of each share, and writes ``results/bench/rehearsal.csv``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the official split and label files")
    parser.add_argument("--shares", type=int, nargs="+", default=[10, 30, 100], help="percent of the archive")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--probes", nargs="+", default=[], help="kinds, with their defaults, in the demo's place")
    options = parser.parse_args()
    for share in options.shares:
        name = f"rehearsal-{share}"
        patches = prepare(options.data, share, RESULTS / name)
        config = write_config(name, options.probes)
        command = [sys.executable, "-m", "snakemake", "--cores", str(options.cores), "--configfile", str(config)]
        command += ["--allowed-rules", *RULES, "--", *targets(RESULTS / name)]
        load = Load()
        subprocess.run(command, check=True)
        print(f"{name}: {patches} patches; of all cores, others took {load.said()}")
    steps = [row for share in options.shares for row in measured(RESULTS / f"rehearsal-{share}", share)]
    write_csv(RESULTS / "bench/rehearsal.csv", STEPS, steps)


def prepare(data: Path, share: int, results: Path) -> int:
    """Writes what the rules before `merge` would have written, and returns the number of patches."""
    done = results / "prepared"
    if done.exists():
        return int(done.read_text())
    archive = results / "archive"
    (archive / S1_FOLDER).mkdir(parents=True, exist_ok=True)
    rows = []
    for split in SPLITS:
        text = lzma.decompress((data / f"bigearthnet-v1-splits/bigearthnet-{split}.csv.xz").read_bytes()).decode()
        (archive / f"bigearthnet-{split}.csv").write_text(text)
        rows += [(s1, s2, split) for s2, s1 in csv.reader(text.splitlines())]
    frame = pl.DataFrame(rows, ("patch_id", "s2_id", "split"), orient="row").sort("patch_id")
    # A hash that is not the shard's, so that all shards shrink alike.
    frame = frame.filter([shard_of(f"share {name}", 100) < share for name in frame["patch_id"]])
    geometry, bbox = footprints(grid.footprints(frame["patch_id"].to_list()))
    frame = frame.with_columns(
        group=pl.Series([grid.scene_of(name) for name in frame["patch_id"]], dtype=pl.String),
        country=pl.lit(None, pl.String),
        date=pl.lit(None, pl.Date),
        longitude=pl.lit(None, pl.Float64),
        latitude=pl.lit(None, pl.Float64),
        shard=pl.Series([shard_of(name, SHARDS) for name in frame["patch_id"]], dtype=pl.UInt16),
        folder_s1=pl.col("patch_id"),
        folder_s2=pl.col("s2_id"),
        geometry=pl.Series(geometry),
        bbox=pl.Series(bbox),
    )
    source = {"archive": results.name, "simulated": True}
    geo = described(bbox, polygons=True)
    schema = geographic(with_metadata(PATCHES_SCHEMA, source), geo)
    pq.write_table(frame.select(schema.names).to_arrow().cast(schema), results / "patches.parquet")
    labels_19, labels_43 = labels(data, frame)
    classes = {"19": CLASSES_19, "43": CLASSES_43}
    said = {"classes": classes, "tasks": dict.fromkeys(classes, "multilabel"), "classes_left_out": {}, "rejected": []}
    metadata = {**source, **said}
    columns = {name: frame[name].to_list() for name in frame.columns}
    columns |= {name: column.to_list() for name, column in known(frame).to_dict().items()}
    columns |= {"labels_19": labels_19, "labels_43": labels_43}
    schema = geographic(with_metadata(schema_of(("43", "19")), metadata), geo)
    table = pa.table([pa.array(columns[f.name], f.type) for f in schema], schema)
    pq.write_table(table, results / "index.parquet")
    write_csv(results / "rejected/s1.csv", ("patch_id", "split", "reason"), [])
    write_shards(frame, labels_43, results)
    done.write_text(str(len(frame)))
    return len(frame)


def labels(data: Path, frame: pl.DataFrame) -> tuple[list[list[int]], list[list[int]]]:
    """19-class labels, real where reBEN has the patch, else those of a random one that it has; 43 that map to them."""
    rng = np.random.default_rng(0)
    known = pl.concat(
        pl.read_parquet(data / "reben-metadata" / name, columns=["s1_name", "labels"])
        for name in ("metadata.parquet", "metadata_for_patches_with_snow_cloud_or_shadow.parquet")
    )
    index = {name: number for number, name in enumerate(CLASSES_19)}
    of = {s1: sorted(index[label] for label in names) for s1, names in known.iter_rows()}
    pool = list(of.values())
    labels_19 = [of[s1] if s1 in of else pool[rng.integers(len(pool))] for s1 in frame["patch_id"]]
    print(f"{sum(s1 in of for s1 in frame['patch_id'])} of {len(frame)} patches have real labels")
    finer = {coarse: [f for f, c in FROM_43_TO_19.items() if c == coarse] for coarse in range(19)}
    unmapped = [label for label in range(43) if label not in FROM_43_TO_19]
    labels_43 = [
        sorted({finer[c][int(u * len(finer[c]))] for c in coarse} | ({int(extra)} if lone < 0.1 else set()))
        for coarse, u, lone, extra in zip(
            labels_19,
            rng.random(len(frame)) ** 2,
            rng.random(len(frame)),
            rng.choice(unmapped, len(frame)),
            strict=True,
        )
    ]
    return labels_19, labels_43


def write_shards(frame: pl.DataFrame, labels_43: list[list[int]], results: Path) -> None:
    """Embeddings whose classes overlap, with a few strong directions and many weak ones, as a ViT's have."""
    rng = np.random.default_rng(1)
    rotation = np.linalg.qr(rng.normal(size=(DIMENSIONS, DIMENSIONS)))[0].astype(np.float32)
    basis = rotation * (np.arange(1, DIMENSIONS + 1, dtype=np.float32) ** -0.5)[:, None]
    centres = rng.normal(0, 0.06, (43, DIMENSIONS)).astype(np.float32) @ basis
    origin: dict[str, object] = {
        "archive": results.name,
        "simulated": True,
        "kind": "dofa",
        "model": "synthetic",
        "weights": "random:0",
    }
    origin |= {"file": "", "sha256": "", "bands": ["VV", "VH"], "wavelengths": [3.75, 3.75], "image_size": 224}
    origin |= {"normalization": {"kind": "zscore"}, "pooling": "none", "precision": "float32", "device": "none"}
    origin |= {"torch_version": "", "torchgeo_version": ""}
    schema = with_metadata(embedding_schema(DIMENSIONS), origin)
    frame = frame.with_columns(labels=pl.Series(labels_43))
    for shard in range(SHARDS):
        here = frame.filter(pl.col("shard") == shard)
        noise = np.random.default_rng([2, shard]).standard_normal((len(here), DIMENSIONS), dtype=np.float32)
        vectors = noise @ basis
        for row, classes in enumerate(here["labels"]):
            vectors[row] += centres[classes.to_list()].sum(axis=0)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), type=schema.field("embedding").type)
        with replacing(results / f"features/synthetic/{shard:04d}.parquet") as part:
            table = pa.table([here["patch_id"].to_arrow().cast(pa.string()), column], schema=schema)
            pq.write_table(table, part, row_group_size=ROW_GROUP, compression="none", use_dictionary=False)
            check_ids(part, here["patch_id"].to_list())


def write_config(name: str, kinds: Sequence[str] = ()) -> Path:
    """The demo's label sets and probes over the synthetic embeddings, or probes of other kinds."""
    demo = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    config = {
        "archive": {"name": name, "kind": "bigearthnet-v1", "root": str(RESULTS / name / "archive"), "shards": SHARDS},
        "label_sets": demo["label_sets"],
        "features": {"synthetic": {**demo["features"]["dofa_base"], "bands": ["VV", "VH"]}},
        "probes": {kind: {"kind": kind} for kind in kinds} if kinds else demo["probes"],
        "controls": "none",
    }
    path = RESULTS / name / "rehearsal.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def targets(results: Path) -> list[str]:
    """The tables and all figures but the galleries, which show pixels that there are not."""
    config = yaml.safe_load((results / "rehearsal.yaml").read_text())
    names = []
    for labels in config["label_sets"]:
        names += [f"tables/classification_{labels}.csv", f"figures/umap_synthetic_{labels}.png"]
        names += [f"figures/{kind}_{labels}.png" for kind in ("class_distribution", "label_correlation")]
        names += [f"figures/f2_per_class_synthetic_{labels}.png"]
        names += [f"figures/confusion_synthetic_{labels}_{probe}.png" for probe in config["probes"]]
    return [str(results / name) for name in names]


def measured(results: Path, share: int) -> list[tuple[object, ...]]:
    """What each step says at the end of its log."""
    patches = int((results / "prepared").read_text())
    rows: list[tuple[object, ...]] = []
    for log in sorted((results / "logs").rglob("*.log")):
        if found := DONE.findall(log.read_text()):
            step, *detail = log.relative_to(results / "logs").with_suffix("").parts
            rows.append((step, " ".join(detail), share, patches, *map(float, found[-1])))
    return rows


if __name__ == "__main__":
    main()
