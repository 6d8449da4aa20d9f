"""What is read in the end: tables, the figures of the probes, and the configuration that they come from."""


rule table:
    """Ours and published results of a label set, side by side."""
    input:
        package("steps.table"),
        metrics=rows_of("metrics.json"),
        comparison="<results>/tables/comparison_{labels}.csv",
        published=in_package("resources/published_results.csv"),
    output:
        csv=ensure("<results>/tables/classification_{labels}.csv", non_empty=True),
        md=ensure("<results>/tables/classification_{labels}.md", non_empty=True),
        html=report(
            ensure("<results>/tables/classification_{labels}.html", non_empty=True),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "classification", "classes": "{labels}"},
        ),
    log:
        "<logs>/table/{labels}.log",
    benchmark:
        "<benchmarks>/table/{labels}.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        features=[features for features, _ in ROWS],
        probes=[probe for _, probe in ROWS],
    shell:
        "earthprobe table --metrics {input.metrics} --features {params.features} --probes {params.probes}"
        " --comparison {input.comparison} --published {input.published} --label-set {wildcards.labels} --csv {output.csv} --md {output.md}"
        " --html {output.html} --log {log}"


rule summary:
    """What the tables say, in five lines each."""
    input:
        package("steps.summary"),
        metrics=[path for labels in LABEL_SETS for path in expand(rows_of("metrics.json"), labels=labels)],
        comparisons=expand("<results>/tables/comparison_{labels}.csv", labels=LABEL_SETS),
    output:
        ensure("<results>/summary.md", non_empty=True),
    log:
        "<logs>/summary.log",
    conda:
        "../../envs/environment.yaml"
    params:
        label_sets=LABEL_SETS,
        features=[features for features, _ in ROWS],
        probes=[probe for _, probe in ROWS],
    shell:
        "earthprobe summary --label-sets {params.label_sets} --features {params.features} --probes {params.probes}"
        " --metrics {input.metrics} --comparisons {input.comparisons} --output {output} --log {log}"


rule first_page:
    """The same with a figure, which the report opens with."""
    input:
        package("steps.first_page"),
        summary="<results>/summary.md",
        figure=f"<results>/figures/comparison_{LABEL_SETS[0]}.png",
        explorer="<results>/explorer.html",
    output:
        page=report(
            ensure("<results>/summary.html", non_empty=True),
            caption="../report/first_page.rst",
            category="Summary",
            labels={"page": "results in short"},
        ),
        opening=ensure("<results>/report_opening.html", non_empty=True),
    log:
        "<logs>/first_page.log",
    conda:
        "../../envs/environment.yaml"
    params:
        title=f"earthprobe: {ARCHIVE['name']}",
    shell:
        "earthprobe first-page --summary {input.summary} --figure {input.figure} --explorer {input.explorer}"
        " --title {params.title:q} --output {output.page} --opening {output.opening} --log {log}"


rule ablation:
    """What an option that varies costs or gains."""
    input:
        package("steps.ablation"),
        metrics=lambda wc: expand(
            "<results>/probes/{features}/{labels}/{probe}/metrics.json",
            features=ABLATIONS[wc.ablation].features,
            labels=wc.labels,
            probe=PROBES,
        ),
    output:
        csv=ensure("<results>/tables/ablation_{ablation}_{labels}.csv", non_empty=True),
        md=ensure("<results>/tables/ablation_{ablation}_{labels}.md", non_empty=True),
    log:
        "<logs>/ablation/{ablation}/{labels}.log",
    benchmark:
        "<benchmarks>/ablation/{ablation}/{labels}.tsv"
    wildcard_constraints:
        ablation=names(ABLATIONS),
    conda:
        "../../envs/environment.yaml"
    params:
        values=lambda wc: json.dumps(ABLATIONS[wc.ablation].features),
        features=lambda wc: [name for name in ABLATIONS[wc.ablation].features for _ in PROBES],
        probes=lambda wc: [name for _ in ABLATIONS[wc.ablation].features for name in PROBES],
    shell:
        "earthprobe ablation --metrics {input.metrics} --features {params.features} --probes {params.probes}"
        " --values {params.values:q} --label-set {wildcards.labels} --csv {output.csv} --md {output.md} --log {log}"


rule figure_ablation:
    """The same as a picture."""
    input:
        package("figures.ablation"),
        table="<results>/tables/ablation_{ablation}_{labels}.csv",
    output:
        png=report(
            "<results>/figures/ablation_{ablation}_{labels}.png",
            caption="../report/ablation.rst",
            category="Probes",
            labels={"figure": "ablation", "features": "{ablation}", "classes": "{labels}", "probe": "all"},
        ),
        pdf="<results>/figures/ablation_{ablation}_{labels}.pdf",
        csv="<results>/figures/ablation_{ablation}_{labels}.csv",
    log:
        "<logs>/figure_ablation/{ablation}/{labels}.log",
    wildcard_constraints:
        ablation=names(ABLATIONS),
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe figure-ablation --table {input.table} --csv {output.csv} --images {output.png} {output.pdf}"
        " --log {log}"


rule figure_cost:
    """What feature sets know against what they cost."""
    input:
        package("figures.cost"),
        costs=expand("<results>/features/{features}/cost.json", features=COSTED),
        metrics=expand("<results>/probes/{features}/{{labels}}/{probe}/metrics.json", features=COSTED, probe=PROBES),
    output:
        png=report(
            "<results>/figures/cost_{labels}.png",
            caption="../report/cost.rst",
            category="Probes",
            labels={"figure": "cost", "features": "all", "classes": "{labels}", "probe": "best"},
        ),
        pdf="<results>/figures/cost_{labels}.pdf",
        csv="<results>/figures/cost_{labels}.csv",
        md="<results>/tables/cost_{labels}.md",
    log:
        "<logs>/figure_cost/{labels}.log",
    conda:
        "../../envs/environment.yaml"
    params:
        features=[name for name in COSTED for _ in PROBES],
        probes=[name for _ in COSTED for name in PROBES],
    shell:
        "earthprobe figure-cost --costs {input.costs} --metrics {input.metrics} --features {params.features}"
        " --probes {params.probes} --csv {output.csv} --md {output.md} --images {output.png} {output.pdf} --log {log}"


rule figure_f2_per_class:
    """F2 of each class, probes side by side."""
    input:
        package("figures.f2_per_class"),
        per_class=expand("<results>/probes/{{features}}/{{labels}}/{probe}/per_class.csv", probe=PROBES),
    output:
        png=report(
            "<results>/figures/f2_per_class_{features}_{labels}.png",
            caption="../report/f2_per_class.rst",
            category="Probes",
            labels={"figure": "F2 per class", "features": "{features}", "classes": "{labels}", "probe": "all"},
        ),
        pdf="<results>/figures/f2_per_class_{features}_{labels}.pdf",
        csv="<results>/figures/f2_per_class_{features}_{labels}.csv",
    log:
        "<logs>/figure_f2_per_class/{features}/{labels}.log",
    conda:
        "../../envs/environment.yaml"
    params:
        probes=list(PROBES),
    shell:
        "earthprobe figure-f2-per-class --csv {output.csv} --probes {params.probes} --per-class {input.per_class}"
        " --images {output.png} {output.pdf} --log {log}"


rule figure_reliability:
    """Whether the scores of probes are the probabilities that they claim to be."""
    input:
        package("figures.reliability"),
        calibration=expand("<results>/probes/{{features}}/{{labels}}/{probe}/calibration.csv", probe=PROBES),
    output:
        png=report(
            "<results>/figures/reliability_{features}_{labels}.png",
            caption="../report/reliability.rst",
            category="Probes",
            labels={"figure": "reliability", "features": "{features}", "classes": "{labels}", "probe": "all"},
        ),
        pdf="<results>/figures/reliability_{features}_{labels}.pdf",
        csv="<results>/figures/reliability_{features}_{labels}.csv",
    log:
        "<logs>/figure_reliability/{features}/{labels}.log",
    conda:
        "../../envs/environment.yaml"
    params:
        probes=list(PROBES),
    shell:
        "earthprobe figure-reliability --csv {output.csv} --probes {params.probes} --calibration {input.calibration}"
        " --images {output.png} {output.pdf} --log {log}"


rule figure_confusion:
    """One 2x2 confusion matrix a class."""
    input:
        package("figures.confusion"),
        per_class="<results>/probes/{features}/{labels}/{probe}/per_class.csv",
        scores="<results>/probes/{features}/{labels}/{probe}/scores.parquet",
    output:
        png=report(
            "<results>/figures/confusion_{features}_{labels}_{probe}.png",
            caption="../report/confusion.rst",
            category="Probes",
            labels={"figure": "confusion", "features": "{features}", "classes": "{labels}", "probe": "{probe}"},
        ),
        pdf="<results>/figures/confusion_{features}_{labels}_{probe}.pdf",
        csv="<results>/figures/confusion_{features}_{labels}_{probe}.csv",
    log:
        "<logs>/figure_confusion/{features}/{labels}/{probe}.log",
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe figure-confusion --csv {output.csv} --probe {wildcards.probe} --per-class {input.per_class}"
        " --scores {input.scores} --images {output.png} {output.pdf} --log {log}"


rule figure_gallery:
    """The test patches of each class that the best probe scored best and worst."""
    input:
        package("figures.gallery"),
        metrics=expand("<results>/probes/{{features}}/{{labels}}/{probe}/metrics.json", probe=PROBES),
        scores=expand("<results>/probes/{{features}}/{{labels}}/{probe}/scores.parquet", probe=PROBES),
        shards=lambda wc: expand(
            "<results>/shards/{sensor}/{shard}.parquet", sensor=shown_by(wc.features), shard=SHARDS
        ),
    output:
        jpg="<results>/figures/gallery_{features}_{labels}.jpg",
        pdf="<results>/figures/gallery_{features}_{labels}.pdf",
        csv="<results>/figures/gallery_{features}_{labels}.csv",
    log:
        "<logs>/figure_gallery/{features}/{labels}.log",
    benchmark:
        "<benchmarks>/figure_gallery/{features}/{labels}.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        probes=list(PROBES),
        threshold=CONFIG["threshold"],
    shell:
        "earthprobe figure-gallery --csv {output.csv} --probes {params.probes} --metrics {input.metrics}"
        " --scores {input.scores} --threshold {params.threshold} --shards {input.shards}"
        " --images {output.jpg} {output.pdf} --log {log}"


rule config:
    """The configuration with every default, beside the results that it made."""
    input:
        package("steps.config"),
    output:
        report(
            ensure("<results>/config.yaml", non_empty=True),
            caption="../report/config.rst",
            category="Configuration",
            labels={"file": "resolved configuration"},
        ),
    log:
        "<logs>/config.log",
    conda:
        "../../envs/environment.yaml"
    params:
        config=lambda wc: json.dumps(CONFIG),
    shell:
        "earthprobe config --json {params.config:q} --output {output} --log {log}"


localrules:
    table,
    summary,
    first_page,
    ablation,
    figure_ablation,
    figure_cost,
    figure_f2_per_class,
    figure_reliability,
    figure_confusion,
    figure_gallery,
    config,


rule tables:
    """The tables of all label sets."""
    input:
        expand("<results>/tables/classification_{labels}.csv", labels=LABEL_SETS),
        expand("<results>/tables/comparison_{labels}.csv", labels=LABEL_SETS),
        expand("<results>/tables/retrieval_{labels}.csv", labels=LABEL_SETS),
        expand("<results>/tables/by_{place}_{labels}.csv", place=("country", "tile"), labels=LABEL_SETS),
        expand("<results>/tables/ablation_{ablation}_{labels}.csv", ablation=ABLATIONS, labels=LABEL_SETS),
        expand("<results>/tables/doubtful_labels_{labels}.csv", labels=LABEL_SETS),
        "<results>/summary.md",
        "<results>/rejected.csv",
        "<results>/config.yaml",
        "<results>/manifest.json",


rule figures:
    """All figures."""
    input:
        "<results>/summary.html",
        expand("<results>/figures/class_distribution_{labels}.png", labels=LABEL_SETS),
        expand("<results>/figures/label_correlation_{labels}.png", labels=LABEL_SETS),
        expand("<results>/figures/comparison_{labels}.png", labels=LABEL_SETS),
        expand("<results>/figures/label_budgets_{labels}.png", labels=LABEL_SETS if BUDGETS else []),
        expand("<results>/figures/buffer_{labels}.png", labels=LABEL_SETS if CONFIG["buffers"] else []),
        expand("<results>/figures/ablation_{ablation}_{labels}.png", ablation=ABLATIONS, labels=LABEL_SETS),
        expand("<results>/figures/{kind}_{labels}.png", kind=("distance", "map"), labels=LABEL_SETS),
        expand("<results>/figures/cost_{labels}.png", labels=LABEL_SETS if COSTED else []),
        expand("<results>/figures/umap_{labels}.png", labels=LABEL_SETS),
        expand("<results>/figures/umap_{features}_{labels}.png", features=SHOWN, labels=LABEL_SETS),
        expand("<results>/figures/f2_per_class_{features}_{labels}.png", features=SHOWN, labels=LABEL_SETS),
        expand("<results>/figures/reliability_{features}_{labels}.png", features=SHOWN, labels=LABEL_SETS),
        expand(
            "<results>/figures/confusion_{features}_{labels}_{probe}.png",
            features=SHOWN,
            labels=LABEL_SETS,
            probe=PICTURED,
        ),
        expand(
            "<results>/figures/gallery_{features}_{labels}.jpg", features=SHOWN if SENSORS else [], labels=LABEL_SETS
        ),
        "<results>/config.yaml",
