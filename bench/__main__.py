"""`make bench`: measures every row in a process of its own, prints one table and writes it as a CSV file."""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch
from earthprobe.storage.files import write_csv

from bench.measure import ROWS
from bench.tools import Load

COLUMNS = ("name", "ours", "other", "unit", "ratio", "ratios", "limit", "share_of_limit", "others_at_work")

ONE = "from bench.measure import main; print(*main(), sep='\\n')"
"""Measures a row. No module is the main one, which each process that is started would import with all its imports."""


def machine() -> str:
    """The machine that was measured, in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    has = [name for name in ("amx_bf16", "avx512_bf16", "avx512_f", "avx2") if torch.cpu.get_capabilities().get(name)]
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
    print(machine(), flush=True)
    print(format_row(COLUMNS), flush=True)
    rows = []
    for name in options.names or ROWS:
        load = Load()
        done = subprocess.run([sys.executable, "-c", ONE, name], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{name} failed")
        columns = {**json.loads(done.stdout.splitlines()[-1]), "others_at_work": load.said()}
        row = tuple(shown(columns[column]) for column in COLUMNS)
        rows.append(row)
        print(format_row(row), flush=True)
        write_csv(options.output, COLUMNS, rows)  # so that a row that fails takes none with it


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
