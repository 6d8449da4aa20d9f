"""What lies near what: the nearest train patches of each test patch, and whether they share its labels."""


rule neighbors:
    """The 100 nearest train patches of each test patch, by their vectors."""
    input:
        package("steps.neighbors"),
        features="<results>/features/{features}.parquet",
        index="<results>/index.parquet",
    output:
        ensure("<results>/neighbors/{features}.parquet", non_empty=True),
    log:
        "<logs>/neighbors/{features}.log",
    benchmark:
        "<benchmarks>/neighbors/{features}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 16
    resources:
        mem_mb=memory(1500, 2.5),
    params:
        buffer=CONFIG["buffer"],
    shell:
        "earthprobe neighbors --features {input.features} --index {input.index} --buffer {params.buffer}"
        " --threads {threads} --output {output} --log {log}"


rule retrieval:
    """How well the nearest train patches share the labels of test patches."""
    input:
        package("steps.retrieval"),
        neighbors=expand("<results>/neighbors/{features}.parquet", features=SHOWN),
        features=expand("<results>/features/{features}.parquet", features=SHOWN),
        index="<results>/index.parquet",
    output:
        csv=ensure("<results>/tables/retrieval_{labels}.csv", non_empty=True),
        md=ensure("<results>/tables/retrieval_{labels}.md", non_empty=True),
        html=report(
            ensure("<results>/tables/retrieval_{labels}.html", non_empty=True),
            caption="../report/retrieval.rst",
            category="Tables",
            labels={"table": "retrieval", "classes": "{labels}"},
        ),
    log:
        "<logs>/retrieval/{labels}.log",
    benchmark:
        "<benchmarks>/retrieval/{labels}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(2000),
    params:
        **CONFIG["intervals"],
        names=list(SHOWN),
        buffer=CONFIG["buffer"],
    shell:
        "earthprobe retrieval --neighbors {input.neighbors} --features {input.features} --names {params.names}"
        " --index {input.index} --label-set {wildcards.labels} --buffer {params.buffer} --cluster {params.cluster}"
        " --draws {params.draws} --seed {params.seed} --csv {output.csv} --md {output.md} --html {output.html}"
        " --log {log}"
