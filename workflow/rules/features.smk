"""From shards of pixels to the embeddings of a frozen model."""


rule embed_weights:
    """A model's weights, checked, in a file that runs no code."""
    input:
        package("embed_weights", "dofa", "download", "progress", "files", "errors"),
        file=lambda wc: weights_file(wc.features),
    output:
        ensure("<results>/features/{features}/weights.safetensors", non_empty=True),
    log:
        "<logs>/embed_weights/{features}.log",
    benchmark:
        "<benchmarks>/embed_weights/{features}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(2500),
    params:
        model=lambda wc: FEATURES[wc.features]["model"],
        # A path is an input, so that what counts is the file and not where it lies.
        weights=lambda wc: "" if weights_file(wc.features) else FEATURES[wc.features]["weights"],
    shell:
        "earthprobe embed-weights --model {params.model} --weights {params.weights}{input.file:q}"
        " --output {output} --log {log}"


rule embed:
    """The embeddings of one shard's patches."""
    input:
        package(
            "embed",
            "forward",
            "dofa",
            "embed_weights",
            "download",
            "pixels",
            "bands",
            "layout",
            "progress",
            "files",
            "errors",
        ),
        shard=lambda wc: of_sensors("<results>/shards{sensor}/{shard}.parquet", seen_by(wc.features)),
        statistics=lambda wc: of_sensors("<results>/band_statistics{sensor}.json", seen_by(wc.features)),
        weights="<results>/features/{features}/weights.safetensors",
    output:
        ensure("<results>/features/{features}/{shard}.parquet", non_empty=True),
    log:
        "<logs>/embed/{features}/{shard}.log",
    benchmark:
        "<benchmarks>/embed/{features}/{shard}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 16
    resources:
        mem_mb=memory(4000),
        gpu=1,
    params:
        bands=lambda wc: " ".join(FEATURES[wc.features]["bands"]),
        wavelengths=lambda wc: " ".join(map(str, FEATURES[wc.features]["wavelengths"])),
        image_size=lambda wc: FEATURES[wc.features]["image_size"],
        precision=lambda wc: FEATURES[wc.features]["precision"],
    shell:
        "earthprobe embed --shard {input.shard} --statistics {input.statistics} --weights {input.weights}"
        " --bands {params.bands} --wavelengths {params.wavelengths} --image-size {params.image_size}"
        " --precision {params.precision} --threads {threads} --output {output} --log {log}"


rule merge:
    """The embeddings of all shards in one file, ordered by patch: the only one that training reads."""
    input:
        package("merge", "progress", "files", "errors"),
        shards=expand("<results>/features/{{features}}/{shard}.parquet", shard=SHARDS),
        patches="<results>/patches.parquet",
        statistics=lambda wc: of_sensors("<results>/band_statistics{sensor}.json", seen_by(wc.features)),
    output:
        ensure("<results>/features/{features}.parquet", non_empty=True),
    log:
        "<logs>/merge/{features}.log",
    benchmark:
        "<benchmarks>/merge/{features}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(1200),
    shell:
        "earthprobe merge --shards {input.shards} --patches {input.patches} --statistics {input.statistics}"
        " --output {output} --log {log}"


rule features:
    """The merged embeddings of all feature sets."""
    input:
        expand("<results>/features/{features}.parquet", features=FEATURES),
        "<results>/rejected.csv",
        "<results>/config.yaml",


# Compute nodes often have no way to the internet.
localrules:
    embed_weights,
