"""`make bench`: measures every row in a process of its own, prints a table and writes it into a CSV file.

Rows of the file that are not measured stay as they are.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch
from earthprobe.storage.files import read_csv, write_csv

from bench.measure import ROWS
from bench.tools import Load

SHOWN = ("name", "ours", "other", "unit", "ratio", "ratios", "limit", "share_of_limit", "others_at_work")
COLUMNS = (*SHOWN, "machine", "day")

UNITS = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512_f", "avx2")
"""What a processor may have that decides how fast models run."""

ONE = "from bench.measure import main; print(*main(), sep='\\n')"
"""Measures a row. No module is the main one, which each process that is started would import with all its imports."""


def machine() -> str:
    """The machine that was measured, in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        said = dict(re.findall(r"^(.+?)\s*: (.*)$", info.read_text().split("\n\n")[0], re.MULTILINE))
        # Some names hide which processor it is.
        cpu = f"{said.get('model name', cpu)} (family {said.get('cpu family')}, model {said.get('model')})"
    has = [name for name in UNITS if torch.cpu.get_capabilities().get(name)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} cores of {cpu} ({', '.join(has)}), {memory:.0f} GiB, {gpu}, torch {torch.__version__}"


def main() -> None:
    """Runs the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; all if none is named")
    parser.add_argument("--output", type=Path, default=Path("results/bench/bench.csv"))
    options = parser.parse_args()
    if unknown := set(options.names) - set(ROWS):
        parser.error(f"no row {unknown.pop()}: one of {', '.join(ROWS)}")
    here, day = machine(), f"{date.today():%Y-%m-%d}"
    print(here, flush=True)
    print(format_row(SHOWN), flush=True)
    kept = read_csv(options.output) if options.output.exists() else []
    rows = {row["name"]: tuple(row.get(column, "") for column in COLUMNS) for row in kept}
    for name in options.names or ROWS:
        load = Load()
        done = subprocess.run([sys.executable, "-c", ONE, name], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{name} failed")
        columns = {**json.loads(done.stdout.splitlines()[-1]), "others_at_work": load.said()}
        row = tuple(shown(columns[column]) for column in SHOWN)
        print(format_row(row), flush=True)
        rows[name] = (*row, here, day)
        write_csv(options.output, COLUMNS, rows.values())  # so that a row that fails takes none with it


def shown(value: object) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def format_row(row: tuple[str, ...]) -> str:
    """Columns of a fixed width."""
    widths = (24, 12, 12, 10, 8, 14, 12, 14, 14)
    return " ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


if __name__ == "__main__":
    main()
