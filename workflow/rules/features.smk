"""From shards of pixels to the embeddings of a frozen model."""


rule embed_weights:
    """A model's weights, checked, in a file that runs no code."""
    input:
        lambda wc: package("steps.embed_weights", model_of(wc.features).path),
        file=lambda wc: weights_file(wc.features),
    output:
        ensure("<results>/features/{features}/weights.safetensors", non_empty=True),
    log:
        "<logs>/embed_weights/{features}.log",
    benchmark:
        "<benchmarks>/embed_weights/{features}.tsv"
    wildcard_constraints:
        features=names([name for name in FEATURES if has_weights(name)]),
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(2500),
    params:
        kind=lambda wc: model_of(wc.features).name,
        model=lambda wc: FEATURES[wc.features].get("model", ""),
        bands=lambda wc: FEATURES[wc.features]["bands"],
        # A path is an input, so that what counts is the file and not where it lies.
        weights=lambda wc: "" if weights_file(wc.features) else FEATURES[wc.features]["weights"],
    shell:
        "earthprobe embed-weights --kind {params.kind} --model {params.model:q} --bands {params.bands} --weights {params.weights}{input.file:q}"
        " --output {output} --log {log}"


rule fit_model:
    """What a model takes from the train split."""
    input:
        lambda wc: package("steps.fit_model", model_of(wc.features).path),
        shards=lambda wc: expand("<results>/shards/{sensor}/{shard}.parquet", sensor=seen_by(wc.features), shard=SHARDS),
        statistics=lambda wc: expand("<results>/band_statistics/{sensor}.json", sensor=seen_by(wc.features)),
        patches="<results>/patches.parquet",
    output:
        ensure("<results>/features/{features}/weights.safetensors", non_empty=True),
    log:
        "<logs>/fit_model/{features}.log",
    benchmark:
        "<benchmarks>/fit_model/{features}.tsv"
    wildcard_constraints:
        features=names([name for name in FEATURES if is_fitted(name)]),
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(2500),
    params:
        model=lambda wc: model_json(wc.features),
    shell:
        "earthprobe fit-model --model {params.model:q} --shards {input.shards} --statistics {input.statistics}"
        " --patches {input.patches} --output {output} --log {log}"


rule embed:
    """The embeddings of one shard's patches."""
    input:
        lambda wc: package("steps.embed", model_of(wc.features).path),
        shard=lambda wc: expand("<results>/shards/{sensor}/{{shard}}.parquet", sensor=seen_by(wc.features)),
        statistics=lambda wc: expand("<results>/band_statistics/{sensor}.json", sensor=seen_by(wc.features)),
        weights=lambda wc: weights_of(wc.features),
        # Dates and places are those of the list of patches, which shards do not repeat.
        patches=lambda wc: "<results>/patches.parquet" if model_of(wc.features).facts.get("needs") else [],
    output:
        vectors=ensure("<results>/features/{features}/{shard}.parquet", non_empty=True),
        cost="<results>/features/{features}/{shard}.cost.json",
    log:
        "<logs>/embed/{features}/{shard}.log",
    benchmark:
        "<benchmarks>/embed/{features}/{shard}.tsv"
    wildcard_constraints:
        features=names([name for name in FEATURES if model_of(name).facts.get("gpu")]),
    conda:
        "../../envs/environment.yaml"
    threads: lambda wc: model_of(wc.features).facts["threads"]
    resources:
        mem_mb=lambda wc, attempt: attempt * (300 + model_of(wc.features).facts["memory"]["mb"]),
        gpu=1,
    params:
        model=lambda wc: model_json(wc.features),
        weights=lambda wc, input: f"--weights {input.weights}" if input.weights else "",
        patches=lambda wc, input: f"--patches {input.patches}" if input.patches else "",
    shell:
        "earthprobe embed --model {params.model:q} --shard {input.shard} --statistics {input.statistics}"
        " {params.weights} {params.patches} --threads {threads} --output {output.vectors} --cost {output.cost} --log {log}"


use rule embed as embed_on_cpu with:
    wildcard_constraints:
        features=names([name for name in FEATURES if not model_of(name).facts.get("gpu")]),
    resources:
        mem_mb=lambda wc, attempt: attempt * (300 + model_of(wc.features).facts["memory"]["mb"]),


rule merge:
    """The embeddings of all shards in one file, ordered by patch."""
    input:
        package("steps.merge"),
        shards=lambda wc: expand("<results>/features/{made}/{shard}.parquet", made=made_as(wc.features), shard=SHARDS),
        patches="<results>/patches.parquet",
        rejected=lambda wc: expand("<results>/rejected/{sensor}.csv", sensor=seen_by(wc.features)),
    output:
        ensure("<results>/features/{features}.parquet", non_empty=True),
    log:
        "<logs>/merge/{features}.log",
    benchmark:
        "<benchmarks>/merge/{features}.tsv"
    wildcard_constraints:
        features=names([name for name in FEATURES if sees_pixels(name) and not is_compressed(name)]),
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(1200),
    shell:
        "earthprobe merge --shards {input.shards} --patches {input.patches} --rejected {input.rejected}"
        " --output {output} --log {log}"


use rule merge as merge_whole with:
    output:
        temp("<results>/features/{features}/whole.parquet"),
    log:
        "<logs>/merge_whole/{features}.log",
    benchmark:
        "<benchmarks>/merge_whole/{features}.tsv"
    wildcard_constraints:
        features=names([name for name in FEATURES if sees_pixels(name) and is_compressed(name)]),


rule compress:
    """Smaller vectors: fewer figures, or fewer bytes a figure."""
    input:
        package("steps.compress"),
        features=lambda wc: whole_vectors(wc.features),
        patches="<results>/patches.parquet",
    output:
        ensure("<results>/features/{features}.parquet", non_empty=True),
    log:
        "<logs>/compress/{features}.log",
    benchmark:
        "<benchmarks>/compress/{features}.tsv"
    wildcard_constraints:
        features=names([name for name in FEATURES if is_compressed(name)]),
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        pca=lambda wc: f"--pca {FEATURES[wc.features]['pca']}" if FEATURES[wc.features]["pca"] else "",
        store=lambda wc: FEATURES[wc.features]["store"],
    shell:
        "earthprobe compress --features {input.features} --patches {input.patches} {params.pca} --store {params.store}"
        " --output {output} --log {log}"


rule cost:
    """What a feature set costs."""
    input:
        lambda wc: package("steps.cost", model_of(wc.features).path),
        statistics=lambda wc: expand("<results>/band_statistics/{sensor}.json", sensor=seen_by(wc.features)),
        weights=lambda wc: weights_of(wc.features),
        jobs=lambda wc: expand("<results>/features/{made}/{shard}.cost.json", made=made_as(wc.features), shard=SHARDS),
    output:
        ensure("<results>/features/{features}/cost.json", non_empty=True),
    log:
        "<logs>/cost/{features}.log",
    benchmark:
        "<benchmarks>/cost/{features}.tsv"
    wildcard_constraints:
        features=names([name for name in FEATURES if sees_pixels(name)]),
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(2500),
    params:
        model=lambda wc: as_json(FEATURES[wc.features] | weights_by_name(wc.features)),
        weights=lambda wc, input: f"--weights {input.weights}" if input.weights else "",
    shell:
        "earthprobe cost --model {params.model:q} --statistics {input.statistics} {params.weights} --jobs {input.jobs}"
        " --output {output} --log {log}"


rule take_vectors:
    """The vectors of a feature set that sees no pixels."""
    input:
        lambda wc: package("steps.take_vectors", model_of(wc.features).path),
        patches="<results>/patches.parquet",
        file=lambda wc: vectors_file(wc.features),
    output:
        ensure("<results>/features/{features}.parquet", non_empty=True),
    log:
        "<logs>/take_vectors/{features}.log",
    benchmark:
        "<benchmarks>/take_vectors/{features}.tsv"
    wildcard_constraints:
        features=names([name for name in FEATURES if not sees_pixels(name) and not is_compressed(name)]),
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=lambda wc, input, attempt: memory(**model_of(wc.features).facts["memory"])(wc, input, attempt),
    params:
        model=lambda wc: model_json(wc.features),
    shell:
        "earthprobe take-vectors --model {params.model:q} --patches {input.patches} --output {output} --log {log}"


use rule take_vectors as take_whole_vectors with:
    output:
        temp("<results>/features/{features}/whole.parquet"),
    log:
        "<logs>/take_whole_vectors/{features}.log",
    benchmark:
        "<benchmarks>/take_whole_vectors/{features}.tsv"
    wildcard_constraints:
        features=names([name for name in FEATURES if not sees_pixels(name) and is_compressed(name)]),


rule features:
    """The merged embeddings of all feature sets."""
    input:
        expand("<results>/features/{features}.parquet", features=SHOWN),
        "<results>/rejected.csv",
        "<results>/config.yaml",


# Compute nodes often have no way to the internet.
localrules:
    embed_weights,
