"""earthprobe measures what frozen Earth-observation foundation models know.

One module is one step of the workflow; data flows one way:
archive -> index -> shards -> features -> probes -> tables.
"""

from importlib.metadata import version

__version__ = version("earthprobe")
