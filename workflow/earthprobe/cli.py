"""The command line: one subcommand a step, which a rule calls with everything it needs, and two for users."""

import argparse
import json
import logging
import os
import resource
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from earthprobe import __version__
from earthprobe.config import WEIGHTS_ENUM
from earthprobe.errors import UserError
from earthprobe.layout import FOLDERS, MIRRORS, SPLITS

# Each branch of _run imports its own step: torch and torchgeo take seconds, which no other step should wait for.


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a step; a :class:`UserError` becomes one line on the terminal and in the log."""
    start = time.monotonic()
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.step != "resume":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk would print a traceback for each line of the log
    try:
        handler = _log_handler(options.log)
    except OSError as error:
        print(f"earthprobe {options.step}: {_reason(error, options.step)}", file=sys.stderr)
        return 1
    logging.basicConfig(
        level=logging.WARNING,  # of the libraries
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=[handler],
        force=True,
    )
    log = logging.getLogger("earthprobe")
    log.setLevel(logging.INFO)
    command = shlex.join(sys.argv[1:] if arguments is None else arguments)
    if options.log:  # a log says what was run, by which version
        log.info("earthprobe %s: %s", __version__, command)
    try:
        _run(options, rest)
    except (UserError, OSError) as error:
        # A missing file, a full disk or a read-only folder is the user's to mend, too.
        text = _reason(error, options.step)
        log.error("%s", text)
        if options.log:
            print(f"earthprobe {options.step}: {text}", file=sys.stderr)
        return 1
    except Exception:
        log.exception("earthprobe %s stopped at a defect of its own", options.step)
        raise
    if options.log:
        used = resource.getrusage(resource.RUSAGE_SELF)
        log.info(
            "done in %.1f s, %.1f s of CPU time, peak memory %.0f MiB",
            time.monotonic() - start,
            used.ru_utime + used.ru_stime,
            peak_memory(),
        )
    return 0


def _reason(error: UserError | OSError, step: str) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or step}: {error.strerror}"
    return str(error)


def peak_memory() -> float:
    """The most memory that this process has held, in MiB.

    Linux gives ``ru_maxrss`` on from a parent to its child, so that a light step would show Snakemake's memory.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return float(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _log_handler(path: Path | None) -> logging.Handler:
    if path is None:
        return logging.StreamHandler()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")
    # Appending, so that lines which a library prints into the same file are not written over.
    return logging.FileHandler(path, mode="a", encoding="utf-8")


@contextmanager
def _printed_to(path: Path | None) -> Iterator[None]:
    """Sends what a library prints to the log."""
    if path is None:
        yield
        return
    with path.open("a", encoding="utf-8") as stream, redirect_stdout(stream), redirect_stderr(stream):
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="earthprobe",
        description="The steps of the workflow, one by one; `snakemake -p` prints such lines.",
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")

    def step(name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added = steps.add_parser(name, help=text, description=text, parents=parents)
        added.add_argument("--log", type=Path, help="write progress here instead of to the terminal")
        return added

    p = step("config", "write a resolved configuration as YAML")
    p.add_argument("--json", required=True)
    p.add_argument("--output", type=Path, required=True)

    p = step("simulate", "draw an archive in the format of BigEarthNet v1")
    p.add_argument("--patches", type=int, required=True)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--label-sets", type=Path, required=True, help="CSV of label sets and their counts")
    p.add_argument("--root", type=Path, required=True)

    mirrors = argparse.ArgumentParser(add_help=False)
    text = f"JSON list of folders on the web that hold published files, too; else that of {MIRRORS}"
    mirrors.add_argument("--mirrors", type=json.loads, default=os.environ.get(MIRRORS, "[]"), help=text)

    p = step("fetch", "download a file of a published archive", mirrors)
    p.add_argument("--file", required=True, help="its published name")
    p.add_argument("--output", type=Path, required=True)

    p = step("index-members", "list the patches' files in a tar archive")
    p.add_argument("--tar", type=Path, nargs="+", required=True, help="the archive, or its parts in their order")
    p.add_argument("--folder", required=True, help="the archive's top folder")
    p.add_argument("--contents", type=Path, help="where the files of a compressed archive go")
    p.add_argument("--output", type=Path, required=True)

    s1 = argparse.ArgumentParser(add_help=False)
    s1.add_argument("--s1", type=Path, nargs="+", default=[], help="the Sentinel-1 folder, or what index-members wrote")

    p = step("index-patches", "list an archive's patches and their splits", s1)
    for split in SPLITS:
        p.add_argument(f"--{split}", type=Path, help=f"the split file of {split}, of BigEarthNet v1")
    p.add_argument("--tables", type=Path, nargs="+", help="reBEN's tables, in the place of split files")
    p.add_argument("--shards", type=int, required=True)
    p.add_argument("--archive", required=True, help="the archive's name")
    p.add_argument("--simulated", action="store_true")
    p.add_argument("--output", type=Path, required=True)
    p.add_argument("--mismatches", type=Path, required=True)

    p = step("index", "read the labels of the patches", s1)
    p.add_argument("--patches", type=Path, required=True)
    p.add_argument("--tables", type=Path, nargs="+", default=[], help="reBEN's tables, in the place of JSON files")
    p.add_argument("--max-rejected", type=float, required=True)
    p.add_argument("--output", type=Path, required=True)

    p = step("shard", "gather the pixels of one shard")
    p.add_argument("--patches", type=Path, required=True)
    p.add_argument("--sensor", choices=["s1", "s2"], required=True)
    p.add_argument("--source", type=Path, nargs="+", required=True, help="its folder, or what index-members wrote")
    p.add_argument("--shard", type=int, required=True)
    p.add_argument("--output", type=Path, required=True)

    p = step("shard-statistics", "add up the shards' band statistics and rejected patches")
    p.add_argument("--patches", type=Path, required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    p.add_argument("--max-rejected", type=float, required=True)
    p.add_argument("--output", type=Path, required=True)

    p = step("rejected", "list every patch that was left out, and why")
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--statistics", type=Path, nargs="+", required=True, help="of each sensor")
    p.add_argument("--output", type=Path, required=True)

    p = step("check", "compare an archive with the published one")
    p.add_argument("--kind", required=True, choices=sorted(FOLDERS["s1"]))
    p.add_argument("--snow-and-clouds", action="store_true")
    for name in ("patches", "mismatches", "index", "rejected", "label-counts"):
        p.add_argument(f"--{name}", type=Path, required=True)
    p.add_argument("--statistics", type=Path, nargs="+", required=True, help="of each sensor")
    p.add_argument("--csv", type=Path, required=True)
    p.add_argument("--html", type=Path, required=True)

    p = step("embed-weights", "fetch or draw a model's weights and check them", mirrors)
    p.add_argument("--model", required=True, choices=sorted(WEIGHTS_ENUM))
    p.add_argument("--weights", required=True)
    p.add_argument("--output", type=Path, required=True)

    p = step("embed", "embed the patches of one shard")
    p.add_argument("--shard", type=Path, nargs="+", required=True, help="a file a sensor")
    p.add_argument("--statistics", type=Path, nargs="+", required=True, help="of the same sensors")
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--bands", nargs="+", required=True)
    p.add_argument("--wavelengths", type=float, nargs="+", required=True)
    p.add_argument("--image-size", type=int, required=True)
    p.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    p.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--output", type=Path, required=True)

    p = step("merge", "merge the embeddings of all shards")
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    p.add_argument("--patches", type=Path, required=True)
    p.add_argument("--statistics", type=Path, nargs="+", required=True, help="of each sensor")
    p.add_argument("--output", type=Path, required=True)

    p = step("train", "fit a probe and score val and test")
    p.add_argument("--probe", required=True, help="the probe's hyper-parameters as JSON, its kind among them")
    p.add_argument("--features", type=Path, required=True)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--label-set", type=int, required=True, choices=[19, 43])
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--scores", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)

    p = step("evaluate", "compute the metrics of a probe's scores")
    p.add_argument("--scores", type=Path, required=True)
    p.add_argument("--threshold", type=float, required=True)
    p.add_argument("--metrics", type=Path, required=True)
    p.add_argument("--per-class", type=Path, required=True)

    p = step("table", "gather metrics into the table of a label set")
    p.add_argument("--metrics", type=Path, nargs="+", required=True)
    p.add_argument("--features", nargs="+", required=True, help="the feature set of each file of metrics")
    p.add_argument("--probes", nargs="+", required=True, help="the probe of each file of metrics")
    p.add_argument("--published", type=Path, required=True)
    p.add_argument("--label-set", type=int, required=True, choices=[19, 43])
    p.add_argument("--csv", type=Path, required=True)
    p.add_argument("--md", type=Path, required=True)
    p.add_argument("--html", type=Path, required=True)

    p = step("explore", "count classes and correlate them")
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--label-set", type=int, required=True, choices=[19, 43])
    p.add_argument("--distribution", type=Path, required=True)
    p.add_argument("--correlation", type=Path, required=True)

    p = step("umap", "lay embeddings out in two dimensions")
    p.add_argument("--features", type=Path, required=True)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--sample", type=int, required=True)
    p.add_argument("--neighbors", type=int, required=True)
    p.add_argument("--min-distance", type=float, required=True)
    p.add_argument("--seed", type=int, help="without it umap-learn uses all threads, and each run differs")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--output", type=Path, required=True)

    def figure(name: str, text: str) -> argparse.ArgumentParser:
        added = step(f"figure-{name}", f"draw {text}")
        added.add_argument("--csv", type=Path, required=True, help="the numbers of the figure")
        added.add_argument("--images", type=Path, nargs="+", required=True, help="files ending in .png, .pdf or .svg")
        return added

    figure("class-distribution", "the patches of each class")
    p = figure("label-correlation", "which classes occur together")
    p.add_argument("--order", default="listed", choices=["listed", "clustered"])
    p = figure("umap", "the embeddings, one panel a class")
    p.add_argument("--coordinates", type=Path, required=True)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--label-set", type=int, required=True, choices=[19, 43])
    p = figure("f2-per-class", "F2 of each class, probes side by side")
    p.add_argument("--probes", nargs="+", required=True)
    p.add_argument("--per-class", type=Path, nargs="+", required=True)
    p = figure("confusion", "one 2x2 confusion matrix a class")
    p.add_argument("--probe", required=True)
    p.add_argument("--per-class", type=Path, required=True)
    p = figure("gallery", "the best and worst patches of each class")
    p.add_argument("--probe", required=True)
    p.add_argument("--scores", type=Path, required=True)
    p.add_argument("--threshold", type=float, required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)

    p = step("show", "print the tables of a run and where its files lie")
    p.add_argument("results", type=Path)

    p = step("resume", "go on after a killed run")
    p.usage = "earthprobe resume [the arguments of the snakemake command that was killed]"
    p.description = (
        "End the jobs that a killed Snakemake left here and on SLURM, unlock the folder, and run snakemake again."
    )
    return parser


def _run(o: argparse.Namespace, rest: Sequence[str]) -> None:
    if o.step.startswith("figure-"):
        _figure(o)
        return
    match o.step:
        case "config":
            import yaml

            from earthprobe.files import write_text

            write_text(o.output, yaml.safe_dump(json.loads(o.json), sort_keys=False, default_flow_style=None))
        case "simulate":
            from earthprobe.simulate import simulate

            simulate(o.patches, o.seed, o.label_sets, o.root)
        case "fetch":
            from earthprobe.fetch import FILES, fetch

            if o.file not in FILES:
                raise UserError(f"{o.file} is not published: {', '.join(FILES)} are")
            fetch(o.file, o.mirrors, o.output)
        case "index-members":
            from earthprobe.index_members import index_members

            index_members(o.tar, o.folder, contents=o.contents, output=o.output)
        case "index-patches":
            from earthprobe.index_patches import index_patches, read_splits, read_tables

            files = {split: vars(o)[split] for split in SPLITS}
            if not o.s1 or bool(o.tables) == all(files.values()):
                raise UserError("give --s1, and either --train, --val and --test, or --tables")
            index_patches(
                o.s1,
                read_tables(o.tables) if o.tables else read_splits(files),
                shards=o.shards,
                archive=o.archive,
                simulated=o.simulated,
                output=o.output,
                mismatches=o.mismatches,
            )
        case "index":
            from earthprobe.index import write_index

            if bool(o.s1) == bool(o.tables):
                raise UserError("give either --s1 or --tables")
            write_index(o.patches, o.max_rejected, o.output, s1=o.s1, tables=o.tables)
        case "shard":
            from earthprobe.shard import write_shard

            write_shard(o.patches, o.sensor, o.source, o.shard, o.output)
        case "shard-statistics":
            from earthprobe.shard_statistics import write_statistics

            write_statistics(o.patches, o.shards, o.max_rejected, o.output)
        case "rejected":
            from earthprobe.rejected import write_rejected

            write_rejected(o.index, o.statistics, o.output)
        case "check":
            from earthprobe.check import check

            check(
                o.kind,
                o.snow_and_clouds,
                patches=o.patches,
                mismatches=o.mismatches,
                index=o.index,
                statistics=o.statistics,
                rejected=o.rejected,
                label_counts=o.label_counts,
                output=o.csv,
                page=o.html,
            )
        case "embed-weights":
            from earthprobe.embed_weights import store_weights

            store_weights(o.model, o.weights, o.output, o.mirrors)
        case "embed":
            from earthprobe.embed import embed_shard

            embed_shard(
                o.shard,
                o.statistics,
                o.weights,
                bands=o.bands,
                wavelengths=o.wavelengths,
                image_size=o.image_size,
                precision=o.precision,
                device=o.device,
                threads=o.threads,
                output=o.output,
            )
        case "merge":
            from earthprobe.merge import merge

            merge(o.shards, o.patches, o.statistics, o.output)
        case "train":
            _train(o)
        case "evaluate":
            from earthprobe.evaluate import evaluate

            evaluate(o.scores, o.threshold, o.metrics, o.per_class)
        case "table":
            from earthprobe.table import write_table

            metrics = list(zip(o.features, o.probes, o.metrics, strict=True))
            write_table(metrics, o.published, o.label_set, o.csv, o.md, o.html)
        case "explore":
            from earthprobe.explore import explore

            explore(o.index, o.label_set, o.distribution, o.correlation)
        case "umap":
            from earthprobe.umap import write_coordinates

            with _printed_to(o.log):  # umap-learn prints its progress
                write_coordinates(
                    o.features,
                    o.index,
                    sample=o.sample,
                    neighbors=o.neighbors,
                    min_distance=o.min_distance,
                    seed=o.seed,
                    threads=o.threads,
                    output=o.output,
                )
        case "show":
            from earthprobe.show import show

            print(show(o.results))
        case "resume":
            from earthprobe.resume import resume

            resume(rest)


def _figure(o: argparse.Namespace) -> None:
    match o.step.removeprefix("figure-"):
        case "class-distribution":
            from earthprobe.figures import class_distribution

            class_distribution.draw(o.csv, o.images)
        case "label-correlation":
            from earthprobe.figures import label_correlation

            label_correlation.draw(o.csv, o.order, o.images)
        case "umap":
            from earthprobe.figures import umap

            umap.gather(o.coordinates, o.index, o.label_set, o.csv)
            umap.draw(o.csv, o.coordinates, o.index, o.label_set, o.images)
        case "f2-per-class":
            from earthprobe.figures import f2_per_class

            f2_per_class.gather(o.probes, o.per_class, o.csv)
            f2_per_class.draw(o.csv, o.images)
        case "confusion":
            from earthprobe.figures import confusion

            confusion.gather(o.per_class, o.csv)
            confusion.draw(o.csv, o.probe, o.images)
        case "gallery":
            from earthprobe.figures import gallery

            gallery.gather(o.scores, o.threshold, o.csv)
            gallery.draw(o.csv, o.scores, o.probe, o.shards, o.images)


def _train(o: argparse.Namespace) -> None:
    from earthprobe.probes.train import train

    probe = json.loads(o.probe)
    match probe["kind"]:
        case "random_forest" | "extra_trees":
            from earthprobe.probes.forest import fit
        case "linear":
            from earthprobe.probes.linear import fit
        case "mlp":
            from earthprobe.probes.mlp import fit
        case kind:
            raise UserError(f"--probe: kind {kind!r} is unknown: one of random_forest, extra_trees, linear, mlp")
    train(fit, o.features, o.index, o.label_set, probe, o.threads, o.scores, o.model)
