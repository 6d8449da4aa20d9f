"""From embeddings to trained probes and their metrics."""


rule train_forest:
    """scikit-learn's random forest, or its extremely randomised trees."""
    input:
        package(
            "probes/__init__",
            "probes/forest",
            "probes/train",
            "embeddings",
            "label_matrix",
            "progress",
            "files",
            "errors",
        ),
        features="<results>/features/{features}.parquet",
        index="<results>/index.parquet",
    output:
        scores=ensure("<results>/probes/{features}/{labels}/{probe}/scores.parquet", non_empty=True),
        model=ensure("<results>/probes/{features}/{labels}/{probe}/model.safetensors", non_empty=True),
    log:
        "<logs>/train/{features}/{labels}/{probe}.log",
    benchmark:
        "<benchmarks>/train/{features}/{labels}/{probe}.tsv"
    wildcard_constraints:
        probe=names(probes_of("random_forest", "extra_trees")),
    conda:
        "../../envs/environment.yaml"
    threads: 4  # more trees at once would not fit in the memory of a laptop
    resources:
        mem_mb=memory(1300, 2.7),
    params:
        probe=lambda wc: as_json(PROBES[wc.probe]),
    shell:
        "earthprobe train --probe {params.probe:q} --features {input.features} --index {input.index}"
        " --label-set {wildcards.labels} --threads {threads} --scores {output.scores} --model {output.model}"
        " --log {log}"


use rule train_forest as train_linear with:
    input:
        package(
            "probes/__init__",
            "probes/linear",
            "probes/train",
            "embeddings",
            "label_matrix",
            "progress",
            "files",
            "errors",
        ),
        features="<results>/features/{features}.parquet",
        index="<results>/index.parquet",
    output:
        scores=ensure("<results>/probes/{features}/{labels}/{probe}/scores.parquet", non_empty=True),
        model=ensure("<results>/probes/{features}/{labels}/{probe}/model.safetensors", non_empty=True),
    wildcard_constraints:
        probe=names(probes_of("linear")),
    threads: 16
    resources:
        mem_mb=memory(1200, 1.5),


use rule train_linear as train_mlp with:
    input:
        package(
            "probes/__init__",
            "probes/mlp",
            "probes/train",
            "embeddings",
            "label_matrix",
            "progress",
            "files",
            "errors",
        ),
        features="<results>/features/{features}.parquet",
        index="<results>/index.parquet",
    wildcard_constraints:
        probe=names(probes_of("mlp")),


rule evaluate:
    """The metrics of a probe on val and test."""
    input:
        package("evaluate", "describe", "files", "errors"),
        scores="<results>/probes/{features}/{labels}/{probe}/scores.parquet",
    output:
        metrics=ensure("<results>/probes/{features}/{labels}/{probe}/metrics.json", non_empty=True),
        per_class=ensure("<results>/probes/{features}/{labels}/{probe}/per_class.csv", non_empty=True),
    log:
        "<logs>/evaluate/{features}/{labels}/{probe}.log",
    benchmark:
        "<benchmarks>/evaluate/{features}/{labels}/{probe}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(1200),
    params:
        threshold=CONFIG["threshold"],
    shell:
        "earthprobe evaluate --scores {input.scores} --threshold {params.threshold}"
        " --metrics {output.metrics} --per-class {output.per_class} --log {log}"


# Seconds of work: as a job of its own each would wait longer for its turn. Not grouped with the training either, since
# a group that fails loses what all its members made.
localrules:
    evaluate,
