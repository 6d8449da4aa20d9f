import resource
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import merge
from earthprobe.storage.files import write_csv
from earthprobe.storage.parquet import read_metadata, with_metadata

IDS = [f"S1A_{i:05d}" for i in np.random.default_rng(0).permutation(3000)]
METADATA = {"model": "x", "precision": "float32"}


def write(path: Path, ids: list[str], metadata: dict | None = None) -> Path:
    ids = sorted(ids)
    schema = pa.schema([("patch_id", pa.string()), ("embedding", pa.list_(pa.float32(), 3))])
    schema = with_metadata(schema, METADATA if metadata is None else metadata)
    values = np.array([[int(i[4:9]), 1, 2] for i in ids], dtype=np.float32).reshape(-1)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values, pa.float32()), 3)
    pq.write_table(pa.table([pa.array(ids, pa.string()), column], schema=schema), path, row_group_size=100)
    return path


def write_rejected(path: Path, *ids: str) -> Path:
    write_csv(path, ("patch_id", "split", "reason"), [(i, "train", "a reason, with a comma") for i in ids])
    return path


def run(
    folder: Path, parts: list[list[str]], ids: list[str] | None = None, rejected: tuple[str, ...] = ()
) -> pl.DataFrame:
    shards = [write(folder / f"{n}.parquet", part) for n, part in enumerate(parts)]
    pl.DataFrame({"patch_id": sorted(IDS if ids is None else ids)}).write_parquet(folder / "patches.parquet")
    merge.run(
        shards=shards,
        patches=folder / "patches.parquet",
        rejected=[write_rejected(folder / "rejected.csv", *rejected)],
        output=folder / "merged.parquet",
    )
    return pl.read_parquet(folder / "merged.parquet")


@pytest.mark.parametrize(("block", "held"), [(8192, 32768), (100, 64), (1, 16), (7, 10_000)])
def test_rows_are_ordered_whatever_the_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, held: int):
    monkeypatch.setattr(merge, "ROW_GROUP", block)
    monkeypatch.setattr(merge, "ROWS_HELD", held)
    ids = IDS[:400] if block == 1 else IDS
    table = run(tmp_path, [ids[0::3], ids[1::3], [], ids[2::3]], ids)
    assert table["patch_id"].to_list() == sorted(ids)
    assert table["embedding"].to_numpy()[:, 0].tolist() == [int(i[4:]) for i in sorted(ids)]
    assert read_metadata(tmp_path / "merged.parquet") == {**METADATA, **read_metadata(tmp_path / "0.parquet")}


def test_rejected_patches_are_not_expected(tmp_path: Path):
    table = run(tmp_path, [IDS[1:]], rejected=(IDS[0],))
    assert table.height == 2999


def test_what_either_sensor_rejects_is_not_expected(tmp_path: Path):
    shard = write(tmp_path / "0.parquet", IDS[2:10])
    pl.DataFrame({"patch_id": IDS[:10]}).write_parquet(tmp_path / "patches.parquet")
    rejected = [write_rejected(tmp_path / f"s{n}.csv", IDS[n - 1]) for n in (1, 2)]
    merge.run(
        shards=[shard], patches=tmp_path / "patches.parquet", rejected=rejected, output=tmp_path / "merged.parquet"
    )
    assert pl.read_parquet(tmp_path / "merged.parquet")["patch_id"].to_list() == sorted(IDS[2:10])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([IDS[1:]], f"no shard holds {IDS[0]}"),
        ([IDS, ["S1A_99999"]], "the shards hold S1A_99999"),
        ([IDS, ["S1A_00000x"]], "the shards hold S1A_00000x"),
        ([IDS, IDS[:1]], "is in two shards"),
    ],
    ids=["missing", "surplus at the end", "surplus between", "twice"],
)
def test_wrong_rows_are_an_error(tmp_path: Path, parts: list[list[str]], message: str):
    with pytest.raises(UserError, match=message):
        run(tmp_path, parts)
    assert not (tmp_path / "merged.parquet").exists()
    assert list(tmp_path.glob(".*.part")) == []


def test_shards_of_several_commits_and_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run that went on after an update, or on other nodes: their values are alike, and the file names all."""
    shards = []
    for number, commit in enumerate(("a", "b", "a")):
        monkeypatch.setattr("earthprobe.storage.parquet.commit_text", lambda commit=commit: commit)
        machine = {"cpu": "x", "gpu": None, "threads": number % 2 + 1}
        part = IDS[5 * number : 5 * number + 5]
        shards.append(write(tmp_path / f"{number}.parquet", part, METADATA | {"made_on": [machine]}))
    pl.DataFrame({"patch_id": IDS[:15]}).write_parquet(tmp_path / "patches.parquet")
    merge.run(shards=shards, patches=tmp_path / "patches.parquet", rejected=[], output=tmp_path / "merged.parquet")
    said = read_metadata(tmp_path / "merged.parquet")
    assert said["earthprobe_commit"] == "a; b"
    assert [machine["threads"] for machine in said["made_on"]] == [1, 2]
    assert said.items() >= METADATA.items()


def test_shards_made_differently_are_an_error(tmp_path: Path):
    a = write(tmp_path / "a.parquet", IDS[:5])
    b = write(tmp_path / "b.parquet", IDS[5:9], METADATA | {"precision": "bfloat16"})
    with pytest.raises(UserError, match=r"b.parquet and .*a.parquet differ in precision \('bfloat16', 'float32'\)"):
        merge.run(shards=[a, b], patches=a, rejected=[], output=tmp_path / "merged.parquet")


def test_a_truncated_shard_is_an_error(tmp_path: Path):
    a = write(tmp_path / "a.parquet", IDS[:50])
    a.write_bytes(a.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"a.parquet cannot be read .*delete it and run again"):
        merge.run(shards=[a], patches=a, rejected=[], output=tmp_path / "merged.parquet")


def test_more_shards_than_a_process_may_open_by_default(tmp_path: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = sum(1 for _ in Path("/proc/self/fd").iterdir())  # by tests before this one
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + 48, hard))
    try:
        ids = IDS[: held + 200]
        assert run(tmp_path, [[i] for i in ids], ids)["patch_id"].to_list() == sorted(ids)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_output_that_cannot_be_written_is_not_blamed_on_a_shard(tmp_path: Path):
    shard = write(tmp_path / "0.parquet", IDS)
    pl.DataFrame({"patch_id": sorted(IDS)}).write_parquet(tmp_path / "patches.parquet")
    rejected = [write_rejected(tmp_path / "rejected.csv")]
    (tmp_path / "results").touch()
    with pytest.raises(OSError, match="results"):
        merge.run(
            shards=[shard],
            patches=tmp_path / "patches.parquet",
            rejected=rejected,
            output=tmp_path / "results/merged.parquet",
        )
