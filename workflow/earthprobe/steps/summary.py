"""Say what the tables of a run say, in five lines each."""

from collections.abc import Sequence
from pathlib import Path

from earthprobe.storage.files import read_csv, read_json, write_text
from earthprobe.summary import summary


def run(
    *,
    label_sets: Sequence[str],
    features: Sequence[str],
    probes: Sequence[str],
    metrics: Sequence[Path],
    comparisons: Sequence[Path],
    output: Path,
) -> None:
    """Writes five lines a label set.

    Args:
        label_sets: their names.
        features: the feature set of each row of a table.
        probes: the probe of each.
        metrics: a ``metrics.json`` a row, of the first label set first.
        comparisons: the CSV of the comparisons of each label set.
        output: Markdown.
    """
    rows = list(zip(features, probes, strict=True))
    parts = []
    for number, (label_set, path) in enumerate(zip(label_sets, comparisons, strict=True)):
        results = [read_json(file) for file in metrics[number * len(rows) : (number + 1) * len(rows)]]
        title = f"## {label_set if label_set.isdigit() else len(results[0]['classes'])} classes"
        parts.append("\n".join([title, "", *(f"- {line}" for line in summary(rows, results, read_csv(path)))]))
    write_text(output, "# Results in short\n\n" + "\n\n".join(parts) + "\n")
