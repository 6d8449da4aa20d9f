"""How other benchmarks prepare the pixels of Sentinel-1 and Sentinel-2 for a frozen model.

Importing this costs nothing: a configuration is checked against it before any job.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Figures = Mapping[str, tuple[float, float]]
"""Mean and standard deviation of each band, in its unit."""


class Protocol(NamedTuple):
    """A benchmark's way from the pixels of an archive to those that a model sees; it always z-scores.

    Attributes:
        source: where it was read.
        kinds: the kinds of model that it can be asked of.
        figures: of the bands; empty where they are those of the train split.
        align_corners: whether the outermost pixels of a patch stay the outermost ones, as torch calls it.
        image_size: pixels along a side.
        sizes: the same for models whose name begins so.
        wavelengths: that DOFA is told, in micrometres; empty where they are the sensor's own.
        refused: what a name of weights must not hold, and why.
    """

    source: str
    kinds: Sequence[str]
    figures: Figures
    align_corners: bool
    image_size: int
    sizes: Mapping[str, int]
    wavelengths: Mapping[str, float]
    refused: Mapping[str, str]

    def size_of(self, model: str) -> int:
        """Pixels along a side that a model sees."""
        return next((size for name, size in self.sizes.items() if model.startswith(name)), self.image_size)


PROTOCOLS = {
    # Its configurations cobench_bigearthnet_s1 and _s2, and what wraps its data and DOFA.
    "copernicus-bench": Protocol(
        source="https://github.com/zhu-xlab/Copernicus-FM, Copernicus-Bench/src",
        kinds=("dofa", "torchgeo"),
        figures={
            "VV": (-12.548, 5.257), "VH": (-20.192, 5.912),
            "B01": (1353.7, 897.3), "B02": (1117.2, 736.0), "B03": (1041.8, 684.8), "B04": (946.5, 620.0),
            "B05": (1199.1, 791.9), "B06": (2003.0, 1341.3), "B07": (2374.0, 1595.4), "B08": (2301.2, 1545.5),
            "B8A": (2599.7, 1750.1), "B09": (732.1, 475.1), "B11": (1820.6, 1216.5), "B12": (1118.2, 736.7),
        },
        align_corners=True,
        image_size=224,
        sizes={"croma": 120},
        wavelengths={
            "VV": 3.75, "VH": 3.75, "B01": 0.44, "B02": 0.49, "B03": 0.56, "B04": 0.665, "B05": 0.705, "B06": 0.74,
            "B07": 0.783, "B08": 0.842, "B8A": 0.86, "B09": 0.94, "B11": 1.61, "B12": 2.19,
        },
        refused={"SOFTCON": "it clips SoftCon's pixels by the quantiles of each patch, which is not done here"},
    ),
    # Its default normalisation (bandspec_zscore) and configuration; image statistics are those of raw pixels.
    "torchgeo-bench": Protocol(
        source="https://github.com/torchgeo/torchgeo-bench, src/torchgeo_bench/models",
        kinds=("dofa", "torchgeo", "timm", "statistics", "rcf"),
        figures={},
        align_corners=False,
        image_size=224,
        sizes={},
        wavelengths={},
        refused={},
    ),
}  # fmt: skip
