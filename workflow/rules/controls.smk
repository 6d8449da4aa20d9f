"""What scores are held against: rows without a model, and each other."""


rule control:
    """The scores of predictors that see no pixel."""
    input:
        package("steps.control"),
        index="<results>/index.parquet",
    output:
        scores=expand("<results>/controls/{{labels}}/{control}/scores.parquet", control=PREDICTORS),
    log:
        "<logs>/control/{labels}.log",
    benchmark:
        "<benchmarks>/control/{labels}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(2500),
    params:
        controls=PREDICTORS,
        buffer=CONFIG["buffer"],
    shell:
        "earthprobe control --controls {params.controls} --index {input.index} --label-set {wildcards.labels}"
        " --buffer {params.buffer} --scores {output.scores} --log {log}"


use rule train as train_permuted with:
    input:
        package("steps.train", probe_kind(PERMUTED_PROBE).path),
        features=f"<results>/features/{PERMUTED_FEATURES}.parquet",
        index="<results>/index.parquet",
    output:
        scores=ensure("<results>/controls/{labels}/permuted/scores.parquet", non_empty=True),
        model=ensure("<results>/controls/{labels}/permuted/model.safetensors", non_empty=True),
    log:
        "<logs>/train_permuted/{labels}.log",
    benchmark:
        "<benchmarks>/train_permuted/{labels}.tsv"
    threads: probe_kind(PERMUTED_PROBE).facts["threads"]
    resources:
        mem_mb=memory(**probe_kind(PERMUTED_PROBE).facts["memory"]),
    params:
        probe=probe_json(PERMUTED_PROBE),
        more=f"--buffer {CONFIG['buffer']} --permute 0",
        parts="",


use rule evaluate as evaluate_controls with:
    input:
        package("steps.evaluate"),
        scores=expand("<results>/controls/{{labels}}/{control}/scores.parquet", control=CONTROLS),
        index="<results>/index.parquet",
    output:
        metrics=expand("<results>/controls/{{labels}}/{control}/metrics.json", control=CONTROLS),
        per_class=expand("<results>/controls/{{labels}}/{control}/per_class.csv", control=CONTROLS),
        drawn=expand("<results>/controls/{{labels}}/{control}/draws.parquet", control=CONTROLS),
        calibration=expand("<results>/controls/{{labels}}/{control}/calibration.csv", control=CONTROLS),
    log:
        "<logs>/evaluate_controls/{labels}.log",
    benchmark:
        "<benchmarks>/evaluate_controls/{labels}.tsv"


rule compare:
    """The differences between the rows of a table, on the same draws."""
    input:
        package("steps.compare"),
        metrics=rows_of("metrics.json"),
        scores=[path for row in ROWS for path in seeds_of(*row)],
        drawn=rows_of("draws.parquet"),
        index="<results>/index.parquet",
    output:
        csv=report(
            ensure("<results>/tables/comparison_{labels}.csv", non_empty=True),
            caption="../report/comparison.rst",
            category="Tables",
            labels={"table": "comparison", "classes": "{labels}"},
        ),
        md=ensure("<results>/tables/comparison_{labels}.md", non_empty=True),
    log:
        "<logs>/compare/{labels}.log",
    benchmark:
        "<benchmarks>/compare/{labels}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(2500),
    params:
        rows=[f"{features}/{probe}" for features, probe in ROWS],
        files=[len(seeds_of(*row)) for row in ROWS],
        pairs=as_json(CONFIG["compare"]),
    shell:
        "earthprobe compare --rows {params.rows} --metrics {input.metrics} --scores {input.scores}"
        " --files {params.files} --drawn {input.drawn} --index {input.index} --pairs {params.pairs:q}"
        " --csv {output.csv} --md {output.md} --log {log}"


rule figure_comparison:
    """The same as a picture."""
    input:
        package("figures.comparison"),
        table="<results>/tables/comparison_{labels}.csv",
    output:
        png=report(
            "<results>/figures/comparison_{labels}.png",
            caption="../report/comparison.rst",
            category="Probes",
            labels={"figure": "comparison", "features": "all", "classes": "{labels}", "probe": "all"},
        ),
        pdf="<results>/figures/comparison_{labels}.pdf",
        csv="<results>/figures/comparison_{labels}.csv",
    log:
        "<logs>/figure_comparison/{labels}.log",
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe figure-comparison --table {input.table} --csv {output.csv} --images {output.png} {output.pdf}"
        " --log {log}"


# Trained once more for each width of the strip that is cut out around test.
use rule train as train_beyond with:
    output:
        scores=ensure("<results>/buffers/{cells}/{features}/{labels}/{probe}/scores.parquet", non_empty=True),
        model=ensure("<results>/buffers/{cells}/{features}/{labels}/{probe}/model.safetensors", non_empty=True),
    log:
        "<logs>/train_beyond/{cells}/{features}/{labels}/{probe}.log",
    benchmark:
        "<benchmarks>/train_beyond/{cells}/{features}/{labels}/{probe}.tsv"
    params:
        probe=lambda wc: probe_json(wc.probe),
        more=lambda wc: f"--buffer {wc.cells}",
        parts="",


use rule control as control_beyond with:
    output:
        scores=expand("<results>/buffers/{{cells}}/control/{{labels}}/{control}/scores.parquet", control=PREDICTORS),
    log:
        "<logs>/control_beyond/{cells}/{labels}.log",
    benchmark:
        "<benchmarks>/control_beyond/{cells}/{labels}.tsv"
    params:
        controls=PREDICTORS,
        buffer=lambda wc: wc.cells,


use rule evaluate as evaluate_beyond with:
    input:
        package("steps.evaluate"),
        scores=beyond("scores.parquet"),
        index="<results>/index.parquet",
    output:
        metrics=beyond("metrics.json"),
        per_class=beyond("per_class.csv"),
        drawn=beyond("draws.parquet"),
        calibration=beyond("calibration.csv"),
    log:
        "<logs>/evaluate_beyond/{cells}/{labels}.log",
    benchmark:
        "<benchmarks>/evaluate_beyond/{cells}/{labels}.tsv"


rule figure_buffer:
    """Scores against the width of the strip around test that no train patch lies in."""
    input:
        package("figures.buffer"),
        metrics=[path for cells in CONFIG["buffers"] for path in beyond("metrics.json", cells)],
    output:
        png=report(
            "<results>/figures/buffer_{labels}.png",
            caption="../report/buffer.rst",
            category="Probes",
            labels={"figure": "buffer", "features": "all", "classes": "{labels}", "probe": PERMUTED_PROBE},
        ),
        pdf="<results>/figures/buffer_{labels}.pdf",
        csv="<results>/figures/buffer_{labels}.csv",
    log:
        "<logs>/figure_buffer/{labels}.log",
    conda:
        "../../envs/environment.yaml"
    params:
        rows=[f"{features}/{probe}" for _ in CONFIG["buffers"] for features, probe in BEYOND],
        cells=[cells for cells in CONFIG["buffers"] for _ in BEYOND],
    shell:
        "earthprobe figure-buffer --metrics {input.metrics} --rows {params.rows} --cells {params.cells}"
        " --csv {output.csv} --images {output.png} {output.pdf} --log {log}"


localrules:
    evaluate_controls,
    compare,
    figure_comparison,
    figure_buffer,
