"""Print what a run says in short, its tables, and where its files lie."""

from pathlib import Path

import yaml

from earthprobe.errors import UserError

PLACES = {
    "explorer.html": "patches to look at: open it in a browser",
    "summary.md": "the lines above",
    "tables/": "the tables above as CSV and Markdown",
    "figures/": "the figures as PNG and PDF, each with its numbers in a CSV of the same name",
    "probes/": "scores, metrics and model of each probe: <features>/<labels>/<probe>/",
    "features/": "embeddings: one Parquet file a feature set",
    "index.parquet": "patches, splits and labels",
    "rejected.csv": "patches that could not be read",
    "split_mismatches.csv": "patches on which split files and folders disagree",
    "config.yaml": "the configuration with every default",
    "manifest.json": "where the numbers come from: commit, versions, hashes, seeds, machine, command",
}


def run(results: Path) -> None:
    """Prints the results in short, the Markdown tables, and a line for each place with files of the run.

    Args:
        results: the run's folder, ``results/<archive>``.

    Raises:
        UserError: there is no table.
    """
    try:
        label_sets = yaml.safe_load((results / "config.yaml").read_text(encoding="utf-8"))["label_sets"]
        tables = [(results / f"tables/classification_{n}.md").read_text(encoding="utf-8") for n in label_sets]
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: run snakemake first") from error
    more = [
        path
        for kind in ("comparison", "label_budgets", "ablation", "cost")
        for path in sorted((results / "tables").glob(f"{kind}_*.md"))
    ]
    short = [results / "summary.md"] if (results / "summary.md").exists() else []
    tables = [*(path.read_text(encoding="utf-8") for path in short), *tables]
    tables += [path.read_text(encoding="utf-8") for path in more]
    places = [f"  {results / name!s:<42} {text}" for name, text in PLACES.items() if (results / name).exists()]
    print("\n".join([*tables, "Where everything lies:", *places]))
