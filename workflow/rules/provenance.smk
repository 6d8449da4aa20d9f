"""Where the numbers of a run come from."""


rule manifest:
    """Commit, command, versions, seeds and machine of a run, and hashes of all that its tables rest on."""
    input:
        package("steps.manifest"),
        inputs=LISTS,
        config="<results>/config.yaml",
        index="<results>/index.parquet",
        weights=lambda wc: list(dict.fromkeys(weights_of(name) for name in FEATURES if weights_of(name))),
        features=expand("<results>/features/{features}.parquet", features=FEATURES),
        scores=expand(dict.fromkeys(path for row in ROWS for path in seeds_of(*row)), labels=LABEL_SETS),
        tables=expand(
            "<results>/tables/{table}_{labels}.csv",
            table=("classification", "comparison", "by_country", "by_tile", "retrieval", "doubtful_labels"),
            labels=LABEL_SETS,
        ),
    output:
        report(
            ensure("<results>/manifest.json", non_empty=True),
            caption="../report/manifest.rst",
            category="Configuration",
            labels={"file": "manifest"},
        ),
    log:
        "<logs>/manifest.log",
    benchmark:
        "<benchmarks>/manifest.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(600),
    params:
        weights=lambda wc, input: f"--weights {input.weights}" if input.weights else "",
    shell:
        "earthprobe manifest --config {input.config} --inputs {input.inputs:q} --index {input.index} {params.weights}"
        " --features {input.features} --scores {input.scores} --tables {input.tables} --output {output} --log {log}"


# It reads each file once, and stands where the command was given.
localrules:
    manifest,
