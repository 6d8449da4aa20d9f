"""The benchmarks: each function measures one row, ours and another way side by side, and asserts equal results.

`python -m bench` runs them all, each in its own process.
"""

import functools
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator

from bench import archives, embeddings, forests, intervals, models, pixels, probes
from bench.tools import REPOSITORY, WORK, Row, timed


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
    seconds, _ = timed(lambda: subprocess.run(command, capture_output=True, check=True, cwd=REPOSITORY))
    return Row(seconds, None, "s", goal, less_is_better=True)


ROWS: dict[str, Callable[[], Row]] = {
    "shard_read": pixels.shard_read,
    "shard": functools.partial(pixels.shard, "s1"),
    "shard_s2": functools.partial(pixels.shard, "s2"),
    "read_s2": pixels.read_s2,
    "shard_memory": pixels.shard_memory,
    "tar": functools.partial(archives.tar, 10_000, ".tar"),
    "tar_gz": functools.partial(archives.tar, 10_000, ".tar.gz"),
    "tar_zst": functools.partial(archives.tar, 10_000, ".tar.zst"),
    "tar_memory": archives.tar_memory,
    "index_v1": functools.partial(archives.index, "bigearthnet-v1", "s"),
    "index_v1_memory": functools.partial(archives.index, "bigearthnet-v1", "MiB"),
    "index_reben": functools.partial(archives.index, "reben", "s"),
    "index_reben_memory": functools.partial(archives.index, "reben", "MiB"),
    "embed_cpu": functools.partial(embeddings.embed, "bfloat16", "cpu"),
    "embed_cpu_float32": functools.partial(embeddings.embed, "float32", "cpu"),
    "embed_cpu_int8": functools.partial(models.dofa, 224, "int8"),
    "embed_cpu_128": functools.partial(models.dofa, 128, "bfloat16"),
    "embed_cpu_112": functools.partial(models.dofa, 112, "bfloat16"),
    "embed_cpu_112_int8": functools.partial(models.dofa, 112, "int8"),
    "embed_statistics": models.statistics,
    "embed_rcf": models.rcf,
    "embed_vit_small": models.vit_small,
    "embed_dinov2_base": models.softcon,
    "embed_resnet50": models.resnet,
    "embed_timm_base": models.timm_vit,
    "embed_gpu": functools.partial(embeddings.embed, "bfloat16", "cuda"),
    "merge": embeddings.merge,
    "merge_memory": embeddings.merge_memory,
    "random_forest_19": functools.partial(forests.random_forest, 19),
    "random_forest_43": functools.partial(forests.random_forest, 43),
    "random_forest_43_memory": functools.partial(forests.random_forest_memory, 43),
    "binned_forest_19": functools.partial(forests.faster_forest, "binned_forest", 20_000, 19),
    "binned_forest_43": functools.partial(forests.faster_forest, "binned_forest", 20_000, 43),
    "extra_trees_43": functools.partial(forests.faster_forest, "extra_trees", 20_000, 43),
    "linear": probes.linear,
    "mlp": probes.mlp,
    "intervals_by_tile": functools.partial(intervals.intervals, "tile"),
    "intervals_by_patch": functools.partial(intervals.intervals, "patch"),
    "intervals_memory": intervals.memory,
    "umap": probes.umap,
    "dag_64": functools.partial(dag, 64, 5),
    "dag_1024": functools.partial(dag, 1024, 20),
}


def main() -> Iterator[str]:
    """Measures the rows that are named on the command line."""
    warnings.simplefilter("ignore")
    for name in sys.argv[1:]:
        yield json.dumps(ROWS[name]().columns(name))
