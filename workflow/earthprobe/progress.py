"""Progress of a long step, for its log: how much is done, how fast, and how long it will take."""

import logging
import resource
import sys
import time
from pathlib import Path

EVERY = 10.0
"""Seconds between two lines, so that a long step does not fill its log."""


class Progress:
    """Counts what is done and now and then logs it."""

    def __init__(self, log: logging.Logger, total: int, unit: str = "patches") -> None:
        """Starts the clock.

        Args:
            log: where the lines go.
            total: how many there are to do.
            unit: what is counted.
        """
        self._log, self._total, self._unit = log, total, unit
        self._done = 0
        self._start = self._said = time.monotonic()

    def add(self, count: int) -> None:
        """Notes that ``count`` more are done."""
        self._done += count
        now = time.monotonic()
        if now - self._said >= EVERY or self._done >= self._total:
            self._said = now
            rate = self._done / max(now - self._start, 1e-9)
            left = (self._total - self._done) / max(rate, 1e-9)
            self._log.info(
                "%s of %s %s, %s, %s left",
                f"{self._done:,}",
                f"{self._total:,}",
                self._unit,
                f"{rate:,.1f} a second" if rate >= 1 else f"{rate * 60:.1f} a minute",
                duration(left),
            )


def duration(seconds: float) -> str:
    """A time to read: 40 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def peak_memory() -> float:
    """The most memory that this process has held, in MiB.

    Linux gives ``ru_maxrss`` on from a parent to its child, so that a light step would show Snakemake's memory.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return float(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
