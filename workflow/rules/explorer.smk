"""A page on which patches can be looked at, and the labels that are worth a look."""

# The page shows patches by every sensor of the study; that of Sentinel-2 says most to the eye.
BY_SENSOR = sorted(SENSORS, reverse=True)
PAGE = [
    in_package(f"resources/explorer/{file.name}")
    for file in sorted((registry.PACKAGE / "resources/explorer").iterdir())
]


rule doubts:
    """The labels that probes doubt most: a list to look at."""
    input:
        package("steps.doubts"),
        index="<results>/index.parquet",
        metrics=probed("metrics.json", "{labels}"),
        scores=probed("scores.parquet", "{labels}"),
    output:
        report(
            ensure("<results>/tables/doubtful_labels_{labels}.csv", non_empty=True),
            caption="../report/doubtful_labels.rst",
            category="Tables",
            labels={"table": "doubtful labels", "classes": "{labels}"},
        ),
    log:
        "<logs>/doubts/{labels}.log",
    benchmark:
        "<benchmarks>/doubts/{labels}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(1000, 2),
    params:
        features=[features for features, _ in PROBED],
    shell:
        "earthprobe doubts --index {input.index} --metrics {input.metrics} --scores {input.scores}"
        " --features {params.features} --csv {output} --log {log}"


rule explorer:
    """One page to look at patches: where they lie, what they have and what they get."""
    input:
        package("steps.explorer"),
        PAGE,
        index="<results>/index.parquet",
        sample="<results>/sample.parquet",
        shards=expand("<results>/shards/{sensor}/{shard}.parquet", sensor=BY_SENSOR, shard=SHARDS),
        layouts=expand("<results>/umap/{features}.parquet", features=SHOWN),
        doubts=expand("<results>/tables/doubtful_labels_{labels}.csv", labels=LABEL_SETS),
        metrics=probed("metrics.json", LABEL_SETS),
        scores=probed("scores.parquet", LABEL_SETS),
    output:
        ensure("<results>/explorer.html", non_empty=True),
    log:
        "<logs>/explorer.log",
    benchmark:
        "<benchmarks>/explorer.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 4
    resources:
        mem_mb=memory(3000),
    params:
        features=list(SHOWN),
        label_sets=LABEL_SETS,
        row_features=[features for _ in LABEL_SETS for features, _ in PROBED],
        row_probes=[probe for _ in LABEL_SETS for _, probe in PROBED],
        row_labels=[labels for labels in LABEL_SETS for _ in PROBED],
        sensors=f"--sensors {' '.join(BY_SENSOR)} --shards" if BY_SENSOR else "",
        threshold=CONFIG["threshold"],
        megabytes=CONFIG["explorer"]["megabytes"],
        seed=SEED_OF_SAMPLE,
    shell:
        "earthprobe explorer --index {input.index} --sample {input.sample} --features {params.features}"
        " --layouts {input.layouts} --label-sets {params.label_sets} --doubts {input.doubts}"
        " --row-features {params.row_features} --row-probes {params.row_probes} --row-labels {params.row_labels}"
        " --metrics {input.metrics} --scores {input.scores} {params.sensors} {input.shards} --threshold {params.threshold}"
        " --megabytes {params.megabytes} {params.seed} --output {output} --log {log}"
