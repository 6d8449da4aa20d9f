"""Writes docs/study.md from the results of config/real-patches.yaml: `python config/write_study.py`."""

import shutil
from pathlib import Path

import polars as pl
from earthprobe.figures.gallery import gather
from earthprobe.storage.markdown import grid
from earthprobe.storage.pixels import read_patches
from earthprobe.storage.quick_look import quick_look

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "results/real-patches"
FILE = REPOSITORY / "docs/study.md"
PICTURES = {
    "cost_labels.png": "study_cost.png",
    "map.png": "study_map.png",
    "gallery.jpg": "study_gallery.jpg",
    "comparison_labels.png": "study_comparison.png",
    "label_budgets_labels.png": "study_label_budgets.png",
    "reliability_galileo_s1_labels.png": "study_reliability.png",
}

GALLERY = ("Arable land", "Coniferous forest", "Inland waters", "Pastures", "Urban fabric")
"""Classes of which patches are shown."""

METRICS = ("map_macro", "map_micro", "f2_macro", "f2_micro")
HEADING = ("feature set", "probe", "mAP macro %", "mAP micro %", "F2 macro %", "F2 micro %")

INTRODUCTION = """\
<!-- Made by `python config/write_study.py` from the results of config/real-patches.yaml. -->
# A study of 186 real patches

Does a really trained model know more of real patches than its random twin, than the pixels, and than the map? The
patches are {patches} of BigEarthNet in {groups} scenes, {optical} of them with Sentinel-2, with reBEN's labels;
{classes} of the 19 classes have at least 8 patches, and are used. Every patch is tested five times (five folds,
scenes kept whole, dealt five times anew) by a probe that has seen nothing of its scene. In brackets are 95 %
intervals, by drawing scenes and repeats with replacement. It runs on a laptop:

```sh
python -m bench.real_patches ../shared/data/real-patches    # links the weights of EfficientNet-lite0
snakemake --cores 2 --configfile config/real-patches.yaml
```

![The places of the patches](images/study_map.png)

"""

END = """

`galileo` is Galileo-nano with its authors' weights, `lite0` EfficientNet-lite0 as it was trained on photographs,
here with VV, VH and their difference for colours; `random` has the same architecture with random weights; `pixels`
are plain statistics of the bands, `rcf` and `mosaiks` random filters and such that are cut out of patches, and
`location` place and season alone.

`control` rows see no pixel:

{controls}

![Score against the time that a patch takes](images/study_cost.png)

## Which patches it recognises

Patches of Sentinel-2 in true colour, as the linear probe on `galileo_both` scores them for classes that they have, in
the first of the five repeats. Among what it misses are patches under snow or clouds, and such of which the class
covers little; of urban fabric no patch gets more than 0.08.

![Patches that have a class, with the highest and the lowest scores](images/study_gallery.jpg)

(BigEarthNet: RSiM TU Berlin / BIFOLD; contains Copernicus Sentinel data 2017-18; CDLA-Permissive-1.0.)

## Told apart?

{comparison_notes}

{comparisons}

![Differences with their intervals](images/study_comparison.png)

## At which threshold?

{threshold_notes}

{thresholds}

{threshold_findings}

## Do scores mean what they say?

{calibration_notes}

{calibration}

![Share that is true against the score of Galileo-nano's probes](images/study_reliability.png)

## With how many labels?

{budget_notes}

{budgets}

![Scores against the number of labelled train patches](images/study_label_budgets.png)

## With which seed?

{seed_notes}

{seeds}

## What this shows, and what it cannot

{findings}

- **It cannot rank models that are near each other.** Intervals are some ten points wide; on the same draws some five
  points between two rows can be told apart. They are of the scenes drawn: other scenes, countries and
  seasons may give other orders. Feature sets with Sentinel-2 are judged on {optical} patches, and stand beside each
  other only.
- **Scenes apart is not places apart.** Two scenes may be of one place at two times, so that a part of what is
  measured is place. The labels of the ten nearest patches of other scenes, without a pixel, reach mAP macro
  {neighbours}, and `galileo_s1` {galileo}: whether it knows more than the neighbourhood, these patches do not tell.
- **A probe trains on little**: some 110 patches, and of Sentinel-2 some 35. Long vectors and hungry probes are at a
  disadvantage that they would not have on a whole archive.
"""


def row(table: pl.DataFrame, features: str, probe: str) -> dict[str, float]:
    """A row of the table."""
    found: dict[str, float] = table.filter((pl.col("features") == features) & (pl.col("probe") == probe)).row(
        0, named=True
    )
    return found


def shown(row: dict[str, float], metric: str) -> str:
    """A figure with its interval, in percent."""
    value, low, high = (100 * row[f"{metric}{end}"] for end in ("", "_low", "_high"))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def findings(table: pl.DataFrame) -> str:
    """Sentences whose figures are those of the table."""
    lines = []
    for title, model, others in (
        ("Sentinel-1", "galileo_s1", ("galileo_s1_random", "pixels_s1", "rcf_s1", "location")),
        ("Sentinel-2", "galileo_s2", ("galileo_s2_random", "pixels_s2")),
        ("both together", "galileo_both", ("galileo_both_random", "pixels_both")),
    ):
        ours = shown(row(table, model, "linear"), "map_micro")
        rest = ", ".join(f"`{name}` {shown(row(table, name, 'linear'), 'map_micro')}" for name in others)
        lines.append(f"- **{title}**, linear probe, mAP micro: `{model}` {ours}; {rest}.")
    return "\n".join(lines)


OURS = ("galileo_s1", "galileo_s1_random", "pixels_s1", "rcf_s1", "location", "control")
"""The feature sets of Sentinel-1 whose thresholds and calibration are shown."""


KEYS = (("galileo_s1", "linear"), ("galileo_s1", "knn"), ("pixels_s1", "linear"))
"""The rows whose thresholds are compared in a sentence."""


def part(notes: str, title: str) -> tuple[str, str]:
    """The notes and the table of a part of the table to read, of the rows of :data:`OURS`."""
    text = notes.split(f"\n## {title}\n")[1].split("\n## ")[0].strip()
    *paragraphs, table = text.split("\n\n")
    heading, line, *rows = table.splitlines()
    kept = [row for row in rows if row.strip("| ").split(" ")[0] in OURS]
    return "\n\n".join(paragraphs), "\n".join([heading, line, *kept])


def of_thresholds(table: pl.DataFrame) -> str:
    """What tuned thresholds do to an order, in a sentence whose figures are those of the table."""
    names = ("f2_macro", "f2_macro_global")
    rows = {name: [row(table, *key) for key in KEYS] for name in names}
    fixed, tuned = (
        ", ".join(f"`{key[0]}` {key[1]} {shown(one, name)}" for key, one in zip(KEYS, found, strict=True))
        for name, found in rows.items()
    )
    every = shown(row(table, "control", "all_positive"), "f2_macro")
    return (
        f"F2 macro at 0.5: {fixed}. With one threshold tuned: {tuned}. To predict every class of every patch reaches"
        f" {every}: F2 forgives false alarms, and a probe that stays below this at 0.5 tells how its scores are"
        " calibrated rather than what it knows."
    )


def draw_map(index: pl.DataFrame, output: Path) -> None:
    """The places of patches, by country."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), dpi=120)
    for country in index["country"].unique().sort():
        here = index.filter(pl.col("country") == country)
        axes.scatter(
            here["longitude"], here["latitude"], s=14, label=f"{country} ({here.height})", alpha=0.7, linewidths=0
        )
    axes.set_xlabel("longitude")
    axes.set_ylabel("latitude")
    axes.set_aspect(1.6)
    axes.grid(color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=7, frameon=False)
    figure.savefig(output, bbox_inches="tight")


def draw_gallery(scores: Path, output: Path) -> None:
    """A row a class: the patches with the class that a probe scored highest, and those that it scored lowest."""
    import matplotlib.pyplot as plt

    chosen = output.with_suffix(".csv")
    gather(scores, 0.5, chosen)
    table = pl.read_csv(chosen).filter(pl.col("name").is_in(GALLERY))
    wanted = set(table["patch_id"])
    shards = (RESULTS / "shards/s2").glob("*.parquet")
    looks = {name: quick_look(bands) for path in shards for name, bands in read_patches(path, wanted).items()}
    figure, axes = plt.subplots(len(GALLERY), 7, figsize=(8.4, 7.2), width_ratios=(1, 1, 1, 0.35, 1, 1, 1), dpi=100)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, name in enumerate(GALLERY):
        axes[number, 0].set_title(name, loc="left", fontsize=10, weight="bold", pad=4)
        for row in table.filter(pl.col("name") == name).iter_rows(named=True):
            axis = axes[number, row["rank"] - 1 + (4 if row["kind"] == "worst" else 0)]
            axis.imshow(looks[row["patch_id"]], interpolation="nearest")
            text = {"x": 0.97, "y": 0.04, "s": f"{row['score']:.2f}", "transform": axis.transAxes, "ha": "right"}
            axis.text(**text, fontsize=9, color="white", bbox={"color": "black", "alpha": 0.6, "pad": 1.5})
    figure.text(0.235, 0.995, "has the class, highest scores", ha="center", va="top", fontsize=10)
    figure.text(0.765, 0.995, "has the class, lowest scores", ha="center", va="top", fontsize=10)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.94, 0.03, 0.2)
    figure.savefig(output, pil_kwargs={"quality": 85})


def text() -> str:
    """The whole page."""
    table = pl.read_csv(RESULTS / "tables/classification_labels.csv", infer_schema_length=None)
    index = pl.read_parquet(RESULTS / "index.parquet")
    optical = pl.read_parquet(RESULTS / "features/pixels_s2.parquet", columns=["patch_id"]).height
    notes = (RESULTS / "tables/classification_labels.md").read_text(encoding="utf-8")
    controls = [line.removeprefix("Control ").rstrip(".") for line in notes.splitlines() if line.startswith("Control ")]
    compared = (RESULTS / "tables/comparison_labels.md").read_text(encoding="utf-8").strip().split("\n\n")[1:]
    budgets = (RESULTS / "tables/label_budgets_labels.md").read_text(encoding="utf-8").strip().split("\n\n")[1:]
    thresholds, calibration, seeds = (part(notes, title) for title in ("Thresholds", "Calibration", "Seeds"))
    classes = int(notes.split("# Classification, ")[1].split(" ")[0])
    rows = [
        [f"`{r['features']}`", str(r["probe"]), *(shown(r, metric) for metric in METRICS)]
        for r in table.filter(pl.col("source") == "this run").iter_rows(named=True)
    ]
    counted = {"patches": index.height, "groups": index["group"].n_unique(), "optical": optical, "classes": classes}
    return (
        INTRODUCTION.format(**counted)
        + grid(HEADING, rows, range(2, 6))
        + END.format(
            findings=findings(table),
            controls="\n".join(f"- {control}" for control in controls),
            comparison_notes="\n\n".join(compared[:-1]),
            comparisons=compared[-1],
            threshold_notes=thresholds[0],
            thresholds=thresholds[1],
            threshold_findings=of_thresholds(table),
            calibration_notes=calibration[0],
            calibration=calibration[1],
            budget_notes="\n\n".join(budgets[:-1]),
            budgets=budgets[-1],
            seed_notes=seeds[0],
            seeds=seeds[1],
            neighbours=shown(row(table, "control", "neighbours"), "map_macro"),
            galileo=shown(row(table, "galileo_s1", "linear"), "map_macro"),
            **counted,
        )
    )


if __name__ == "__main__":
    draw_map(pl.read_parquet(RESULTS / "index.parquet"), RESULTS / "figures/map.png")
    draw_gallery(RESULTS / "probes/galileo_both/labels/linear/scores.parquet", RESULTS / "figures/gallery.jpg")
    for source, target in PICTURES.items():
        shutil.copy(RESULTS / "figures" / source, REPOSITORY / "docs/images" / target)
    FILE.write_text(text(), encoding="utf-8")
