"""Where on the map scores come from: countries, tiles, and how far train is."""


rule distance:
    """How far the nearest train patch of each test patch is."""
    input:
        package("steps.distance"),
        index="<results>/index.parquet",
    output:
        ensure("<results>/distance_to_train.parquet", non_empty=True),
    log:
        "<logs>/distance.log",
    benchmark:
        "<benchmarks>/distance.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(1000),
    params:
        buffer=CONFIG["buffer"],
    shell:
        "earthprobe distance --index {input.index} --buffer {params.buffer} --output {output} --log {log}"


rule by_place:
    """The rows of a table country by country, tile by tile, and by the distance to train."""
    input:
        package("steps.by_place"),
        metrics=rows_of("metrics.json"),
        scores=[path for row in ROWS for path in seeds_of(*row)],
        distances="<results>/distance_to_train.parquet",
        index="<results>/index.parquet",
    output:
        country=report(
            ensure("<results>/tables/by_country_{labels}.csv", non_empty=True),
            caption="../report/by_country.rst",
            category="Tables",
            labels={"table": "by country", "classes": "{labels}"},
        ),
        country_md=ensure("<results>/tables/by_country_{labels}.md", non_empty=True),
        tile=ensure("<results>/tables/by_tile_{labels}.csv", non_empty=True),
        distance=ensure("<results>/figures/distance_{labels}.csv", non_empty=True),
    log:
        "<logs>/by_place/{labels}.log",
    benchmark:
        "<benchmarks>/by_place/{labels}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory(2000),
    params:
        **CONFIG["intervals"],
        rows=[f"{features}/{probe}" for features, probe in ROWS],
        files=[len(seeds_of(*row)) for row in ROWS],
    shell:
        "earthprobe by-place --rows {params.rows} --metrics {input.metrics} --scores {input.scores}"
        " --files {params.files} --distances {input.distances} --index {input.index} --cluster {params.cluster}"
        " --draws {params.draws} --seed {params.seed} --by-country {output.country}"
        " --by-country-md {output.country_md} --by-tile {output.tile} --by-distance {output.distance} --log {log}"


rule figure_distance:
    """Scores against the distance to train."""
    input:
        package("figures.distance"),
        csv="<results>/figures/distance_{labels}.csv",
    output:
        png=report(
            "<results>/figures/distance_{labels}.png",
            caption="../report/distance.rst",
            category="Probes",
            labels={"figure": "distance to train", "features": "all", "classes": "{labels}", "probe": "best"},
        ),
        pdf="<results>/figures/distance_{labels}.pdf",
    log:
        "<logs>/figure_distance/{labels}.log",
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe figure-distance --csv {input.csv} --images {output} --log {log}"


rule figure_map:
    """The scores of tiles on a map."""
    input:
        package("figures.map"),
        tiles="<results>/tables/by_tile_{labels}.csv",
        index="<results>/index.parquet",
    output:
        png=report(
            "<results>/figures/map_{labels}.png",
            caption="../report/map.rst",
            category="Probes",
            labels={"figure": "map", "features": PERMUTED_FEATURES, "classes": "{labels}", "probe": "best"},
        ),
        pdf="<results>/figures/map_{labels}.pdf",
        csv="<results>/figures/map_{labels}.csv",
    log:
        "<logs>/figure_map/{labels}.log",
    conda:
        "../../envs/environment.yaml"
    shell:
        "earthprobe figure-map --tiles {input.tiles} --index {input.index} --csv {output.csv}"
        " --images {output.png} {output.pdf} --log {log}"


localrules:
    distance,
    figure_distance,
    figure_map,
