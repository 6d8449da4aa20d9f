"""How time and memory of each step grow with the archive: a picture and a table of `make rehearsal`."""

import argparse
from pathlib import Path

import polars as pl
from earthprobe.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, WIDTH, new_figure, note, save

STEPS = {
    "merge": ("merge", BLUE),
    "umap": ("umap (20,000 patches)", ORANGE),
    "evaluate": ("evaluate", GREEN),
    "compare": ("compare", GREY),
    "random_forest": ("random forest", PURPLE),
    "extra_trees": ("extra trees", SKY),
    "binned_forest": ("binned forest", "#7B3F00"),
    "linear": ("linear", RED),
    "linear_sgd": ("linear by gradient descent", "#6B8E23"),
    "mlp": ("MLP", BLACK),
}
SECONDS = (1, 10, 100, 1000)
GIB = (0.25, 0.5, 1, 2, 4, 8)
DASHES = {19: (), 43: (3, 1.5)}


def main() -> None:
    """Draws ``docs/images/growth.png`` and prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=Path("results/bench/rehearsal.csv"))
    parser.add_argument("--image", type=Path, default=Path("docs/images/growth.png"))
    options = parser.parse_args()
    steps = read(options.csv)
    draw(steps, options.image)
    print(markdown(steps))


def read(path: Path) -> pl.DataFrame:
    """The rehearsal's steps; of jobs that differ in the probe alone and not in kind, the longest."""
    steps = pl.read_csv(path).with_columns(pl.col("detail").fill_null(""))
    probe, labels = pl.col("detail").str.split(" ").list.last(), pl.col("detail").str.extract(r"\b(19|43)\b")
    steps = steps.with_columns(
        name=pl.when(pl.col("step") == "train").then(probe).otherwise(pl.col("step")),
        labels=labels.cast(pl.Int64),
    )
    measures = ("seconds", "cpu_seconds", "peak_mib")
    return steps.group_by("name", "labels", "patches", maintain_order=True).agg(pl.max(*measures)).sort("patches")


def draw(steps: pl.DataFrame, image: Path) -> None:
    """Time and memory against patches, both logarithmic; a dotted line grows in proportion to the archive."""
    steps = steps.filter(pl.col("name").is_in(list(STEPS)))
    figure = new_figure(3.6, WIDTH)
    for axes, column, title in zip(
        figure.subplots(1, 2), ("cpu_seconds", "peak_mib"), ("CPU time (s)", "Peak memory (GiB)"), strict=True
    ):
        ends: list[tuple[float, str, str]] = []
        for name, (title_of, colour) in STEPS.items():
            last = []
            for (labels,), line in steps.filter(pl.col("name") == name).group_by("labels", maintain_order=True):
                values = line[column] / (1024 if column == "peak_mib" else 1)
                axes.plot(
                    line["patches"],
                    values,
                    color=colour,
                    marker="o",
                    markersize=3,
                    linewidth=1.2,
                    dashes=DASHES.get(labels, ()),
                )
                last.append(values[-1])
            if last:
                ends.append((max(last), title_of, colour))
        axes.set(xscale="log", yscale="log", xlabel="patches", title=title)
        low, high = steps["patches"].min(), steps["patches"].max()
        axes.set_xticks([low, high], [f"{low:,}\n(10 %)", f"{high:,}\n(100 %)"])
        ticks = GIB if column == "peak_mib" else SECONDS
        axes.set_yticks(ticks, [f"{tick:,g}" for tick in ticks])
        axes.minorticks_off()
        bottom, top = (f(steps[column]) / (1024 if column == "peak_mib" else 1) for f in (min, max))
        axes.set_ylim(bottom * 0.8, top * 1.25)
        axes.plot([low, high], [bottom, bottom * high / low], color="#777777", linewidth=0.8, linestyle=":")
        axes.set_xlim(low * 0.85, high * 1.15)
        for height, (value, text, colour) in zip(
            spread([end[0] for end in ends], axes.get_ylim()), sorted(ends), strict=True
        ):
            axes.annotate(
                text,
                (high, value),
                (high * 1.25, height),
                color=colour,
                fontsize=6.5,
                va="center",
                annotation_clip=False,
            )
    note(figure, "Dotted: growth in proportion to the archive. Dashed: 43 classes.")
    save(figure, [image])


def spread(values: list[float], limits: tuple[float, float]) -> list[float]:
    """Heights of labels beside values on a logarithmic axis, ascending, moved apart where they would touch."""
    step = (limits[1] / limits[0]) ** (1 / max(16, len(values)))
    heights: list[float] = []
    for value in sorted(values):
        heights.append(max(value, heights[-1] * step) if heights else value)
    top = limits[1]
    for place in reversed(range(len(heights))):  # what rose above the axes pushes the others down again
        heights[place] = min(heights[place], top)
        top = heights[place] / step
    return heights


def markdown(steps: pl.DataFrame) -> str:
    """One row a step that takes time: at each size its time, CPU time and peak memory."""
    sizes = steps["patches"].unique().sort().to_list()
    heading = ["step", *(f"{size:,} patches" for size in sizes)]
    lines = [" | ".join(heading), " | ".join("---" for _ in heading)]
    heavy = steps.filter(pl.col("name").is_in(list(STEPS))).sort("name", "labels", "patches")
    for (name, labels), rows in heavy.group_by("name", "labels", maintain_order=True):
        found = {row["patches"]: row for row in rows.iter_rows(named=True)}
        cells = [
            f"{found[s]['seconds']:,.0f} s, {found[s]['cpu_seconds']:,.0f} s CPU, {found[s]['peak_mib'] / 1024:.1f} GiB"
            if s in found
            else "–"
            for s in sizes
        ]
        lines.append(" | ".join([STEPS[str(name)][0] + (f", {labels} classes" if labels else ""), *cells]))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
