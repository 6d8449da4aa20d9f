"""The resolved configuration, and what all rules need of it."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

# The package beside this file, also where another Snakefile includes this workflow as a module.
HERE = str(workflow.current_basedir)
if os.path.isdir(os.path.join(HERE, "../earthprobe")):
    sys.path.insert(0, os.path.realpath(os.path.join(HERE, "..")))

from earthprobe import registry
from earthprobe.archives.bands import bands_of_archive
from earthprobe.archives.check_table import table_files
from earthprobe.archives.find import Tar, lists, patch_files
from earthprobe.archives.interface import SPLITS
from earthprobe.config import check_writable, controls_of, feature_sets, resolve, sensors_of
from earthprobe.describe import summed_bands
from earthprobe.errors import UserError
from earthprobe.names import check_pairs
from earthprobe.provenance import COMMAND
from earthprobe.seeds import ENSEMBLE, expand_seeds, with_seed
from earthprobe.slurm import Request, check_site
from earthprobe.steps.resume import JOB_OF, note_run
from earthprobe.storage.download import MIRRORS
from earthprobe.storage.tar_names import is_plain

try:
    CONFIG = resolve(config)
except UserError as error:
    sys.exit(f"earthprobe: {error}")

ARCHIVE = CONFIG["archive"]
SHOWN, ABLATIONS = feature_sets(CONFIG)
# With further seeds of what is drawn at random, which are embedded and probed, and shown in the row of the first alone.
FEATURES, SEEDS = expand_seeds(SHOWN)
FOLDED = isinstance(ARCHIVE.get("split"), dict) and ARCHIVE["split"]["by"] == "folds"
PROBES = CONFIG["probes"]
LABEL_SETS = CONFIG["label_sets"]
SHARDS = [f"{number:04d}" for number in range(ARCHIVE["shards"])]
CONTROLS = controls_of(CONFIG)
SENSORS = sensors_of(FEATURES, bands_of_archive(ARCHIVE))

# What is known of the archive's kind; one in another's format is read as that.
KIND = ARCHIVE["kind"]
READ_AS = registry.kind("archives", KIND).facts.get("read_as", KIND)
FACTS = registry.kind("archives", KIND).facts
SIMULATED = FACTS.get("simulated", False)
# Anybody's table says itself where the files of all sensors are; the published archives have a place for each.
IS_TABLE = KIND == "table"
ALL = "all"

# The controls that see no pixel, and the one that is a probe: the cheapest, of the first feature set.
PERMUTED = "permuted"
PREDICTORS = [name for name in CONTROLS if name != PERMUTED]
PERMUTED_FEATURES = next(iter(SHOWN))
PERMUTED_PROBE = next((name for name in PROBES if PROBES[name]["kind"] == "linear"), next(iter(PROBES)))

# The rows of a table, as feature set and probe, and those that are trained once more with a strip cut out around test.
ROWS = [
    (features, row)
    for features in SHOWN
    for probe in PROBES
    for row in (probe, *([probe + ENSEMBLE] if max(len(SEEDS[features]), PROBES[probe]["seeds"]) > 1 else []))
] + [("control", name) for name in CONTROLS]
try:
    check_pairs(CONFIG["compare"], [f"{features}/{probe}" for features, probe in ROWS])
except UserError as error:
    sys.exit(f"earthprobe: {error}")
# Without the means over seeds, and without controls.
PROBED = [(features, probe) for features in SHOWN for probe in PROBES]
# The probes that have confusion matrices.
PICTURED = PROBES if CONFIG["figures"]["probes"] is None else CONFIG["figures"]["probes"]
BUDGETS = [str(budget) for budget in CONFIG["label_budgets"]]
CURVES = [(features, probe, budget) for features in SHOWN for probe in PROBES for budget in BUDGETS]
BEYOND = [(features, PERMUTED_PROBE) for features in SHOWN] + [("control", name) for name in PREDICTORS]

# Where the archive's files are. Of a tar archive, index_members finds out, once; what it makes takes the folder's place.
SIMULATED_ROOT = Path(f"results/{ARCHIVE['name']}/archive")
# Patches and labels are those of Sentinel-1's files, whichever sensors the feature sets see.
if IS_TABLE:
    FILES = {ALL: table_files(ARCHIVE)}
    LISTS = [Path(ARCHIVE["table"])]
elif SIMULATED:  # its files need not exist yet
    FILES = {sensor: SIMULATED_ROOT / folder for sensor, folder in FACTS["folders"].items()}
    LISTS = [SIMULATED_ROOT / names[0] for names in FACTS["lists"]]
else:
    FILES = {sensor: patch_files(ARCHIVE, sensor) for sensor in ("s1", *SENSORS)}
    LISTS = lists(ARCHIVE)
PACKED = {
    f"members/{sensor}/{number:02d}": Tar(sensor, files)
    for sensor, archives in FILES.items()
    for number, files in enumerate(archives if isinstance(archives, list) else [])
}
PLAIN = [tar for tar in PACKED if is_plain(PACKED[tar].files)]

# `earthprobe` is found also where the environment is not activated; a job says whose it is, for `earthprobe resume`.
# Mirrors are no param: another one has the same file, and is no reason to run again; nor is another command line.
ENVIRONMENT = {
    JOB_OF: os.getpid(),
    MIRRORS: " ".join(ARCHIVE.get("mirrors", [])),
    COMMAND: shlex.join(["snakemake", *sys.argv[1:]]),
}
EXPORTS = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in ENVIRONMENT.items())
# Of numba, which takes all cores where nothing is said, as many threads as the job has.
THREADS = "NUMBA_NUM_THREADS=${OMP_NUM_THREADS:-1}"
PREFIX = f"export PATH=$PATH:{shlex.quote(os.path.dirname(sys.executable))} {THREADS} {EXPORTS}; "
# Snakemake looks for names in braces, which a command line may have.
shell.prefix(PREFIX.replace("{", "{{").replace("}", "}}"))


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
    for name, entry in SHOWN.items():
        for bands in summed_bands(entry):
            logger.warning(
                f"earthprobe: features.{name}: {' and '.join(bands)} have one wavelength, so that DOFA sees their sum"
                " alone, and no difference: combine: concat, or distinct wavelengths, show it (docs/models.md)"
            )
    note_run(Path())


pathvars:
    results=f"results/{ARCHIVE['name']}",
    logs=f"results/{ARCHIVE['name']}/logs",
    benchmarks=f"results/{ARCHIVE['name']}/benchmarks",


def names(choices):
    """A wildcard constraint that allows these names and no others."""
    return "|".join(choices) or "(?!)"


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
    """The package files behind a step, which Snakemake does not see by itself: those that its imports lead to."""
    return [os.path.relpath(path) for path in registry.behind(*modules)]


def in_package(name):
    """A file of the package, relative to the working directory: a moved clone does not run again."""
    return os.path.relpath(registry.PACKAGE / name)


def rows_of(file):
    """A file of each row of a table."""
    return [
        (
            f"<results>/controls/{{labels}}/{probe}/{file}"
            if features == "control"
            else f"<results>/probes/{features}/{{labels}}/{probe}/{file}"
        )
        for features, probe in ROWS
    ]


def probed(file, labels):
    """A file of each feature set and probe, of one label set or of several."""
    return [
        f"<results>/probes/{features}/{name}/{probe}/{file}"
        for name in ([labels] if isinstance(labels, str) else labels)
        for features, probe in PROBED
    ]


def seeds_of(features, probe):
    """The scores of a row of a table, one file a seed.

    Where the feature set has seeds, each is probed with a seed of its own, so that what is drawn differs in all.
    """
    if features == "control" or probe.endswith(ENSEMBLE):
        folder = "controls/{labels}" if features == "control" else f"probes/{features}/{{labels}}"
        return [f"<results>/{folder}/{probe}/scores.parquet"]
    members, own = SEEDS[features], PROBES[probe]["seeds"]
    count = len(members) if len(members) > 1 else own
    return [
        f"<results>/probes/{members[seed % len(members)]}/{{labels}}/{probe}/"
        f"{f'seed{seed}/' if seed and own > 1 else ''}scores.parquet"
        for seed in range(count)
    ]


def scores_of(wildcards):
    """The same of a job."""
    return expand(seeds_of(wildcards.features, wildcards.probe), labels=wildcards.labels)


def probe_json(probe, seed=0):
    """What training depends on of a probe's entry, as JSON, with one of its seeds."""
    return as_json({key: value for key, value in with_seed(PROBES[probe], seed).items() if key != "jobs"})


def parts_of(wildcards):
    """The trees of a forest that is grown in several jobs, a file a job; nothing of other probes."""
    one = FOLDED or "budget" in wildcards.keys() or "cells" in wildcards.keys()
    jobs = 1 if one else PROBES[wildcards.probe].get("jobs", 1)
    folder = f"<results>/probes/{wildcards.features}/{wildcards.labels}/{wildcards.probe}/trees"
    seed = wildcards.get("seed", 0)
    return [f"{folder}/{seed}/{part}.safetensors" for part in range(jobs)] if jobs > 1 else []


def budgeted(file):
    """A file of each feature set, probe and budget; that of the table's row where all train patches have labels."""
    return [
        f"<results>/{'probes' if budget == 'all' else f'budgets/{budget}'}/{features}/{{labels}}/{probe}/{file}"
        for features, probe, budget in CURVES
    ]


def beyond(file, cells="{cells}"):
    """A file of each row that is trained once more, at a width of the strip."""
    return [f"<results>/buffers/{cells}/{features}/{{labels}}/{probe}/{file}" for features, probe in BEYOND]


def model_of(features):
    """The kind of a feature set's model."""
    return registry.kind("models", FEATURES[features]["kind"])


def probe_kind(probe):
    """The kind of a probe."""
    return registry.kind("probes", PROBES[probe.removesuffix(ENSEMBLE)]["kind"])


def source(sensor):
    """Where a sensor's files are: a folder, or the lists of the members of tar archives."""
    place = ALL if IS_TABLE else sensor
    return [f"<results>/{tar}.parquet" for tar in PACKED if PACKED[tar].sensor == place] or FILES[place]


def pixels(sensor):
    """The files that lists of members point into."""
    tars = [tar for tar in PACKED if PACKED[tar].sensor in (sensor, ALL)]
    return [path for tar in tars for path in (PACKED[tar].files if tar in PLAIN else [f"<results>/{tar}.contents"])]


def seen_by(features):
    """The sensors that a feature set sees."""
    return [sensor for sensor in SENSORS if features in SENSORS[sensor]]


def sees_pixels(features):
    """Whether a feature set is made from the shards."""
    return model_of(features).facts.get("pixels", True)


def shown_by(features):
    """The sensor that pictures of patches show: of both, the colours of Sentinel-2 say more to the eye.

    Of vectors without pixels it is the first, which most patches have.
    """
    return (seen_by(features) or list(SENSORS)[:1])[-1]


# The feature sets whose cost is known here: vectors from elsewhere were paid for by others.
COSTED = [name for name in SHOWN if sees_pixels(name)]


def vectors_file(features):
    """The file that a feature set's vectors are taken from, if there is one."""
    option = model_of(features).facts.get("file")
    return FEATURES[features][option] if option else []


def model_json(features):
    """What embedding depends on of a feature set's entry, as JSON."""
    entry = FEATURES[features] | weights_by_name(features)
    return as_json({key: value for key, value in entry.items() if key not in registry.OF_ALL["models"]})


def weights_of(features):
    """What a feature set's model is loaded from, if anything."""
    needed = has_weights(features) or is_fitted(features)
    return f"<results>/features/{made_as(features)}/weights.safetensors" if needed else []


def made_as(features):
    """The feature set whose shards are this one's, too: what differs in its storage alone is embedded once.

    It is the first that is stored whole, so that a smaller one that is added to a study makes nothing again.
    """
    wanted = model_json(features), weights_path(features)
    alike = [name for name in FEATURES if (model_json(name), weights_path(name)) == wanted]
    return min(alike, key=is_compressed)


def weights_path(features):
    """Where a feature set's weights come from, as the configuration has it."""
    return FEATURES[features].get("weights")


def whole_vectors(features):
    """The merged vectors of a feature set before they are made smaller."""
    made = made_as(features)
    return f"<results>/features/{made}/whole.parquet" if is_compressed(made) else f"<results>/features/{made}.parquet"


def is_compressed(features):
    """Whether a feature set's vectors are made smaller after they are merged."""
    return FEATURES[features]["pca"] is not None or FEATURES[features]["store"] != "float32"


def has_weights(features):
    """Whether a feature set's model has any."""
    return FEATURES[features].get("weights") is not None


def is_fitted(features):
    """Whether a feature set's model takes its weights from the train split."""
    wanted = model_of(features).facts.get("fitted")
    return bool(wanted) and all(FEATURES[features][option] in values for option, values in wanted.items())


def weights_file(features):
    """The file behind a feature set's weights; none where they are downloaded or drawn."""
    weights = FEATURES[features]["weights"]
    return weights if Path(weights).is_file() else []


def weights_by_name(features):
    """How a feature set's weights are called, wherever their file lies."""
    return {"weights": Path(FEATURES[features]["weights"]).name} if has_weights(features) else {}


wildcard_constraints:
    shard=r"\d{4}",
    sensor=names(SENSORS),
    features=names(FEATURES),
    labels=names(LABEL_SETS),
    probe=names([*PROBES, *(probe for _, probe in ROWS if probe.endswith(ENSEMBLE))]),
    cells=names(map(str, CONFIG["buffers"])),
    budget=names(BUDGETS),
