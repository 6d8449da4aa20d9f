"""Counts the 19-class label sets of reBEN's label table: python -m bench.label_sets metadata.parquet OUT.csv.

Only the counts are kept, no patch: sets that fewer than three patches have are left out.
"""

import sys

import polars as pl
from earthprobe.archives.bigearthnet import CLASSES_19

FEWEST = 3


def main(metadata: str, out: str) -> None:
    """Writes one row a label set: indices of the 19 classes, joined by spaces, and its count."""
    table = pl.read_parquet(metadata, columns=["labels"])
    counts = (
        table.select(
            label_set=pl.col("labels")
            .list.eval(pl.element().replace_strict(list(CLASSES_19), list(range(19)), return_dtype=pl.Int64))
            .list.sort()
            .list.eval(pl.element().cast(pl.String))
            .list.join(" ")
        )
        .group_by("label_set")
        .len("patches")
        .filter(pl.col("patches") >= FEWEST)
        .sort(["patches", "label_set"], descending=[True, False])
    )
    counts.write_csv(out)


if __name__ == "__main__":
    main(*sys.argv[1:3])
