"""From embeddings to trained probes and their metrics."""


rule train:
    """A probe, fitted on a feature set, and its scores on val and test."""
    input:
        lambda wc: package("steps.train", probe_kind(wc.probe).path),
        features="<results>/features/{features}.parquet",
        index="<results>/index.parquet",
        parts=parts_of,
    output:
        scores=ensure("<results>/probes/{features}/{labels}/{probe}/scores.parquet", non_empty=True),
        model=ensure("<results>/probes/{features}/{labels}/{probe}/model.safetensors", non_empty=True),
    log:
        "<logs>/train/{features}/{labels}/{probe}.log",
    benchmark:
        "<benchmarks>/train/{features}/{labels}/{probe}.tsv"
    wildcard_constraints:
        probe=names(PROBES),
    conda:
        "../../envs/environment.yaml"
    threads: lambda wc: probe_kind(wc.probe).facts["threads"]
    resources:
        mem_mb=lambda wc, input, attempt: memory(**probe_kind(wc.probe).facts["memory"])(wc, input, attempt),
    params:
        probe=lambda wc: probe_json(wc.probe),
        more=f"--buffer {CONFIG['buffer']}" if CONFIG["buffer"] else "",
        parts=lambda wc, input: f"--parts {input.parts}" if input.parts else "",
    shell:
        "earthprobe train --probe {params.probe:q} --features {input.features} --index {input.index}"
        " --label-set {wildcards.labels} --threads {threads} {params.more} {params.parts} --scores {output.scores}"
        " --model {output.model} --log {log}"


use rule train as train_seed with:
    output:
        scores=ensure("<results>/probes/{features}/{labels}/{probe}/seed{seed}/scores.parquet", non_empty=True),
        model=ensure("<results>/probes/{features}/{labels}/{probe}/seed{seed}/model.safetensors", non_empty=True),
    log:
        "<logs>/train/{features}/{labels}/{probe}/{seed}.log",
    benchmark:
        "<benchmarks>/train/{features}/{labels}/{probe}/{seed}.tsv"
    params:
        probe=lambda wc: probe_json(wc.probe, int(wc.seed)),
        more=f"--buffer {CONFIG['buffer']}" if CONFIG["buffer"] else "",
        parts=lambda wc, input: f"--parts {input.parts}" if input.parts else "",


rule train_part:
    """Some trees of a forest that is grown in several jobs."""
    input:
        lambda wc: package("steps.train_part", probe_kind(wc.probe).path),
        features="<results>/features/{features}.parquet",
        index="<results>/index.parquet",
    output:
        temp("<results>/probes/{features}/{labels}/{probe}/trees/{seed}/{part}.safetensors"),
    log:
        "<logs>/train_part/{features}/{labels}/{probe}/{seed}/{part}.log",
    benchmark:
        "<benchmarks>/train_part/{features}/{labels}/{probe}/{seed}/{part}.tsv"
    wildcard_constraints:
        probe=names([name for name in PROBES if PROBES[name].get("jobs", 1) > 1]),
    conda:
        "../../envs/environment.yaml"
    threads: lambda wc: probe_kind(wc.probe).facts["threads"]
    resources:
        mem_mb=lambda wc, input, attempt: memory(**probe_kind(wc.probe).facts["memory"])(wc, input, attempt),
    params:
        probe=lambda wc: probe_json(wc.probe, int(wc.seed)),
        parts=lambda wc: PROBES[wc.probe]["jobs"],
        buffer=CONFIG["buffer"],
    shell:
        "earthprobe train-part --probe {params.probe:q} --features {input.features} --index {input.index}"
        " --label-set {wildcards.labels} --part {wildcards.part} --parts {params.parts} --threads {threads}"
        " --buffer {params.buffer} --output {output} --log {log}"


rule ensemble:
    """The mean scores of all seeds."""
    input:
        package("steps.ensemble"),
        scores=scores_of,
    output:
        ensure(f"<results>/probes/{{features}}/{{labels}}/{{probe}}{ENSEMBLE}/scores.parquet", non_empty=True),
    log:
        "<logs>/ensemble/{features}/{labels}/{probe}.log",
    wildcard_constraints:
        probe=names(PROBES),
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe ensemble --scores {input.scores} --output {output} --log {log}"


rule evaluate:
    """The metrics of a probe on val and test, and how sure they are."""
    input:
        package("steps.evaluate"),
        scores=scores_of,
        index="<results>/index.parquet",
    output:
        metrics=ensure("<results>/probes/{features}/{labels}/{probe}/metrics.json", non_empty=True),
        per_class=ensure("<results>/probes/{features}/{labels}/{probe}/per_class.csv", non_empty=True),
        drawn=ensure("<results>/probes/{features}/{labels}/{probe}/draws.parquet", non_empty=True),
        calibration=ensure("<results>/probes/{features}/{labels}/{probe}/calibration.csv", non_empty=True),
    log:
        "<logs>/evaluate/{features}/{labels}/{probe}.log",
    benchmark:
        "<benchmarks>/evaluate/{features}/{labels}/{probe}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(1400),
    params:
        **CONFIG["intervals"],
        threshold=CONFIG["threshold"],
    shell:
        "earthprobe evaluate --scores {input.scores} --index {input.index} --threshold {params.threshold}"
        " --cluster {params.cluster} --draws {params.draws} --seed {params.seed} --metrics {output.metrics}"
        " --per-class {output.per_class} --drawn {output.drawn} --calibration {output.calibration} --log {log}"


# Seconds of work: as a job of its own each would wait longer for its turn. Not grouped with the training either, since
# a group that fails loses what all its members made.
localrules:
    ensemble,
    evaluate,
