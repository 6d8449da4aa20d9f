"""From an archive of patches to shards of pixels, and to an index of labels."""

ROOT = Path(f"results/{ARCHIVE['name']}/archive" if SIMULATED else ARCHIVE["root"])


rule simulate:
    """An archive in the format of BigEarthNet v1, drawn at random."""
    input:
        package("simulate", "labels", "layout", "files", "errors", "tiff"),
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


rule index_patches:
    """The patches and their splits, without their labels: all that the way to the embeddings may depend on."""
    input:
        package("index_patches", "layout", "files", "errors"),
        s1_folder=ROOT / S1_FOLDER,
        train=split_path("train"),
        val=split_path("val"),
        test=split_path("test"),
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
        mem_mb=memory(1500),
    params:
        archive=ARCHIVE["name"],
        shards=ARCHIVE["shards"],
        simulated="--simulated" if SIMULATED else "",
    shell:
        "earthprobe index-patches --s1-folder {input.s1_folder:q} --train {input.train:q} --val {input.val:q}"
        " --test {input.test:q} --archive {params.archive} --shards {params.shards} {params.simulated}"
        " --output {output.patches} --mismatches {output.mismatches} --log {log}"


rule index:
    """The labels of every patch, beside its split and its place."""
    input:
        package("index", "labels", "layout", "files", "errors"),
        patches="<results>/patches.parquet",
        s1_folder=ROOT / S1_FOLDER,
    output:
        ensure("<results>/index.parquet", non_empty=True),
    log:
        "<logs>/index.log",
    benchmark:
        "<benchmarks>/index.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        max_rejected=ARCHIVE["max_rejected"],
    shell:
        "earthprobe index --patches {input.patches} --s1-folder {input.s1_folder:q}"
        " --max-rejected {params.max_rejected} --output {output} --log {log}"


rule shard:
    """The pixels of one shard's patches."""
    input:
        package("shard", "tiff", "pixel_sums", "progress", "files", "errors"),
        patches="<results>/patches.parquet",
        s1_folder=ROOT / S1_FOLDER,
    output:
        ensure("<results>/shards/{shard}.parquet", non_empty=True),
    log:
        "<logs>/shard/{shard}.log",
    benchmark:
        "<benchmarks>/shard/{shard}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(600),
    shell:
        "earthprobe shard --patches {input.patches} --s1-folder {input.s1_folder:q} --shard {wildcards.shard}"
        " --output {output} --log {log}"


rule shard_statistics:
    """What all shards hold: the mean and deviation of each band, and the unreadable patches."""
    input:
        package("shard_statistics", "pixel_sums", "files", "errors"),
        patches="<results>/patches.parquet",
        shards=expand("<results>/shards/{shard}.parquet", shard=SHARDS),
    output:
        ensure("<results>/band_statistics.json", non_empty=True),
    log:
        "<logs>/shard_statistics.log",
    benchmark:
        "<benchmarks>/shard_statistics.tsv"
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
        statistics="<results>/band_statistics.json",
    output:
        ensure("<results>/rejected.csv", non_empty=True),
    log:
        "<logs>/rejected.log",
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe rejected --index {input.index} --statistics {input.statistics} --output {output} --log {log}"


localrules:
    rejected,


rule shards:
    """All shards, and what they hold."""
    input:
        expand("<results>/shards/{shard}.parquet", shard=SHARDS),
        "<results>/rejected.csv",
        "<results>/config.yaml",
