"""A row group of a shard: the pixels of a few hundred patches, read from their files by several threads."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from earthprobe.sensors import Band
from earthprobe.storage.band_files import BandFile
from earthprobe.storage.geotiff import Frame, disagreement, frame_of
from earthprobe.storage.pixel_sums import PixelSums
from earthprobe.storage.rasters import Stack, band_of, decode_all, whole
from earthprobe.storage.source import Source
from earthprobe.storage.tiff import SAMPLE_FORMATS, decode_band, plain_start

PATCHES_A_JOB = 16
TIFF = (".tif", ".tiff", ".TIF", ".TIFF")
UTM = (326, 327)
"""How the numbers of its zones begin."""


class Patch(NamedTuple):
    """A patch of a shard.

    Attributes:
        patch_id: its id.
        split: its split.
        place: longitude and latitude of its centre in degrees, where they are known.
        paths: where the file of each band lies, below the archive's root.
    """

    patch_id: str
    split: str
    place: tuple[float, float] | None
    paths: Sequence[str]


def schema_of(bands: Mapping[str, Band]) -> pa.Schema:
    """The columns of a shard: each band as it is published, row by row.

    That no pixel can be null spares Parquet a level for each: a fifth of the time of reading.
    """

    def column(name: str) -> pa.Field:
        band = bands[name]
        pixel = pa.field("element", pa.type_for_alias(band.dtype), nullable=False)
        return pa.field(name, pa.list_(pixel, band.size * band.size), nullable=False)

    return pa.schema([("patch_id", pa.string()), *map(column, bands)])


class RowGroup:
    """A row group's pixels, read by several threads into memory that the next but one row group uses again."""

    def __init__(
        self, source: Source, lacks: str, files: Mapping[str, BandFile], fit: str | None, off: float | None, size: int
    ) -> None:
        """Makes room.

        Args:
            source: of the files.
            lacks: why a patch is left out that has none; empty where each must have them.
            files: where each band is.
            fit: what is done with patches of other sizes; None of published archives, whose files have one band each.
            off: metres by which a file's tags may say another centre than is known of the patch; None allows all within
                the file.
            size: patches.
        """
        self._source = source
        self._off = off
        self._fit = fit
        self._lacks = lacks
        self._files = list(files.values())
        self._schema = schema_of({name: file.band for name, file in files.items()})
        self._planes: dict[str, npt.NDArray[Any]] = {
            name: np.empty((size, file.band.size**2), dtype=file.band.dtype) for name, file in files.items()
        }
        self._group: Sequence[Patch] = ()
        self._jobs: list[Future[list[list[PixelSums] | str]]] = []
        self._results: list[list[PixelSums] | str] = []
        self._frames: list[Frame | None] = [None] * size

    def begin(self, pool: ThreadPoolExecutor, group: Sequence[Patch]) -> None:
        """Starts to read patches; each job reads several, since a job costs as much as a patch."""
        self._group = group
        self._jobs = [pool.submit(self._read, start) for start in range(0, len(group), PATCHES_A_JOB)]

    def results(self) -> list[list[PixelSums] | str]:
        """Waits for the patches: the sums of each band, or the reason why the patch cannot be read."""
        self._results = [result for job in self._jobs for result in job.result()]
        # Here, in one thread, since what transforms coordinates is no other's.
        for row, (member, frame) in enumerate(zip(self._group, self._frames, strict=False)):
            if frame is None or member.place is None or isinstance(self._results[row], str):
                continue
            off = self._off if frame.epsg // 100 in UTM else None
            if wrong := disagreement(frame, *member.place, off):
                self._results[row] = f"{member.paths[0].rpartition('/')[2]} {wrong}"
        return self._results

    def table(self) -> pa.Table:
        """The patches that could be read."""
        rows = [row for row, result in enumerate(self._results) if not isinstance(result, str)]
        columns = []
        for name, planes in self._planes.items():
            kept = planes[: len(rows)] if len(rows) == len(self._group) else planes[rows]
            columns.append(
                pa.FixedSizeListArray.from_arrays(pa.array(kept.ravel()), type=self._schema.field(name).type)
            )
        ids = pa.array([self._group[row].patch_id for row in rows], pa.string())
        return pa.table([ids, *columns], schema=self._schema)

    def _read(self, start: int) -> list[list[PixelSums] | str]:
        results: list[list[PixelSums] | str] = []
        for row, member in enumerate(self._group[start : start + PATCHES_A_JOB], start):
            try:
                self._read_patch(member, row)
            except ValueError as error:
                nothing = self._lacks and not any(map(self._source.has, member.paths))
                results.append(self._lacks if nothing else str(error))
            else:
                results.append([PixelSums.of(planes[row]) for planes in self._planes.values()])
        return results

    def _read_patch(self, member: Patch, row: int) -> None:
        """Reads the bands of a patch into a row; of a file with several, all at once."""
        stacks: dict[str, Stack] = {}
        self._frames[row] = None
        for path, (band, _, number), planes in zip(member.paths, self._files, self._planes.values(), strict=True):
            name = path.rpartition("/")[2]
            if path not in stacks:
                content = self._source.read(path)
                if path == member.paths[0] and name.endswith(TIFF):
                    self._frames[row] = frame_of(content)
                if self._fit is None or (number == 1 and _is_plain(content, name, band)):  # the fast way
                    planes[row] = decode_band(content, name, band.size, band.dtype).ravel()
                    continue
                stacks[path] = decode_all(content, name)
            planes[row] = whole(band_of(stacks[path], name, number), name, band, self._fit, member.patch_id).ravel()


def _is_plain(content: bytes, name: str, band: Band) -> bool:
    """Whether a file is a plain TIFF of one band, as the archive's are."""
    if not name.endswith(TIFF) or band.dtype not in SAMPLE_FORMATS:
        return False
    return plain_start(content, band.size, band.dtype) is not None
