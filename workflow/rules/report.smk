"""What is read in the end: tables, and the configuration that they come from."""


rule table:
    """Ours and published results of a label set, side by side."""
    input:
        package("table", "describe", "files", "errors"),
        metrics=expand("<results>/probes/{features}/{{labels}}/{probe}/metrics.json", features=FEATURES, probe=PROBES),
        published=in_repository("resources/published_results.csv"),
    output:
        csv=ensure("<results>/tables/classification_{labels}.csv", non_empty=True),
        md=ensure("<results>/tables/classification_{labels}.md", non_empty=True),
    log:
        "<logs>/table/{labels}.log",
    benchmark:
        "<benchmarks>/table/{labels}.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        features=[name for name in FEATURES for _ in PROBES],
        probes=[name for _ in FEATURES for name in PROBES],
    shell:
        "earthprobe table --metrics {input.metrics} --features {params.features} --probes {params.probes}"
        " --published {input.published} --label-set {wildcards.labels} --csv {output.csv} --md {output.md}"
        " --log {log}"


rule config:
    """The configuration with every default, beside the results that it made."""
    input:
        package("files", "errors"),
    output:
        ensure("<results>/config.yaml", non_empty=True),
    log:
        "<logs>/config.log",
    conda:
        "../../envs/environment.yaml"
    params:
        config=json.dumps(CONFIG),
    shell:
        "earthprobe config --json {params.config:q} --output {output} --log {log}"


localrules:
    table,
    config,


rule tables:
    """The tables of all label sets."""
    input:
        expand("<results>/tables/classification_{labels}.csv", labels=LABEL_SETS),
        "<results>/rejected.csv",
        "<results>/config.yaml",
