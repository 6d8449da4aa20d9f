"""From an archive of patches to shards of pixels."""

ROOT = f"results/{ARCHIVE['name']}/archive" if SIMULATED else ARCHIVE["root"]


rule simulate:
    """An archive in the format of BigEarthNet v1, drawn at random."""
    input:
        package("simulate", "labels", "files", "errors", "config", "tiff"),
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
    params:
        patches=ARCHIVE.get("patches"),
        seed=ARCHIVE.get("seed"),
    shell:
        "earthprobe simulate --patches {params.patches} --seed {params.seed} --label-sets {input.label_sets}"
        " --root $(dirname {output.s1_folder}) --log {log}"


rule index:
    """The patches, their splits and labels, and where their pixels lie."""
    input:
        package("index", "labels", "files", "errors", "config"),
        s1_folder=f"{ROOT}/{S1_FOLDER}",
        train=f"{ROOT}/bigearthnet-train.csv" if SIMULATED else str(split_file(Path(ROOT), "train")),
        val=f"{ROOT}/bigearthnet-val.csv" if SIMULATED else str(split_file(Path(ROOT), "val")),
        test=f"{ROOT}/bigearthnet-test.csv" if SIMULATED else str(split_file(Path(ROOT), "test")),
    output:
        index=ensure("<results>/index.parquet", non_empty=True),
        mismatches="<results>/split_mismatches.csv",
    log:
        "<logs>/index.log",
    benchmark:
        "<benchmarks>/index.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        archive=ARCHIVE["name"],
        shards=ARCHIVE["shards"],
        simulated="--simulated" if SIMULATED else "",
    shell:
        "earthprobe index --s1-folder {input.s1_folder:q} --train {input.train:q} --val {input.val:q}"
        " --test {input.test:q} --archive {params.archive} --shards {params.shards} {params.simulated}"
        " --output {output.index} --mismatches {output.mismatches} --log {log}"


rule shard:
    """The pixels of one shard's patches."""
    input:
        package("shard", "tiff", "pixel_sums", "files", "errors"),
        index="<results>/index.parquet",
        s1_folder=ancient(f"{ROOT}/{S1_FOLDER}"),
    output:
        ensure("<results>/shards/{shard}.parquet", non_empty=True),
    log:
        "<logs>/shard/{shard}.log",
    benchmark:
        "<benchmarks>/shard/{shard}.tsv"
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe shard --index {input.index} --s1-folder {input.s1_folder:q} --shard {wildcards.shard}"
        " --output {output} --log {log}"


rule shard_statistics:
    """What all shards hold: the mean and deviation of each band, and the rejected patches."""
    input:
        package("band_statistics", "shard", "tiff", "pixel_sums", "files", "errors"),
        index="<results>/index.parquet",
        shards=expand("<results>/shards/{shard}.parquet", shard=SHARDS),
    output:
        statistics=ensure("<results>/band_statistics.json", non_empty=True),
        rejected="<results>/rejected.csv",
    log:
        "<logs>/shard_statistics.log",
    benchmark:
        "<benchmarks>/shard_statistics.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        max_rejected=ARCHIVE["max_rejected"],
    shell:
        "earthprobe shard-statistics --index {input.index} --shards {input.shards}"
        " --max-rejected {params.max_rejected} --output {output.statistics} --rejected {output.rejected}"
        " --log {log}"


rule shards:
    """All shards, and what they hold."""
    input:
        rules.shard_statistics.input.shards,
        "<results>/band_statistics.json",
        "<results>/config.yaml",
