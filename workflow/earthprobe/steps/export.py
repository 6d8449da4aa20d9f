"""Write the vectors of a feature set for others: NPZ, safetensors, or a Hugging Face dataset, with a datasheet."""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import safetensors.numpy

from earthprobe.describe import describe_data, describe_weights
from earthprobe.errors import UserError
from earthprobe.storage.embeddings import read_embeddings
from earthprobe.storage.files import replacing, write_text
from earthprobe.storage.parquet import parquet, read_metadata

log = logging.getLogger(__name__)

LABELS = "labels_"


def run(*, features: Path, index: Path, format: Literal["npz", "safetensors", "hf"] = "npz", output: Path) -> None:  # noqa: A002 - as users call it
    """Writes a folder with the vectors, what is known of their patches, and a datasheet (README.md).

    Args:
        features: the merged embeddings.
        index: ``index.parquet``, for splits, labels, dates and places.
        format: ``npz`` and ``safetensors`` hold ``vectors``, float32 of shape (patches, dimensions), beside
            ``patches.csv`` in the same order; ``hf`` is a folder that ``datasets.load_dataset`` takes: Parquet files,
            one a split.
        output: the folder; it must not be there yet.

    Raises:
        UserError: the folder is there already.
    """
    if output.exists():
        raise UserError(f"{output} is there already: give another folder, or delete it")
    metadata, known = read_metadata(features), read_metadata(index)
    with parquet(features) as file:
        ids = pl.Series("patch_id", file.read(columns=["patch_id"])["patch_id"].to_pylist(), dtype=pl.String)
    patches = _patches(ids, index, known["classes"])
    (vectors,) = read_embeddings(features, [np.arange(len(ids))])
    partial = output.with_name(f".{output.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if format == "hf":
        _dataset(patches, vectors, partial)
    else:
        _arrays(patches, vectors, format, metadata, partial)
    text = datasheet(features.stem, metadata, known["classes"], patches, vectors.shape, format)
    write_text(partial / "README.md", text)
    partial.rename(output)
    log.info("%d vectors of %d figures in %s", *vectors.shape, output)


def _patches(ids: pl.Series, index: Path, classes: Mapping[str, list[str]]) -> pl.DataFrame:
    """What is known of the patches, in the order of the vectors, labels as names."""
    columns = ["patch_id", "split", "group", "country", "date", "longitude", "latitude"]
    known = pl.read_parquet(index, columns=[*columns, *(f"{LABELS}{name}" for name in classes)])
    for name, members in classes.items():
        column = pl.col(f"{LABELS}{name}")
        known = known.with_columns(column.list.eval(pl.element().replace_strict(dict(enumerate(members)))))
    table = ids.to_frame().join(known, on="patch_id", how="left", maintain_order="left")
    if table["split"].null_count():  # its labels cannot be read
        lacking = table.filter(pl.col("split").is_null())["patch_id"]
        log.warning("%d patches have no labels, such as %s", len(lacking), lacking[0])
    return table


def _dataset(patches: pl.DataFrame, vectors: npt.NDArray[np.float32], folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    whole = patches.with_columns(embedding=pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1])))
    for (split,), rows in whole.group_by("split", maintain_order=True):
        name = {"val": "validation", None: "unlabelled"}.get(split, split)
        with replacing(data / f"{name}.parquet") as part:
            rows.write_parquet(part, compression="zstd")


def _arrays(
    patches: pl.DataFrame, vectors: npt.NDArray[np.float32], form: str, metadata: Mapping[str, Any], folder: Path
) -> None:
    if form == "npz":
        with replacing(folder / "vectors.npz") as part, part.open("wb") as stream:
            np.savez(stream, ids=np.array(patches["patch_id"].to_list(), dtype=np.str_), vectors=vectors)
    else:
        content = safetensors.numpy.save({"vectors": vectors}, {"earthprobe": json.dumps(metadata, sort_keys=True)})
        with replacing(folder / "vectors.safetensors") as part:
            part.write_bytes(content)
    lists = [name for name in patches.columns if name.startswith(LABELS)]
    with replacing(folder / "patches.csv") as part:
        patches.with_columns(pl.col(lists).list.join("|")).write_csv(part)


def datasheet(
    name: str,
    metadata: Mapping[str, Any],
    classes: Mapping[str, list[str]],
    patches: pl.DataFrame,
    shape: tuple[int, ...],
    form: str,
) -> str:
    """What a reader of the vectors must know, as Markdown; a Hugging Face dataset has it as its card."""
    licences = [str(metadata[key]) for key in ("licence", "weights_licence") if metadata.get(key)]
    head = ["---", "tags: [earth-observation, embeddings]", f"pretty_name: {name}", "---", ""] if form == "hf" else []
    splits = patches["split"].value_counts().rows()
    counts = ", ".join(f"{count:,} {split or 'without labels'}" for split, count in splits)
    labels = [f"- **labels_{key}**: {len(members)} classes: {'; '.join(members)}" for key, members in classes.items()]
    files = {
        "npz": "`vectors.npz` (`ids`, `vectors`) and `patches.csv`, in the same order",
        "safetensors": "`vectors.safetensors` (`vectors`) and `patches.csv`, in the same order",
        "hf": "`data/*.parquet`, a file a split: `datasets.load_dataset(FOLDER)`",
    }
    simulated = ["**The patches are simulated: these vectors are no result.**", ""] if metadata["simulated"] else []
    details = {key: value for key, value in metadata.items() if not isinstance(value, list) or len(value) < 50}
    return "\n".join(
        [
            *head,
            f"# {name}",
            "",
            *simulated,
            f"Vectors of {shape[1]} figures (float32) of {shape[0]:,} patches of the {describe_data(metadata)}:"
            f" {metadata.get('model') or metadata['kind']}, {describe_weights(metadata)},"
            f" bands {' '.join(metadata['bands']) or 'none'}.",
            "",
            f"- **Files**: {files[form]}.",
            f"- **Splits**: {counts}.",
            *labels,
            f"- **Licences** of pixels and weights: {', '.join(licences) or 'not known: ask their sources'}.",
            "",
            "How they were made, as earthprobe noted it:",
            "",
            "```json",
            json.dumps(details, indent=1, sort_keys=True),
            "```",
            "",
        ]
    )
