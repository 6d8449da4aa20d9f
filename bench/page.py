"""`python -m bench.page`: what `make bench` measured goes into docs/performance.csv and docs/performance.md.

A row that was not measured anew stays as it is, with its machine and its day.
"""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from earthprobe.storage.files import read_csv, write_csv, write_text

from bench.__main__ import COLUMNS
from bench.tools import REPOSITORY

KEPT = REPOSITORY / "docs/performance.csv"
PAGE = REPOSITORY / "docs/performance.md"
HEADING = ("row", "what", "ours", "another way", "times better", "limit")
GOAL = "goal"


class About(NamedTuple):
    """What a row measures.

    Attributes:
        name: of the row.
        what: is done.
        other: the other way to do it.
        limit: what the limit is, or :data:`GOAL`.
        share: whether it makes sense to say how near ours comes to it.
    """

    name: str
    what: str
    other: str = ""
    limit: str = ""
    share: bool = True


SKLEARN = "scikit-learn's `RandomForestClassifier`"
IN_BFLOAT16 = "ours in bfloat16 at 224 pixels"

TABLES: Mapping[str, Sequence[About]] = {
    "pixels": (
        About(
            "shard_read",
            "pixels of Sentinel-1's TIFF files",
            "`rasterio.open(...).read(1)`",
            "the files' bytes alone",
        ),
        About("shard", "a shard of Sentinel-1", "a loop over `rasterio.open`, same file", "the files' bytes alone"),
        About("shard_s2", "a shard of Sentinel-2", "a loop over `rasterio.open`, same file", "the files' bytes alone"),
        About("shard_memory", "the first of them", limit="of half as many patches", share=False),
        About(
            "read_s2",
            "12 bands from a shard, all at 10 m",
            "from TIFF files by `rasterio`, resampled",
            "the shard's Parquet alone",
        ),
    ),
    "archives": (
        About("tar", "one pass over a tar file, listing it", "Python's `tarfile`", "the file's bytes alone"),
        About("tar_gz", "the same of .tar.gz, pixels kept", "Python's `tarfile`, as many kept", "decompression alone"),
        About("tar_zst", "the same of .tar.zst", "", "decompression alone"),
        About("tar_memory", "50,000 patches of .tar.gz", limit="of 10,000 patches", share=False),
        About("index_v1", "index of v1, 519,284 patches", limit=GOAL),
        About("index_v1_memory", "the same", limit=GOAL),
        About("index_reben", "index of reBEN, 549,488 patches", limit=GOAL),
        About("index_reben_memory", "the same", limit=GOAL),
    ),
    "embeddings": (
        About(
            "embed_cpu",
            "DOFA base, from shard to vectors, bfloat16",
            "torchgeo's dataset and model, float32",
            "bfloat16 matrix products, 35.4 GFLOP a patch",
        ),
        About("embed_cpu_float32", "the same, float32", "the same", "float32 matrix products"),
        About("embed_cpu_int8", "DOFA base, forward pass alone, int8", IN_BFLOAT16),
        About("embed_cpu_128", "bfloat16, 128 pixels", IN_BFLOAT16),
        About("embed_cpu_112", "bfloat16, 112 pixels", IN_BFLOAT16),
        About("embed_cpu_112_int8", "int8, 112 pixels", IN_BFLOAT16),
        About("embed_vit_small", "torchgeo's ViT small, bfloat16", "torchgeo's forward pass, float32"),
        About("embed_dinov2_base", "torchgeo's DINOv2 ViT base, bfloat16", "torchgeo's forward pass, float32"),
        About("embed_resnet50", "torchgeo's ResNet-50, bfloat16", "torchgeo's forward pass, float32"),
        About("embed_timm_base", "timm's ViT base, bfloat16", "timm's forward pass, float32"),
        About("embed_statistics", "`statistics` of 12 bands", "numpy's functions, one after the other"),
        About("embed_rcf", "`rcf` of 2 bands", "torchgeo's `RCF`"),
        About("embed_gpu", "DOFA base on a GPU"),
        About("merge", "64 files of vectors to one", "`polars.concat(...).sort(...)` in memory", "copying the file"),
        About("merge_memory", "the same of 512,000 patches", "the same", "of a quarter of the patches", share=False),
    ),
    "probes": (
        About("random_forest_19", "`random_forest`, 10,000 patches, 19 classes", f"{SKLEARN}, same trees"),
        About("random_forest_43", "the same, 43 classes", f"{SKLEARN}, same trees"),
        About("random_forest_43_memory", "the same, 100 trees", f"{SKLEARN}, same trees"),
        About("binned_forest_19", "`binned_forest`, 20,000 patches, 19 classes", SKLEARN),
        About("binned_forest_43", "the same, 43 classes", SKLEARN),
        About("extra_trees_43", "`extra_trees`, the same", SKLEARN),
        About("linear", "`linear`, six strengths, 10,000 patches", "scikit-learn's `LogisticRegression`, by class"),
        About("mlp", "`mlp`, an epoch of 50,000 patches", "the same steps, fed by a `DataLoader`", GOAL),
    ),
    "evaluation": (
        About("intervals_by_tile", "1,000 draws of 92 tiles, all metrics", "scikit-learn's metrics, draw by draw"),
        About("intervals_by_patch", "1,000 draws of 125,866 patches", "scikit-learn's metrics, draw by draw"),
        About("intervals_memory", "the first of them", limit=GOAL),
        About("umap", "layout of 20,000 patches, one thread", "umap-learn alone"),
        About("dag_64", "a dry run, 64 shards", limit=GOAL),
        About("dag_1024", "a dry run, 1,024 shards", limit=GOAL),
    ),
}


def main() -> None:
    """Takes over what was measured, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=Path("results/bench/bench.csv"))
    options = parser.parse_args()
    rows = {row["name"]: row for path in (KEPT, options.csv) if path.exists() for row in read_csv(path)}
    write_csv(KEPT, COLUMNS, [tuple(rows[one.name][key] for key in COLUMNS) for one in known(rows)])
    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), rows))


def known(rows: Mapping[str, object]) -> list[About]:
    """The rows that were measured, in the order of the page."""
    return [one for table in TABLES.values() for one in table if one.name in rows]


def filled(text: str, rows: Mapping[str, Mapping[str, str]]) -> str:
    """A page with its tables written anew, each between two comments."""
    machines = list(dict.fromkeys(rows[one.name]["machine"] for one in known(rows)))
    blocks = {name: "\n".join(lines(about, rows, machines)) for name, about in TABLES.items()}
    blocks["machines"] = "\n".join(f"- {mark(n, machines)}{text}" for n, text in enumerate(machines))

    def write(found: re.Match[str]) -> str:
        return f"{found[1]}\n\n{blocks[found[2]]}\n\n{found[3]}"

    return re.sub(r"(<!-- bench: (\w+) -->)\n.*?(<!-- end -->)", write, text, flags=re.DOTALL)


def mark(number: int, machines: Sequence[str]) -> str:
    """What a machine is called, where there are several."""
    return f"{chr(ord('A') + number)}: " if len(machines) > 1 else ""


def lines(about: Iterable[About], rows: Mapping[str, Mapping[str, str]], machines: Sequence[str]) -> list[str]:
    """A table in Markdown."""
    heading = (*HEADING, "machine") if len(machines) > 1 else HEADING
    found = [" | ".join(heading), " | ".join(["---"] * len(heading))]
    for one in about:
        if one.name in rows:
            row = rows[one.name]
            cells = [f"`{one.name}`", one.what, *figures(one, row)]
            if len(machines) > 1:
                cells.append(chr(ord("A") + machines.index(row["machine"])))
            found.append(" | ".join(cells))
    return found


def figures(one: About, row: Mapping[str, str]) -> tuple[str, str, str, str]:
    """Ours, the other way, their ratio, and the limit."""
    try:
        ours = f"{plain(row['ours'])} {row['unit']}"
    except ValueError:  # it says why it was not measured
        return row["ours"], "", "", ""
    other = f"{one.other}: {plain(row['other'])}" if row["other"] else ""
    ratio = f"{row['ratio']} ({row['ratios']})" if row["ratios"] else row["ratio"]
    limit = plain(row["limit"]) if row["limit"] else ""
    if limit and one.limit == GOAL:
        limit = f"goal {limit}: {'met' if float(row['share_of_limit']) >= 1 else 'not met'}"
    elif limit:
        share = f" ({100 * float(row['share_of_limit']):.0f} %)" if one.share else ""
        limit = f"{one.limit}: {limit}{share}"
    return ours, other, ratio, limit


def plain(figure: str) -> str:
    """A figure with commas between thousands."""
    return f"{float(figure):,.0f}" if float(figure) >= 1000 else figure


if __name__ == "__main__":
    main()
