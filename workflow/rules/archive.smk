"""From an archive of patches to shards of pixels, and to an index of labels."""

# What is still to be downloaded. Once it is there, no rule makes it, so that no change of ours can ever delete it.
FETCH_INTO = Path(ARCHIVE["root"] if ARCHIVE.get("fetch") else ".")
SOURCES = [*LISTS, *(file for tar in PACKED.values() for file in tar.files)]
TO_FETCH = [path.name for path in SOURCES if ARCHIVE.get("fetch") and not path.exists()]


rule simulate:
    """An archive in the format of BigEarthNet v1, drawn at random."""
    input:
        package("steps.simulate"),
        in_package("archives/bigearthnet-v1.yaml"),
        label_sets=in_package("resources/label_set_counts.csv"),
    output:
        expand("<results>/archive/bigearthnet-{split}.csv", split=SPLITS),
        s1_folder=directory("<results>/archive/BigEarthNet-S1-v1.0"),
    log:
        "<logs>/simulate.log",
    benchmark:
        "<benchmarks>/simulate.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 4
    resources:
        mem_mb=memory(700),
    params:
        patches=ARCHIVE.get("patches"),
        seed=ARCHIVE.get("seed"),
    shell:
        "earthprobe simulate --patches {params.patches} --seed {params.seed} --label-sets {input.label_sets}"
        " --threads {threads} --root $(dirname {output.s1_folder}) --log {log}"


# Of its own, so that a study that comes to see Sentinel-2 draws nothing of Sentinel-1 again.
rule simulate_optical:
    """What Sentinel-2 sees of the same patches."""
    input:
        package("steps.simulate_optical"),
        in_package("archives/bigearthnet-v1.yaml"),
        lists=expand("<results>/archive/bigearthnet-{split}.csv", split=SPLITS),
        label_sets=in_package("resources/label_set_counts.csv"),
    output:
        directory("<results>/archive/BigEarthNet-v1.0"),
    log:
        "<logs>/simulate_optical.log",
    benchmark:
        "<benchmarks>/simulate_optical.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 4
    resources:
        mem_mb=memory(700),
    params:
        seed=ARCHIVE.get("seed"),
    shell:
        "earthprobe simulate-optical --lists {input.lists} --seed {params.seed} --label-sets {input.label_sets}"
        " --threads {threads} --folder {output} --log {log}"


rule fetch_file:
    """A file of the published archive."""
    output:
        update(FETCH_INTO / "{file}"),
    log:
        "<logs>/fetch/{file}.log",
    benchmark:
        "<benchmarks>/fetch/{file}.tsv"
    wildcard_constraints:
        file=names([re.escape(name) for name in TO_FETCH]),
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(300),
    params:
        kind=KIND,
    shell:
        "earthprobe fetch --kind {params.kind} --file {wildcards.file} --output {output:q} --log {log}"


rule index_members:
    """Where in a tar archive the files of the patches are."""
    input:
        package("steps.index_members"),
        tar=lambda wc: PACKED[wc.tar].files,
    output:
        members=ensure("<results>/{tar}.parquet", non_empty=True),
    log:
        "<logs>/index_{tar}.log",
    benchmark:
        "<benchmarks>/index_{tar}.tsv"
    wildcard_constraints:
        tar=names(PLAIN),
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(700),
    params:
        folder=lambda wc: FACTS["folders"].get(PACKED[wc.tar].sensor, "''"),
        contents=lambda wc, output: "" if wc.tar in PLAIN else f"--contents {output.contents}",
    shell:
        "earthprobe index-members --tar {input.tar:q} --folder {params.folder} {params.contents}"
        " --output {output.members} --log {log}"


use rule index_members as index_members_compressed with:
    output:
        members=ensure("<results>/{tar}.parquet", non_empty=True),
        contents=ensure("<results>/{tar}.contents", non_empty=True),
    wildcard_constraints:
        tar=names([tar for tar in PACKED if tar not in PLAIN]),


# What the labels of a table depend on, and the patches do not; the former need the table's columns, too.
LABELLING = ("max_rejected", "task", "classes", "min_positives")
LABELLED_BY = ("table", "columns", *LABELLING[1:])

if IS_TABLE:

    rule index_table:
        """The patches of a table, their splits or folds, and where their files lie."""
        input:
            package("steps.index_table"),
            files=lambda wc: source(ALL),
            table=LISTS,
        output:
            patches=ensure("<results>/patches.parquet", non_empty=True),
            mismatches="<results>/split_mismatches.csv",
        log:
            "<logs>/index_table.log",
        benchmark:
            "<benchmarks>/index_table.tsv"
        conda:
            "../../envs/environment.yaml"
        resources:
            mem_mb=memory(2000),
        params:
            archive=lambda wc: as_json({key: ARCHIVE[key] for key in ARCHIVE if key not in LABELLING}),
        shell:
            "earthprobe index-table --archive {params.archive:q} --files {input.files:q}"
            " --output {output.patches} --mismatches {output.mismatches} --log {log}"

else:

    rule index_patches:
        """The patches and their splits, without their labels: all that the way to the embeddings may depend on."""
        input:
            package("steps.index_patches", registry.kind("archives", READ_AS).path),
            files=source("s1"),
            lists=LISTS,
        output:
            patches=ensure("<results>/patches.parquet", non_empty=True),
            mismatches="<results>/split_mismatches.csv",
        log:
            "<logs>/index_patches.log",
        benchmark:
            "<benchmarks>/index_patches.tsv"
        conda:
            "../../envs/environment.yaml"
        resources:
            mem_mb=memory(2000),
        params:
            kind=READ_AS,
            archive=ARCHIVE["name"],
            shards=ARCHIVE["shards"],
            simulated="--simulated" if SIMULATED else "",
        shell:
            "earthprobe index-patches --kind {params.kind} --files {input.files:q} --lists {input.lists:q}"
            " --archive {params.archive} --shards {params.shards} {params.simulated}"
            " --output {output.patches} --mismatches {output.mismatches} --log {log}"


rule index:
    """The labels of every patch, beside its split and its place."""
    input:
        package("steps.index", f"{registry.kind('archives', READ_AS).path}_labels"),
        patches="<results>/patches.parquet",
        labels=LISTS if FACTS["labels_from"] == "lists" else source("s1"),
    output:
        ensure("<results>/index.parquet", non_empty=True),
    log:
        "<logs>/index.log",
    benchmark:
        "<benchmarks>/index.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(2000),
    params:
        kind=READ_AS,
        archive=lambda wc: (
            f"--archive {shlex.quote(as_json({key: ARCHIVE[key] for key in LABELLED_BY}))}" if IS_TABLE else ""
        ),
        max_rejected=ARCHIVE["max_rejected"],
    shell:
        "earthprobe index --kind {params.kind} --patches {input.patches} --labels {input.labels:q} {params.archive}"
        " --max-rejected {params.max_rejected} --output {output} --log {log}"


rule shard:
    """What a sensor saw of one shard's patches."""
    input:
        package("steps.shard"),
        lambda wc: pixels(wc.sensor),
        patches="<results>/patches.parquet",
        source=lambda wc: source(wc.sensor),
    output:
        ensure("<results>/shards/{sensor}/{shard}.parquet", non_empty=True),
    log:
        "<logs>/shard/{sensor}/{shard}.log",
    benchmark:
        "<benchmarks>/shard/{sensor}/{shard}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(600),
    params:
        licence=f"--licence {FACTS['licence']}" if "licence" in FACTS else "",
    shell:
        "earthprobe shard --patches {input.patches} --sensor {wildcards.sensor} --source {input.source:q}"
        " --shard {wildcards.shard} {params.licence} --output {output} --log {log}"


rule shard_statistics:
    """What all shards of a sensor hold: the mean and deviation of each band, and the unreadable patches."""
    input:
        package("steps.shard_statistics"),
        patches="<results>/patches.parquet",
        shards=expand("<results>/shards/{{sensor}}/{shard}.parquet", shard=SHARDS),
    output:
        statistics=ensure("<results>/band_statistics/{sensor}.json", non_empty=True),
        rejected=ensure("<results>/rejected/{sensor}.csv", non_empty=True),
    log:
        "<logs>/shard_statistics/{sensor}.log",
    benchmark:
        "<benchmarks>/shard_statistics/{sensor}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(500),
    params:
        max_rejected=ARCHIVE["max_rejected"],
    shell:
        "earthprobe shard-statistics --patches {input.patches} --shards {input.shards}"
        " --max-rejected {params.max_rejected} --output {output.statistics} --rejected {output.rejected} --log {log}"


rule rejected:
    """Every patch that was left out, and why."""
    input:
        package("steps.rejected"),
        index="<results>/index.parquet",
        pixels=expand("<results>/rejected/{sensor}.csv", sensor=SENSORS),
    output:
        ensure("<results>/rejected.csv", non_empty=True),
    log:
        "<logs>/rejected.log",
    conda:
        "../../envs/environment.yaml"
    params:
        pixels=lambda wc, input: f"--pixels {input.pixels}" if SENSORS else "",
    shell:
        "earthprobe rejected --index {input.index} {params.pixels} --output {output} --log {log}"


rule check:
    """What the archive holds, beside what the published one should hold."""
    input:
        package("steps.check"),
        [in_package(f"archives/{kind}.yaml") for kind in dict.fromkeys((KIND, READ_AS))],
        patches="<results>/patches.parquet",
        index="<results>/index.parquet",
        statistics=expand("<results>/band_statistics/{sensor}.json", sensor=SENSORS),
        rejected="<results>/rejected.csv",
    output:
        csv=ensure("<results>/check.csv", non_empty=True),
        html=report(
            ensure("<results>/check.html", non_empty=True),
            caption="../report/check.rst",
            category="Archive",
            labels={"table": "what the archive holds"},
        ),
    log:
        "<logs>/check.log",
    conda:
        "../../envs/environment.yaml"
    params:
        kind=KIND,
        flags=" ".join(
            flag
            for flag, wanted in {
                "--snow-and-clouds": ARCHIVE.get("snow_and_clouds"),
                "--other-split": ARCHIVE.get("split") == "reben",
            }.items()
            if wanted
        ),
        statistics=lambda wc, input: f"--statistics {input.statistics}" if SENSORS else "",
    shell:
        "earthprobe check --kind {params.kind} {params.flags} --patches {input.patches}"
        " --index {input.index} {params.statistics}"
        " --rejected {input.rejected} --csv {output.csv} --html {output.html} --log {log}"


# Compute nodes often have no way to the internet.
localrules:
    rejected,
    check,
    fetch_file,


rule shards:
    """All shards, and what they hold."""
    input:
        expand("<results>/shards/{sensor}/{shard}.parquet", sensor=SENSORS, shard=SHARDS),
        "<results>/rejected.csv",
        "<results>/config.yaml",


rule fetch:
    """All that comes from the internet: the published archive and the models' weights."""
    input:
        [FETCH_INTO / name for name in TO_FETCH],
        expand(
            "<results>/features/{features}/weights.safetensors",
            features=[
                name for name in FEATURES if FEATURES[name].get("weights") in model_of(name).facts.get("weights", ())
            ],
        ),
