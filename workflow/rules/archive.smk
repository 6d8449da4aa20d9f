"""From an archive of patches to shards of pixels, and to an index of labels."""

# What is still to be downloaded. Once it is there, no rule makes it, so that no change of ours can ever delete it.
FETCH_INTO = Path("." if SIMULATED or isinstance(ARCHIVE["root"], list) else ARCHIVE["root"])
SOURCES = [] if SIMULATED else [*split_lists(), *(file for tar in PACKED.values() for file in tar.files)]
TO_FETCH = [path.name for path in SOURCES if ARCHIVE["fetch"] and not path.exists()]


rule simulate:
    """An archive in the format of BigEarthNet v1, drawn at random."""
    input:
        package("simulate", "bands", "labels", "layout", "files", "errors"),
        label_sets=in_repository("resources/label_set_counts.csv"),
    output:
        expand("<results>/archive/bigearthnet-{split}.csv", split=SPLITS),
        s1_folder=directory(f"<results>/archive/{S1_FOLDER}"),
    log:
        "<logs>/simulate.log",
    benchmark:
        "<benchmarks>/simulate.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(700),
    params:
        patches=ARCHIVE.get("patches"),
        seed=ARCHIVE.get("seed"),
    shell:
        "earthprobe simulate --patches {params.patches} --seed {params.seed} --label-sets {input.label_sets}"
        " --root $(dirname {output.s1_folder}) --log {log}"


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
    shell:
        "earthprobe fetch --file {wildcards.file} --output {output:q} --log {log}"


rule index_members:
    """Where in a tar archive the files of the patches are."""
    input:
        package("index_members", "archive", "tar", "layout", "progress", "files", "errors"),
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
        folder=lambda wc: FOLDERS[PACKED[wc.tar].sensor][KIND],
        contents=lambda wc, output: "" if wc.tar in PLAIN else f"--contents {output.contents}",
    shell:
        "earthprobe index-members --tar {input.tar:q} --folder {params.folder} {params.contents} --output {output.members} --log {log}"


use rule index_members as index_members_compressed with:
    output:
        members=ensure("<results>/{tar}.parquet", non_empty=True),
        contents=ensure("<results>/{tar}.contents", non_empty=True),
    wildcard_constraints:
        tar=names([tar for tar in PACKED if tar not in PLAIN]),


rule index_patches:
    """The patches and their splits, without their labels: all that the way to the embeddings may depend on."""
    input:
        package("index_patches", "archive", "layout", "files", "errors"),
        s1=source("s1"),
        lists=split_lists(),
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
        archive=ARCHIVE["name"],
        shards=ARCHIVE["shards"],
        simulated="--simulated" if SIMULATED else "",
        lists=lambda wc, input: as_options(input.lists),
    shell:
        "earthprobe index-patches --s1 {input.s1:q} {params.lists} --archive {params.archive}"
        " --shards {params.shards} {params.simulated}"
        " --output {output.patches} --mismatches {output.mismatches} --log {log}"


rule index:
    """The labels of every patch, beside its split and its place."""
    input:
        package("index", "archive", "labels", "files", "errors", "layout"),
        patches="<results>/patches.parquet",
        labels=tables(ARCHIVE) if KIND == "reben" else source("s1"),
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
        max_rejected=ARCHIVE["max_rejected"],
        where="--tables" if KIND == "reben" else "--s1",
    shell:
        "earthprobe index --patches {input.patches} {params.where} {input.labels:q}"
        " --max-rejected {params.max_rejected} --output {output} --log {log}"


rule shard:
    """What a sensor saw of one shard's patches."""
    input:
        package("shard", "archive", "bands", "layout", "tiff", "pixel_sums", "progress", "files", "errors"),
        lambda wc: pixels(SENSOR_OF[wc.sensor]),
        patches="<results>/patches.parquet",
        source=lambda wc: source(SENSOR_OF[wc.sensor]),
    output:
        ensure("<results>/shards{sensor}/{shard}.parquet", non_empty=True),
    log:
        "<logs>/shard{sensor}/{shard}.log",
    benchmark:
        "<benchmarks>/shard{sensor}/{shard}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(600),
    params:
        sensor=lambda wc: SENSOR_OF[wc.sensor],
    shell:
        "earthprobe shard --patches {input.patches} --sensor {params.sensor} --source {input.source:q}"
        " --shard {wildcards.shard} --output {output} --log {log}"


rule shard_statistics:
    """What all shards of a sensor hold: the mean and deviation of each band, and the unreadable patches."""
    input:
        package("shard_statistics", "bands", "layout", "pixel_sums", "files", "errors"),
        patches="<results>/patches.parquet",
        shards=expand("<results>/shards{{sensor}}/{shard}.parquet", shard=SHARDS),
    output:
        ensure("<results>/band_statistics{sensor}.json", non_empty=True),
    log:
        "<logs>/shard_statistics{sensor}.log",
    benchmark:
        "<benchmarks>/shard_statistics{sensor}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(500),
    params:
        max_rejected=ARCHIVE["max_rejected"],
    shell:
        "earthprobe shard-statistics --patches {input.patches} --shards {input.shards}"
        " --max-rejected {params.max_rejected} --output {output} --log {log}"


rule rejected:
    """Every patch that was left out, and why."""
    input:
        package("rejected", "files", "errors"),
        index="<results>/index.parquet",
        statistics=of_sensors("<results>/band_statistics{sensor}.json"),
    output:
        ensure("<results>/rejected.csv", non_empty=True),
    log:
        "<logs>/rejected.log",
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe rejected --index {input.index} --statistics {input.statistics} --output {output} --log {log}"


rule check:
    """What the archive holds, beside what the published one should hold."""
    input:
        package("check", "bands", "layout", "files", "errors"),
        patches="<results>/patches.parquet",
        mismatches="<results>/split_mismatches.csv",
        index="<results>/index.parquet",
        statistics=of_sensors("<results>/band_statistics{sensor}.json"),
        rejected="<results>/rejected.csv",
        label_counts=in_repository("resources/published_label_counts.csv"),
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
        snow_and_clouds="--snow-and-clouds" if ARCHIVE.get("snow_and_clouds") else "",
    shell:
        "earthprobe check --kind {params.kind} {params.snow_and_clouds} --patches {input.patches}"
        " --mismatches {input.mismatches} --index {input.index} --statistics {input.statistics}"
        " --rejected {input.rejected} --label-counts {input.label_counts}"
        " --csv {output.csv} --html {output.html} --log {log}"


# Compute nodes often have no way to the internet.
localrules:
    rejected,
    check,
    fetch_file,


rule shards:
    """All shards, and what they hold."""
    input:
        expand(of_sensors("<results>/shards{sensor}/{shard}.parquet"), shard=SHARDS),
        "<results>/rejected.csv",
        "<results>/config.yaml",


rule fetch:
    """All that comes from the internet: the published archive and the models' weights."""
    input:
        [FETCH_INTO / name for name in TO_FETCH],
        expand("<results>/features/{features}/weights.safetensors", features=PUBLISHED),
