"""The resolved configuration, and what all rules need of it."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, os.path.join(workflow.basedir, "workflow"))

from earthprobe.config import check_writable, patch_files, resolve, sensors_of, split_file, tables
from earthprobe.errors import UserError
from earthprobe.layout import FOLDERS, MIRRORS, PUBLISHED_WEIGHTS, S1_FOLDER, SPLITS, Tar, is_plain
from earthprobe.resume import JOB_OF, note_run
from earthprobe.slurm import Request, check_site


def in_repository(path):
    """A file of the repository, relative to the working directory: a moved clone does not run again."""
    return os.path.relpath(os.path.join(workflow.basedir, path))


try:
    CONFIG = resolve(config, Path(in_repository("workflow/schemas/config.schema.yaml")))
except UserError as error:
    sys.exit(f"earthprobe: {error}")

ARCHIVE = CONFIG["archive"]
FEATURES = CONFIG["features"]
PROBES = CONFIG["probes"]
LABEL_SETS = CONFIG["label_sets"]
SHARDS = [f"{number:04d}" for number in range(ARCHIVE["shards"])]
SIMULATED = ARCHIVE["kind"] == "simulated"
PUBLISHED = [name for name in FEATURES if FEATURES[name]["weights"] in PUBLISHED_WEIGHTS]
SENSORS = sensors_of(FEATURES)
# Files of Sentinel-2 bear its name: those of Sentinel-1 do not change when it comes to them.
SUFFIX = {"s1": "", "s2": "_s2"}
SENSOR_OF = {suffix: sensor for sensor, suffix in SUFFIX.items()}

# Where the archive's files are. Of a tar archive, index_members finds out, once; what it makes takes the folder's place.
KIND = ARCHIVE["kind"]
SIMULATED_ROOT = Path(f"results/{ARCHIVE['name']}/archive")
# Patches and labels are those of Sentinel-1's files, whichever sensors the feature sets see.
FILES = {s: SIMULATED_ROOT / S1_FOLDER if SIMULATED else patch_files(ARCHIVE, s) for s in ("s1", *SENSORS)}
PACKED = {
    f"members{SUFFIX[sensor]}/{number:02d}": Tar(sensor, files)
    for sensor, archives in FILES.items()
    for number, files in enumerate(archives if isinstance(archives, list) else [])
}
PLAIN = [tar for tar in PACKED if is_plain(PACKED[tar].files)]

# `earthprobe` is found also where the environment is not activated; a job says whose it is, for `earthprobe resume`.
# Mirrors are no param: another one has the same file, and is no reason to run again.
ENVIRONMENT = {JOB_OF: os.getpid(), MIRRORS: json.dumps(ARCHIVE.get("mirrors", []))}
EXPORTS = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in ENVIRONMENT.items())
shell.prefix(f"export PATH=$PATH:{shlex.quote(os.path.dirname(sys.executable))} {EXPORTS}; ")


def request(job):
    """What a job asks SLURM for; memory that depends on files to come is not known yet."""
    resources = job.resources
    memory, gpus, minutes = (
        resources[key] if isinstance(resources.get(key), int) else 0 for key in ("mem_mb", "gpu", "runtime")
    )
    partition, account = (resources.get(f"slurm_{key}", "") for key in ("partition", "account"))
    return Request(job.rule.name, partition, job.threads, memory, gpus, minutes, account)


onstart:
    try:
        check_writable(Path(f"results/{ARCHIVE['name']}"))
        if workflow.executor_plugin.name == "slurm":
            check_site(request(job) for job in workflow.dag.needrun_jobs() if not job.is_local)
    except UserError as error:
        sys.exit(f"earthprobe: {error}")
    note_run(Path())


pathvars:
    results=f"results/{ARCHIVE['name']}",
    logs=f"results/{ARCHIVE['name']}/logs",
    benchmarks=f"results/{ARCHIVE['name']}/benchmarks",


def names(choices):
    """A wildcard constraint that allows these names and no others."""
    return "|".join(choices) or "(?!)"


def probes_of(*kinds):
    """The configured probes of these kinds."""
    return [name for name, probe in PROBES.items() if probe["kind"] in kinds]


def as_json(value):
    """A param that reads the same in every run, whatever the order of keys in the file."""
    return json.dumps(value, sort_keys=True)


def memory(mb, per_input_mb=0.0):
    """What a step takes in MB, and more with each attempt; docs/performance.md has what most were measured to take.

    On SLURM, two Snakemakes around the job take 300 of it.
    """
    if per_input_mb:
        return lambda wildcards, input, attempt: int(attempt * (300 + mb + per_input_mb * input.size_mb))
    return lambda wildcards, attempt: attempt * (300 + mb)


def package(*modules):
    """The package files behind a rule: Snakemake does not see changes of imported modules by itself."""
    return [in_repository(f"workflow/earthprobe/{module}.py") for module in modules]


def source(sensor):
    """Where a sensor's files are: a folder, or the lists of the members of tar archives."""
    return [f"<results>/{tar}.parquet" for tar in PACKED if PACKED[tar].sensor == sensor] or FILES[sensor]


def pixels(sensor):
    """The files that lists of members point into."""
    tars = [tar for tar in PACKED if PACKED[tar].sensor == sensor]
    return [path for tar in tars for path in (PACKED[tar].files if tar in PLAIN else [f"<results>/{tar}.contents"])]


def split_lists():
    """The files that say which patches belong to which split; a simulated archive's need not exist yet."""
    if KIND == "reben":
        return tables(ARCHIVE)
    return [SIMULATED_ROOT / f"bigearthnet-{s}.csv" if SIMULATED else split_file(ARCHIVE, s) for s in SPLITS]


def as_options(lists):
    """The same files as the step takes them."""
    if KIND == "reben":
        return shlex.join(["--tables", *lists])
    return shlex.join(word for split, path in zip(SPLITS, lists) for word in (f"--{split}", path))


def of_sensors(path, sensors=SENSORS):
    """A path of each sensor, where {sensor} stands."""
    return expand(path, sensor=[SUFFIX[sensor] for sensor in sensors], allow_missing=True)


def seen_by(features):
    """The sensors that a feature set sees."""
    return [sensor for sensor in SENSORS if features in SENSORS[sensor]]


def weights_file(features):
    """The file behind a feature set's weights; none where they are downloaded or drawn."""
    weights = FEATURES[features]["weights"]
    return weights if Path(weights).is_file() else []


wildcard_constraints:
    shard=r"\d{4}",
    sensor="(_s2)?",
    features=names(FEATURES),
    labels=names(map(str, LABEL_SETS)),
    probe=names(PROBES),
