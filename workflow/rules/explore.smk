"""What an archive and its embeddings look like."""

SEED_OF_SAMPLE = "" if CONFIG["umap"]["seed"] is None else f"--seed {CONFIG['umap']['seed']}"


rule explore:
    """How often classes occur, and which occur together."""
    input:
        package("steps.explore"),
        index="<results>/index.parquet",
    output:
        distribution=ensure("<results>/figures/class_distribution_{labels}.csv", non_empty=True),
        correlation=ensure("<results>/figures/label_correlation_{labels}.csv", non_empty=True),
    log:
        "<logs>/explore/{labels}.log",
    benchmark:
        "<benchmarks>/explore/{labels}.tsv"
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe explore --index {input.index} --label-set {wildcards.labels}"
        " --distribution {output.distribution} --correlation {output.correlation} --log {log}"


rule figure_class_distribution:
    """Patches of each class."""
    input:
        package("figures.class_distribution"),
        csv="<results>/figures/class_distribution_{labels}.csv",
    output:
        png=report(
            "<results>/figures/class_distribution_{labels}.png",
            caption="../report/class_distribution.rst",
            category="Archive",
            labels={"figure": "class distribution", "classes": "{labels}"},
        ),
        pdf="<results>/figures/class_distribution_{labels}.pdf",
    log:
        "<logs>/figure_class_distribution/{labels}.log",
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe figure-class-distribution --csv {input.csv} --images {output} --log {log}"


rule figure_label_correlation:
    """Which classes occur together."""
    input:
        package("figures.label_correlation"),
        csv="<results>/figures/label_correlation_{labels}.csv",
    output:
        png=report(
            "<results>/figures/label_correlation_{labels}.png",
            caption="../report/label_correlation.rst",
            category="Archive",
            labels={"figure": "label correlation", "classes": "{labels}"},
        ),
        pdf="<results>/figures/label_correlation_{labels}.pdf",
    log:
        "<logs>/figure_label_correlation/{labels}.log",
    conda:
        "../../envs/environment.yaml"
    params:
        order=CONFIG["figures"]["correlation_order"],
    shell:
        "earthprobe figure-label-correlation --csv {input.csv} --order {params.order} --images {output} --log {log}"


rule sample:
    """The patches that pictures of a whole archive show, the same of all feature sets."""
    input:
        package("steps.sample"),
        index="<results>/index.parquet",
    output:
        ensure("<results>/sample.parquet", non_empty=True),
    log:
        "<logs>/sample.log",
    conda:
        "../../envs/environment.yaml"
    params:
        sample=CONFIG["umap"]["sample"],
        seed=SEED_OF_SAMPLE,
    shell:
        "earthprobe sample --index {input.index} --sample {params.sample} {params.seed} --output {output} --log {log}"


rule umap:
    """Embeddings in two dimensions: once for all label sets, since umap-learn compiles itself in each process."""
    input:
        package("steps.umap"),
        features="<results>/features/{features}.parquet",
        sample="<results>/sample.parquet",
    output:
        ensure("<results>/umap/{features}.parquet", non_empty=True),
    log:
        "<logs>/umap/{features}.log",
    benchmark:
        "<benchmarks>/umap/{features}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1 if CONFIG["umap"]["seed"] is not None else 16
    resources:
        mem_mb=memory(1200, 3),
    params:
        neighbors=CONFIG["umap"]["neighbors"],
        min_distance=CONFIG["umap"]["min_distance"],
        seed=SEED_OF_SAMPLE,
    shell:
        "earthprobe umap --features {input.features} --sample {input.sample}"
        " --neighbors {params.neighbors} --min-distance {params.min_distance} {params.seed} --threads {threads}"
        " --output {output} --log {log}"


rule figure_umap:
    """The embeddings, one panel a class."""
    input:
        package("figures.umap"),
        coordinates="<results>/umap/{features}.parquet",
        index="<results>/index.parquet",
    output:
        png=report(
            "<results>/figures/umap_{features}_{labels}.png",
            caption="../report/umap.rst",
            category="Embeddings",
            labels={"figure": "UMAP", "features": "{features}", "classes": "{labels}"},
        ),
        pdf="<results>/figures/umap_{features}_{labels}.pdf",
        csv="<results>/figures/umap_{features}_{labels}.csv",
    log:
        "<logs>/figure_umap/{features}/{labels}.log",
    benchmark:
        "<benchmarks>/figure_umap/{features}/{labels}.tsv"
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe figure-umap --csv {output.csv} --coordinates {input.coordinates} --index {input.index}"
        " --label-set {wildcards.labels} --images {output.png} {output.pdf} --log {log}"


rule figure_umaps:
    """The embeddings of all feature sets side by side."""
    input:
        package("figures.umaps"),
        coordinates=expand("<results>/umap/{features}.parquet", features=SHOWN),
        index="<results>/index.parquet",
    output:
        png=report(
            "<results>/figures/umap_{labels}.png",
            caption="../report/umaps.rst",
            category="Embeddings",
            labels={"figure": "UMAP", "features": "all", "classes": "{labels}"},
        ),
        pdf="<results>/figures/umap_{labels}.pdf",
        csv="<results>/figures/umap_{labels}.csv",
    log:
        "<logs>/figure_umaps/{labels}.log",
    benchmark:
        "<benchmarks>/figure_umaps/{labels}.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        features=list(SHOWN),
    shell:
        "earthprobe figure-umaps --csv {output.csv} --features {params.features} --coordinates {input.coordinates}"
        " --index {input.index} --label-set {wildcards.labels} --images {output.png} {output.pdf} --log {log}"


localrules:
    explore,
    sample,
    figure_class_distribution,
    figure_label_correlation,
    figure_umap,
    figure_umaps,
