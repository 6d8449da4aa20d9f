"""What probes know with few labels."""


use rule train as train_budget with:
    output:
        scores=ensure("<results>/budgets/{budget}/{features}/{labels}/{probe}/scores.parquet", non_empty=True),
        model=ensure("<results>/budgets/{budget}/{features}/{labels}/{probe}/model.safetensors", non_empty=True),
    log:
        "<logs>/train_budget/{budget}/{features}/{labels}/{probe}.log",
    benchmark:
        "<benchmarks>/train_budget/{budget}/{features}/{labels}/{probe}.tsv"
    params:
        probe=lambda wc: probe_json(wc.probe),
        more=lambda wc: f"--budget {wc.budget} --draws {CONFIG['label_draws']} --buffer {CONFIG['buffer']}",
        parts="",


# No local rule: of several draws it takes minutes.
use rule evaluate as evaluate_budget with:
    input:
        package("steps.evaluate"),
        scores="<results>/budgets/{budget}/{features}/{labels}/{probe}/scores.parquet",
        index="<results>/index.parquet",
    output:
        metrics=ensure("<results>/budgets/{budget}/{features}/{labels}/{probe}/metrics.json", non_empty=True),
        per_class=ensure("<results>/budgets/{budget}/{features}/{labels}/{probe}/per_class.csv", non_empty=True),
        drawn=ensure("<results>/budgets/{budget}/{features}/{labels}/{probe}/draws.parquet", non_empty=True),
        calibration=ensure("<results>/budgets/{budget}/{features}/{labels}/{probe}/calibration.csv", non_empty=True),
    log:
        "<logs>/evaluate_budget/{budget}/{features}/{labels}/{probe}.log",
    benchmark:
        "<benchmarks>/evaluate_budget/{budget}/{features}/{labels}/{probe}.tsv"


rule figure_label_budgets:
    """Scores against the number of train patches with labels."""
    input:
        package("figures.label_budgets"),
        metrics=budgeted("metrics.json"),
    output:
        png=report(
            "<results>/figures/label_budgets_{labels}.png",
            caption="../report/label_budgets.rst",
            category="Probes",
            labels={"figure": "label budgets", "features": "all", "classes": "{labels}", "probe": "all"},
        ),
        pdf="<results>/figures/label_budgets_{labels}.pdf",
        csv="<results>/figures/label_budgets_{labels}.csv",
        md="<results>/tables/label_budgets_{labels}.md",
    log:
        "<logs>/figure_label_budgets/{labels}.log",
    conda:
        "../../envs/environment.yaml"
    params:
        features=[features for features, _, _ in CURVES],
        probes=[probe for _, probe, _ in CURVES],
        budgets=[budget for _, _, budget in CURVES],
    shell:
        "earthprobe figure-label-budgets --metrics {input.metrics} --features {params.features}"
        " --probes {params.probes} --budgets {params.budgets} --csv {output.csv} --md {output.md}"
        " --images {output.png} {output.pdf} --log {log}"


localrules:
    figure_label_budgets,
