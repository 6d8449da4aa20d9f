#!/usr/bin/env bash
# Snakemake runs this inside the new conda environment, from the repository's root.
set -euo pipefail
python -m pip install --no-deps --editable .
