"""Writes the figures of `make no-pixels` into docs/method.md: `python config/write_no_pixels.py`."""

import re
import shutil
from pathlib import Path

import polars as pl
from earthprobe.storage.markdown import grid

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "results"
FILE = REPOSITORY / "docs/method.md"
SPLITS = {"official split of v1": "no-pixels-v1", "reBEN's split": "no-pixels-reben"}
METRICS = {"f2_macro": "F2 macro", "f2_micro": "F2 micro", "map_macro": "mAP macro", "map_micro": "mAP micro"}
BEGIN, END = "<!-- of make no-pixels -->\n\n", "\n\n<!-- end -->"


def main() -> str:
    """The page with its table renewed."""
    rows = []
    for title, name in SPLITS.items():
        table = pl.read_csv(RESULTS / name / "tables/classification_labels.csv", infer_schema_length=None)
        for row in table.filter(pl.col("source") == "this run").iter_rows(named=True):
            figures = [
                f"{100 * row[m]:.1f} [{100 * row[f'{m}_low']:.1f}, {100 * row[f'{m}_high']:.1f}]" for m in METRICS
            ]
            control = row["probe"] if row["features"] == "control" else "place and season, linear probe"
            rows.append([title, control, *figures])
    text = grid(["split", "row", *METRICS.values()], rows, range(2, 6))
    page = FILE.read_text(encoding="utf-8")
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", f"{BEGIN}{text}{END}", page, flags=re.DOTALL)


if __name__ == "__main__":
    shutil.copy(RESULTS / "no-pixels-v1/figures/buffer_labels.png", REPOSITORY / "docs/images/no_pixels_buffer.png")
    FILE.write_text(main(), encoding="utf-8")
