"""Writes the conda environment that holds the same pins as the lock: export_conda.py LOCK ENVIRONMENT."""

import sys
from pathlib import Path

HEADER = """\
# Made by `make lock` from requirements.lock: the same pins, for those who work with conda.
channels: [conda-forge, nodefaults]
dependencies:
  - python =3.11
  - pip
  - pip:
"""


def main(lock: Path, environment: Path) -> None:
    """Lists each pin of ``lock`` as a pip requirement of ``environment``."""
    pins = [line for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    environment.write_text(HEADER + "".join(f'      - "{pin}"\n' for pin in pins))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
