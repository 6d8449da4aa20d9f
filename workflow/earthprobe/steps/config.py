"""Write a resolved configuration as YAML."""

import json
from pathlib import Path
from typing import Annotated

import yaml
from cyclopts import Parameter

from earthprobe.errors import UserError
from earthprobe.storage.files import write_text
from earthprobe.storage.manifests import read_manifest


def run(
    *, resolved: Annotated[str | None, Parameter(name="--json")] = None, manifest: Path | None = None, output: Path
) -> None:
    """Writes the configuration of a run, with every default: beside its results, or to run it again.

    Args:
        resolved: the configuration as JSON.
        manifest: in its place the ``manifest.json`` of a run, whose configuration it is.
        output: the YAML file, as ``snakemake --configfile`` takes it.

    Raises:
        UserError: neither is given, or the manifest cannot be read.
    """
    if resolved is not None:
        value = json.loads(resolved)
    elif manifest is not None:
        value = read_manifest(manifest)["configuration"]
    else:
        raise UserError("config: there is nothing to write: give --json or --manifest")
    write_text(output, yaml.safe_dump(value, sort_keys=False, default_flow_style=None))
