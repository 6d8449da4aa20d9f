"""What every probe shares: loading, standardising, and what is written."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.probes.data import load, permuted
from earthprobe.steps import train
from earthprobe.steps.index import schema_of
from earthprobe.storage.label_matrix import classes_of
from earthprobe.storage.parquet import read_metadata, with_metadata

TASKS = {"tasks": {"19": "multilabel"}, "classes_left_out": {}}
INDEX = schema_of(("43", "19"))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Features of eight patches, and an index of nine."""
    rng = np.random.default_rng(1)
    ids = [f"p{i}" for i in range(9)]
    vectors = rng.normal(3, 2, (8, 4)).astype(np.float32)
    vectors[:, 3] = 1.5  # does not vary
    schema = with_metadata(
        pa.schema([("patch_id", pa.string()), ("embedding", pa.list_(pa.float32(), 4))]), {"weights": "random:0"}
    )
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4)
    pq.write_table(pa.table([pa.array(ids[:8]), column], schema=schema), tmp_path / "features.parquet")
    splits = ["train", "val", "test"] * 3
    labels = [[i % 3] if i else [] for i in range(9)]
    rows = dict.fromkeys(INDEX.names, [None] * 9) | {
        "patch_id": ids,
        "s2_id": ids,
        "split": splits,
        "labels_19": labels,
        "shard": [0] * 9,
        "folder_s1": ids,
        "folder_s2": ids,
    }
    classes = {"19": ["a", "b", "c"], "43": ["x"]}
    schema = with_metadata(INDEX, {"classes": classes, "rejected": [["p8", "test", "x"]], **TASKS})
    pq.write_table(pa.table(rows, schema=schema), tmp_path / "index.parquet")
    return tmp_path / "features.parquet", tmp_path / "index.parquet"


def test_loading_joins_and_standardises(files: tuple[Path, Path]):
    data, source = load(*files, "19", 3), read_metadata(files[0])
    assert source["weights"] == "random:0"
    assert {s: p.ids for s, p in data.parts.items()} == {
        "train": ["p0", "p3", "p6"],
        "val": ["p1", "p4", "p7"],
        "test": ["p2", "p5"],
    }
    assert data.parts["train"].targets.tolist() == [[False] * 3, [True, False, False], [True, False, False]]
    assert data.parts["test"].targets.tolist() == [[False, False, True], [False, False, True]]
    train_features = data.parts["train"].features
    np.testing.assert_allclose(train_features.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train_features[:, :3].std(axis=0), 1, atol=1e-6)
    assert (train_features[:, 3] == 0).all()
    raw = pq.read_table(files[0])["embedding"].to_pylist()
    want = (np.array(raw[1]) - data.mean) / data.std
    np.testing.assert_allclose(data.parts["val"].features[0], want, rtol=1e-5)


def test_a_patch_without_readable_labels_is_left_out_of_training(files: tuple[Path, Path]):
    features, index = files
    table = pq.read_table(index).filter(pc.field("patch_id") != "p3")

    def rewrite(rejected: list[list[str]]) -> None:
        metadata = {"classes": {"19": ["a", "b", "c"]}, "rejected": rejected, **TASKS}
        pq.write_table(table.cast(with_metadata(INDEX, metadata)), index)

    rewrite([["p3", "train", "labels file is not valid JSON"]])
    data = load(features, index, "19", 3)
    assert data.parts["train"].ids == ["p0", "p6"]
    rewrite([])  # missing without a reason is another matter
    with pytest.raises(UserError, match="no 19-class labels of p3"):
        load(features, index, "19", 3)


def test_labels_that_the_archive_lacks_are_an_error(files: tuple[Path, Path]):
    with pytest.raises(UserError, match="no 43-class labels of p0"):
        load(*files, "43", 1)


STUB = """
import numpy as np
from earthprobe.probes.interface import Fitted

def fit(data, *, threads, seed=0, value=0.75):
    assert threads == 3
    values = {s: np.full(data.parts[s].targets.shape, 0.25, np.float32) for s in ("val", "test")}
    values["test"][:] = value
    return Fitted(values, {"why": "test"}, lambda path: path.write_bytes(b"model"))
"""


def run(files: tuple[Path, Path], folder: Path, source: str = STUB, label_set: str = "19", **options: object) -> str:
    """Trains a probe of the user's own, and returns its kind."""
    kind = folder / "stub.py"
    kind.write_text(source)
    train.run(
        probe=json.dumps({"kind": str(kind), **options}),
        features=files[0],
        index=files[1],
        label_set=label_set,
        threads=3,
        scores=folder / "scores.parquet",
        model=folder / "model",
    )
    return str(kind)


def test_training_writes_the_contract(files: tuple[Path, Path], tmp_path: Path):
    kind = run(files, tmp_path, seed=5)
    out = tmp_path / "scores.parquet"
    table = pq.read_table(out)
    assert table.column_names == ["patch_id", "split", "scores", "targets"]
    assert str(table.schema.field("scores").type) == "fixed_size_list<element: float>[3]"
    assert str(table.schema.field("targets").type) == "fixed_size_list<element: bool>[3]"
    assert table["patch_id"].to_pylist() == ["p1", "p4", "p7", "p2", "p5"]
    assert table["split"].to_pylist() == ["val"] * 3 + ["test"] * 2
    assert table["scores"].to_pylist() == [[0.25] * 3] * 3 + [[0.75] * 3] * 2
    assert table["targets"].to_pylist()[0] == [False, True, False]
    metadata = read_metadata(out)
    assert metadata["probe"] == {"kind": kind, "seed": 5, "value": 0.75}
    assert metadata["label_set"] == "19"
    assert metadata["chosen"] == {"why": "test"}
    assert metadata["classes"] == ["a", "b", "c"]
    assert metadata["features"]["weights"] == "random:0"
    assert metadata["patches"] == {"train": 3, "val": 3, "test": 2}
    assert (tmp_path / "model").read_bytes() == b"model"


def test_labels_change_hands_within_a_split_alone(files: tuple[Path, Path], tmp_path: Path):
    source = STUB.replace(
        "    values = ", "    print(data.parts['test'].targets.tolist(), file=open(kept, 'w'))\n    values = "
    )
    source = source.replace("def fit", f"kept = {str(tmp_path / 'seen')!r}\n\ndef fit")
    kind = tmp_path / "stub.py"
    kind.write_text(source)
    data = load(*files, "19", 3)
    train.run(
        probe=json.dumps({"kind": str(kind)}),
        features=files[0],
        index=files[1],
        label_set="19",
        threads=3,
        permute=1,
        scores=tmp_path / "scores.parquet",
        model=tmp_path / "model",
    )
    assert (tmp_path / "seen").read_text().strip() == str(data.parts["test"].targets.tolist())
    said = read_metadata(tmp_path / "scores.parquet")
    assert said["permuted"] == 1
    assert said["control"]["known"]
    # What is written is what the patches have.
    targets = pq.read_table(tmp_path / "scores.parquet")["targets"].to_pylist()
    assert targets[:3] == data.parts["val"].targets.tolist()
    other = permuted(data, 1)
    for split in ("train", "val"):
        assert sorted(other.parts[split].targets.tolist()) == sorted(data.parts[split].targets.tolist())
    assert (permuted(data, 3).parts["train"].targets != data.parts["train"].targets).any()
    assert other.parts["test"] is data.parts["test"]


def test_train_patches_near_test_are_left_out(files: tuple[Path, Path]):
    table = pq.read_table(files[1])
    place = table.schema.get_field_index("cells_to_test")
    near = pa.array([1.0, 0, 0, 3.0, 0, 0, 9.0, 0, 0], pa.float32())
    pq.write_table(table.set_column(place, table.schema.field(place), near), files[1])
    assert load(*files, "19", 3, buffer=2).parts["train"].ids == ["p3", "p6"]
    assert load(*files, "19", 3, buffer=2).parts["val"].ids == ["p1", "p4", "p7"]
    with pytest.raises(UserError, match="no train patch is further than 9 cells from all of test: give less"):
        load(*files, "19", 3, buffer=9)


@pytest.mark.parametrize(
    ("part", "instead"),
    [("[:] = value\n", "[:] = np.nan\n"), ("Fitted(values,", "Fitted({s: v[:, :2] for s, v in values.items()},")],
    ids=["not finite", "a class missing"],
)
def test_scores_that_are_not_finite_are_refused(files: tuple[Path, Path], tmp_path: Path, part: str, instead: str):
    source = STUB.replace(part, instead)
    assert source != STUB
    with pytest.raises(UserError, match=r"stub.py: some scores are missing or not finite"):
        run(files, tmp_path, source)
    assert not (tmp_path / "scores.parquet").exists()
    assert not (tmp_path / "model").exists()


def test_a_label_set_that_the_index_lacks_is_an_error(files: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(UserError, match=r"index.parquet has no label set 7: it has 19, 43"):
        run(files, tmp_path, label_set="7")
    assert not (tmp_path / "scores.parquet").exists()
    assert classes_of(files[1], "43") == ["x"]


def test_a_wrong_option_is_an_error_before_anything_is_read(files: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(UserError, match=r"--probe: unknown key `sede`: did you mean `seed`\?"):
        run((tmp_path / "absent", tmp_path / "absent"), tmp_path, sede=5)
    assert not (tmp_path / "scores.parquet").exists()


@pytest.mark.parametrize("kind", registry.names("probes"))
def test_every_kind_is_trained_by_its_name(files: tuple[Path, Path], tmp_path: Path, kind: str):
    train.run(
        probe=json.dumps({"kind": kind}),
        features=files[0],
        index=files[1],
        label_set="19",
        threads=1,
        scores=tmp_path / "scores.parquet",
        model=tmp_path / "model.safetensors",
    )
    scores = pl.read_parquet(tmp_path / "scores.parquet").filter(pl.col("split") == "test")["scores"].to_numpy()
    raw = pl.read_parquet(files[0]).filter(pl.col("patch_id").is_in(["p2", "p5"]))["embedding"].to_numpy().copy()
    again = registry.load("probes", kind).read(tmp_path / "model.safetensors")(raw)
    np.testing.assert_allclose(again, scores, atol=1e-6)


def test_limits_of_several_fits_are_counted():
    chosen = [{"limits": ["took the weakest penalty that was tried (1e-05)"]}, {}, {"limits": ["took the weakest"
        " penalty that was tried (0.01)", "stopped at its last iteration (500)"]}]  # fmt: skip
    assert train.limits_of(chosen) == [
        "took the weakest penalty that was tried in 2 of 3 fits",
        "stopped at its last iteration in 1 of 3 fits",
    ]


def test_a_limit_is_in_the_scores_and_in_the_log(
    files: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run(files, tmp_path, STUB.replace('{"why": "test"}', '{"limits": ["stopped early"]}'))
    assert read_metadata(tmp_path / "scores.parquet")["limits"] == ["stopped early"]
    assert any(record.message.endswith("stub.py stopped early") for record in caplog.records)
