"""What packed archives cost: one pass over a tar file, and the index of all names of the published archives."""

import gzip
import io
import json
import lzma
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from earthprobe import registry

from bench.tools import DATA, S1_FOLDER, WORK, Pairs, Row, archive, peak_mib, timed

LABELS = {
    "labels": ["Non-irrigated arable land", "Pastures", "Mixed forest"],
    # One file stands for all patches, whose corners are others: these keys are not read, and are as long.
    "corners": {"ulx": 300000, "uly": 5299980, "lrx": 301200, "lry": 5298780},
    "projection": 'PROJCS["WGS 84 / UTM zone 33N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298]]]]'
    * 5,
    "corresponding_s2_patch": "S2A_MSIL2A_20170613T101031_26_57",
    "acquisition_time": "2017-06-12T16:58:09",
}


def packed(patches: int, suffix: str) -> Path:
    """A tar file in the published layout: simulated pixels, over and over under other names."""
    target = WORK / f"packed-{patches}{suffix}"
    if target.exists():
        return target
    sources = sorted((archive() / S1_FOLDER).iterdir())
    pixels = [[(path / f"{path.name}_{band}.tif").read_bytes() for band in ("VV", "VH")] for path in sources]
    part = target.with_name("part")
    with part.open("wb") as raw:
        streams = {
            ".tar": lambda: raw,
            ".tar.gz": lambda: gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1),
            ".tar.zst": lambda: pa.CompressedOutputStream(pa.PythonFile(raw, "w"), "zstd"),
        }
        stream = streams[suffix]()
        with tarfile.open(fileobj=stream, mode="w|", bufsize=2**20) as out:
            for number in range(patches):
                name = f"S1A_IW_GRDH_1SDV_20170613T165043_33UUP_{number}_39"
                vv, vh = pixels[number % len(pixels)]
                labels = json.dumps(LABELS).encode()
                for file, content in (("VV.tif", vv), ("VH.tif", vh), ("labels_metadata.json", labels)):
                    member = tarfile.TarInfo(f"{S1_FOLDER}/{name}/{name}_{file}")
                    member.size = len(content)
                    out.addfile(member, io.BytesIO(content))
        if stream is not raw:
            stream.close()
    part.rename(target)
    return target


def _ours(path: Path) -> None:
    from earthprobe.steps import index_members
    from earthprobe.storage.tar_names import is_plain

    contents = None if is_plain([path]) else WORK / "contents"
    index_members.run(tar=[path], folder=S1_FOLDER, contents=contents, output=WORK / "members.parquet")


def tar(patches: int, suffix: str) -> Row:
    """One pass over a tar file: ours, Python's tarfile that copies the same files, and the decompression alone."""
    path = packed(patches, suffix)

    def other() -> None:
        with tarfile.open(path) if suffix == ".tar" else tarfile.open(path, "r|gz", bufsize=2**20) as source:
            places = []
            with (WORK / "other").open("wb") as out:
                for member in source:
                    stream = source.extractfile(member)
                    if stream and suffix != ".tar":
                        out.write(stream.read())
                    places.append((member.name, member.offset_data, member.size))
            assert len(places) == 3 * patches

    def decompressed() -> None:
        for _ in _chunks(path):
            pass

    if suffix == ".tar.zst":  # Python 3.11 reads none
        row = Row(patches / timed(lambda: _ours(path))[0], None, "patches/s")
    else:
        row = Pairs(lambda: _ours(path), other).rate(patches, "patches/s")
    assert pq.read_metadata(WORK / "members.parquet").num_rows == 3 * patches
    row.limit = patches / timed(decompressed)[0]
    for name in ("contents", "other"):
        (WORK / name).unlink(missing_ok=True)
    return row


def _chunks(path: Path) -> Iterator[bytes]:
    from isal import igzip

    if path.name.endswith(".gz"):
        with igzip.open(path) as stream:
            yield from iter(lambda: stream.read(2**20), b"")
    elif path.name.endswith(".zst"):
        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            yield from iter(lambda: stream.read(2**20), b"")
    else:
        with path.open("rb") as stream:
            yield from iter(lambda: stream.read(2**20), b"")


def tar_memory() -> Row:
    """Peak memory of the pass over 50,000 patches; the limit is that over 10,000."""
    peaks = [peak_mib(_ours, packed(patches, ".tar.gz"))[0] for patches in (50_000, 10_000)]
    (WORK / "contents").unlink()
    return Row(peaks[0], None, "MiB", peaks[1], less_is_better=True)


def index(kind: str, what: str) -> Row:
    """Time or memory of indexing all names of a published archive, of which the pixels are not needed."""
    if not DATA.exists():
        return Row("not measured: no official lists", None, what)
    members = WORK / f"members-{kind}.parquet"
    folder = WORK / f"lists-{kind}"
    if not members.exists() or not all(path.exists() for path in _lists(kind, folder)):
        folder.mkdir(parents=True, exist_ok=True)
        _list_all(kind, folder, members)
    runs = [peak_mib(step, kind, folder, members) for step in (_index_patches, _index_labels)]  # as two jobs
    if what == "s":
        return Row(sum(seconds for _, seconds in runs), None, "s", 60, True)
    return Row(max(peak for peak, _ in runs), None, "MiB", 2048, True)


def _list_all(kind: str, folder: Path, members: Path) -> None:
    """What index_members would list, had it the archive: labels of patches of v1 are all the same here."""
    from earthprobe.storage.parquet import with_metadata
    from earthprobe.storage.source import MEMBERS

    for path in _lists(kind, folder):
        if kind == "reben":
            shutil.copy(DATA / "reben-metadata" / path.name, path)
        else:
            path.write_bytes(lzma.decompress((DATA / f"bigearthnet-v1-splits/{path.name}.xz").read_bytes()))
    module = registry.load("archives", kind)
    entries = {entry.patch_id: entry for entry in module.entries(_lists(kind, folder))}
    folders = [module.folder_of("s1", entry.patch_id, entry.s2_id) for entry in entries.values()]
    files = {"/VV.tif": None, "/VH.tif": None}
    if kind == "bigearthnet-v1":
        files["/labels_metadata.json"] = json.dumps(LABELS).encode()
    schema = with_metadata(MEMBERS, {"content": "/dev/null"})
    with pq.ParquetWriter(members, schema, compression="zstd") as writer:
        for start in range(0, len(folders), 2**14):
            rows = [
                (name, file, 0, 57_600, content, None)
                for name in folders[start : start + 2**14]
                for file, content in files.items()
            ]
            arrays = [pa.array(column, f.type) for column, f in zip(zip(*rows, strict=True), MEMBERS, strict=True)]
            writer.write_table(pa.table(arrays, schema))


def _lists(kind: str, folder: Path) -> list[Path]:
    """All files that say which patches belong to which split."""
    facts = registry.kind("archives", kind).facts
    return [folder / name for name in (*(names[0] for names in facts["lists"]), *facts.get("extra_lists", {}).values())]


def _index_patches(kind: str, folder: Path, members: Path) -> float:
    from earthprobe.steps import index_patches

    def run() -> None:
        index_patches.run(
            kind=kind,
            files=[members],
            lists=_lists(kind, folder),
            shards=64,
            archive=kind,
            output=WORK / "patches.parquet",
            mismatches=WORK / "mismatches.csv",
        )

    return timed(run)[0]


def _index_labels(kind: str, folder: Path, members: Path) -> float:
    from earthprobe.steps import index

    in_lists = registry.kind("archives", kind).facts["labels_from"] == "lists"
    labels = _lists(kind, folder) if in_lists else [members]

    def run() -> None:
        index.run(
            kind=kind, patches=WORK / "patches.parquet", labels=labels, max_rejected=0, output=WORK / "index.parquet"
        )

    seconds, _ = timed(run)
    count = pl.scan_parquet(WORK / "index.parquet").select(pl.len()).collect().item()
    assert count == (549_488 if kind == "reben" else 519_284)
    return seconds
