"""Write a resolved configuration as YAML."""

import json
from pathlib import Path
from typing import Annotated

import yaml
from cyclopts import Parameter

from earthprobe.storage.files import write_text


def run(*, resolved: Annotated[str, Parameter(name="--json")], output: Path) -> None:
    """Writes the configuration of a run, with every default, beside its results.

    Args:
        resolved: the configuration as JSON.
        output: the YAML file.
    """
    write_text(output, yaml.safe_dump(json.loads(resolved), sort_keys=False, default_flow_style=None))
