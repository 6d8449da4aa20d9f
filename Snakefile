"""earthprobe: measures what frozen Earth-observation foundation models know.

An archive of patches becomes shards of pixels, embeddings, trained probes, tables and figures:
`snakemake --cores 2` runs the demo of config/config.yaml, `--configfile FILE` replaces it.
"""

from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/workflow.rst"


# A file given on the command line replaces the demo's, instead of being merged into it.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/archive.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/explore.smk"
include: "workflow/rules/probes.smk"
include: "workflow/rules/controls.smk"
include: "workflow/rules/budgets.smk"
include: "workflow/rules/retrieval.smk"
include: "workflow/rules/places.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/explorer.smk"
include: "workflow/rules/provenance.smk"


rule all:
    default_target: True
    input:
        rules.check.output,
        rules.tables.input,
        rules.figures.input,
        rules.explorer.output,
