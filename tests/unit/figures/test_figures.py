"""Figures by their content: what is drawn equals the CSV beside it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.figures import class_distribution, confusion, f2_per_class, gallery, label_correlation, style, umap
from earthprobe.figures.numbers import read_numbers
from earthprobe.steps import explore, shard
from earthprobe.storage.files import write_csv
from earthprobe.storage.parquet import with_metadata
from earthprobe.storage.pixels import read_patches
from earthprobe.storage.quick_look import BRIGHT, GAMMA, quick_look
from matplotlib.figure import Figure
from PIL import Image
from torchgeo.datasets import BigEarthNet

from tests.conftest import Indexer, TinyArchive, read_band
from tests.unit.steps.test_explore import write_index

NAMES = BigEarthNet.class_sets[19]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn, which are also written."""
    figures: list[Figure] = []
    write = style.save

    def save(figure: Figure, outputs: Any, **options: Any) -> None:
        figures.append(figure)
        write(figure, outputs, **options)

    for module in (class_distribution, label_correlation, f2_per_class, confusion, umap, gallery):
        monkeypatch.setattr(module, "save", save)
    return figures


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """600 train patches; class 17 is rare and class 18 absent."""
    rng = np.random.default_rng(0)
    labels = [np.flatnonzero(rng.random(17) < np.linspace(0.6, 0.05, 17)).tolist() for _ in range(600)]
    labels[5] += [17]
    return write_index(tmp_path / "index.parquet", ["train"] * 600, labels)


def texts(figure: Figure) -> str:
    return "\n".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def explored(index: Path, folder: Path) -> None:
    """Writes the numbers behind two figures."""
    explore.run(index=index, label_set="19", distribution=folder / "d.csv", correlation=folder / "c.csv")


def write_shard(patches: Path, sensor: str, folder: Path, output: Path) -> None:
    shard.run(patches=patches, sensor=sensor, source=[folder], shard=0, output=output)


def images(folder: Path, *endings: str) -> list[Path]:
    return [folder / f"x.{ending}" for ending in endings]


def test_files_are_images_and_the_same_again(index: Path, tmp_path: Path):
    explored(index, tmp_path)
    outputs = images(tmp_path, "png", "pdf", "svg")
    class_distribution.run(csv=tmp_path / "d.csv", images=outputs)
    first = [path.read_bytes() for path in outputs]
    assert first[0].startswith(b"\x89PNG")
    assert first[1].startswith(b"%PDF")
    assert b"<svg" in first[2]
    class_distribution.run(csv=tmp_path / "d.csv", images=outputs[:2])
    assert [path.read_bytes() for path in outputs[:2]] == first[:2]


def test_a_raster_keeps_its_colours_in_little_room(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    explored(index, tmp_path)
    figure = style.new_figure(2)
    axes = figure.subplots()
    for number in range(len(style.SERIES)):
        axes.plot(np.arange(99), np.random.default_rng(number).random(99), color=style.SERIES[number])
    figure.savefig(tmp_path / "whole.png", dpi=style.DPI)
    style.save(figure, images(tmp_path, "png"))
    whole, small = (
        np.asarray(Image.open(path).convert("RGB")) for path in (tmp_path / "whole.png", tmp_path / "x.png")
    )
    assert small.shape == whole.shape == (600, 2160, 3)
    assert np.abs(small.astype(int) - whole).max() < 24
    assert (tmp_path / "x.png").stat().st_size < 0.6 * (tmp_path / "whole.png").stat().st_size


def test_class_distribution(index: Path, tmp_path: Path, drawn: list[Figure]):
    explored(index, tmp_path)
    class_distribution.run(csv=tmp_path / "d.csv", images=images(tmp_path, "png"))
    (figure,) = drawn
    table = pl.read_csv(tmp_path / "d.csv").sort("train", descending=True)
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [max(c, 0.5) for c in table["train"]]
    assert len(axes.get_yticklabels()) == 19
    text = texts(figure)
    assert "none" in text
    assert f"{table['train'][0]:,}" in text
    assert "simulated archive x" in text


@pytest.mark.parametrize("order", ["listed", "clustered"])
def test_label_correlation(index: Path, tmp_path: Path, drawn: list[Figure], order: str):
    explored(index, tmp_path)
    label_correlation.run(csv=tmp_path / "c.csv", order=order, images=images(tmp_path, "png"))
    axes = drawn[0].axes[0]
    shown = axes.images[0].get_array().filled(np.nan)
    table = pl.read_csv(tmp_path / "c.csv")
    want = {(r["name"], r["other_name"]): r["correlation"] for r in table.iter_rows(named=True)}
    short = {style.short(n, 42): n for n in NAMES}
    rows = [short[t.get_text()] for t in axes.get_yticklabels()]
    columns = [short[t.get_text()] for t in axes.get_xticklabels()]
    assert rows == columns
    assert sorted(rows) == sorted(NAMES)
    assert (rows == NAMES) == (order == "listed")
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            value = want[row, column]
            if i == j or value is None:
                assert np.isnan(shown[i, j])
            else:
                assert shown[i, j] == pytest.approx(value)
    assert "1 class that the train split lacks" in texts(drawn[0])


def per_class(path: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    rows = []
    for i, name in enumerate(NAMES):
        support = 0 if i == 18 else int(rng.integers(1, 500))
        tp = int(rng.integers(0, support + 1))
        fp = int(rng.integers(0, 400))
        counts = (1000 - support - fp, fp, support - tp, tp)
        f2, origin = rng.random(), ("simulated archive x", "random weights")
        rows.append((i, name, support, 0.5, 0.5, 0.5, f2, 0.5, *counts, *origin, f2 - 0.02, f2 + 0.01))
    columns = [
        "class",
        "name",
        "support",
        "precision",
        "recall",
        "f1",
        "f2",
        "ap",
        "tn",
        "fp",
        "fn",
        "tp",
        "data",
        "weights",
        "f2_low",
        "f2_high",
    ]
    write_csv(path, columns, rows)
    return path


def test_f2_per_class(tmp_path: Path, drawn: list[Figure]):
    tables = [per_class(tmp_path / f"{n}.csv", 1) for n in ("linear", "mlp")]
    f2_per_class.run(
        probes=["linear", "mlp"], per_class=tables, csv=tmp_path / "f2.csv", images=images(tmp_path, "png")
    )
    axes = drawn[0].axes[0]
    source = pl.read_csv(tables[0]).sort(["support", "class"], descending=[True, False])
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert [int(label.split("(")[1].rstrip(")")) for label in labels] == source["support"].to_list()
    dots = [c for c in axes.collections if c.get_label() in ("linear", "mlp")]
    assert len(dots) == 2
    for collection in dots:
        there = source.filter(pl.col("support") > 0)
        assert len(there) < len(source), "a class that no patch has is not drawn"
        np.testing.assert_allclose(collection.get_offsets()[:, 0], there["f2"])
    assert "random weights" in texts(drawn[0])


def test_confusion(tmp_path: Path, drawn: list[Figure]):
    scores = tmp_path / "scores.parquet"  # whose task alone counts
    pq.write_table(pa.table({}, with_metadata(pa.schema([]), {"task": "multilabel"})), scores)
    confusion.run(
        probe="mlp",
        per_class=per_class(tmp_path / "p.csv", 2),
        scores=scores,
        csv=tmp_path / "confusion.csv",
        images=images(tmp_path, "png"),
    )
    panels = [a for a in drawn[0].axes if a.images]
    assert len(panels) == 19
    for axes, row in zip(panels, pl.read_csv(tmp_path / "confusion.csv").iter_rows(named=True), strict=True):
        cells = [t.get_text().split("\n") for t in axes.texts]
        assert [int(c[0].replace(",", "")) for c in cells] == [row["tn"], row["fp"], row["fn"], row["tp"]]
        shares = axes.images[0].get_array()
        assert shares[1, 1] == pytest.approx(row["tp"] / max(row["support"], 1))
        assert cells[3][1] == (f"{100 * shares[1, 1]:.0f} %" if row["support"] else "–")
    assert "1 class has no positive" in texts(drawn[0])


def write_coordinates(path: Path, index: Path, count: int) -> np.ndarray:
    ids = pl.read_parquet(index)["patch_id"].to_list()[:count]
    points = np.random.default_rng(3).normal(size=(count, 2)).astype(np.float32)
    schema = pa.schema([("patch_id", pa.string()), ("x", pa.float32()), ("y", pa.float32())])
    metadata = {"data": "simulated archive x", "weights": "random weights (seed 0)", "patches": 600}
    columns = [pa.array(ids), pa.array(points[:, 0]), pa.array(points[:, 1])]
    pq.write_table(pa.table(columns, schema=with_metadata(schema, metadata)), path)
    return points


def test_umap_panels(index: Path, tmp_path: Path, drawn: list[Figure], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(umap, "POINTS_UP_TO", 100)
    points = write_coordinates(tmp_path / "c.parquet", index, 500)
    umap.run(
        coordinates=tmp_path / "c.parquet",
        index=index,
        label_set="19",
        csv=tmp_path / "umap.csv",
        images=images(tmp_path, "png"),
    )
    labels = pl.read_parquet(index)["labels_19"].to_list()[:500]
    panels = [a for a in drawn[0].axes if a.images]
    assert len(panels) == 19
    kinds = set()
    for number, axes in enumerate(panels):
        members = [i for i, own in enumerate(labels) if number in own]
        assert axes.get_title().split("\n")[-1] == f"{len(members):,}"
        assert axes.get_xlim() == panels[0].get_xlim()
        assert axes.get_ylim() == panels[0].get_ylim()
        kinds.add(len(axes.images))
        if len(members) <= 100:
            np.testing.assert_allclose(axes.collections[0].get_offsets(), points[members], rtol=1e-5)
        else:
            # The density covers the cells of the class's points and no others.
            opaque = axes.images[1].get_array()[..., 3] > 0
            edges = np.linspace(*axes.get_xlim(), opaque.shape[1] + 1), np.linspace(*axes.get_ylim(), len(opaque) + 1)
            counts, _, _ = np.histogram2d(points[members, 0], points[members, 1], bins=edges)
            assert (counts.T > 0).sum() == pytest.approx(opaque.sum(), abs=3)
    assert kinds == {1, 2}  # some classes by points, some by density
    text = texts(drawn[0])
    assert "UMAP of 500 of 600 patches" in text
    assert "1 class is in none of them" in text
    assert "random weights (seed 0)" in text


@pytest.fixture
def scored(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path) -> Callable[[], tuple[Path, Path]]:
    """Scores of twelve patches on three classes, and their shard."""

    def make() -> tuple[Path, Path]:
        write_shard(patches_of(twelve, shards=1), "s1", twelve.s1_folder, tmp_path / "shard.parquet")
        ids = [p for split in ("val", "test") for p in twelve.splits[split]]
        scores = np.array([[0.9, 0.1, 0.2]] * 3 + [[0.8, 0.7, 0.1], [0.6, 0.2, 0.1], [0.1, 0.9, 0.1]], np.float32)
        targets = np.array([[1, 1, 1]] * 3 + [[1, 1, 0], [1, 0, 0], [1, 1, 0]], bool)
        schema = pa.schema(
            [
                ("patch_id", pa.string()),
                ("split", pa.string()),
                ("scores", pa.list_(pa.float32(), 3)),
                ("targets", pa.list_(pa.bool_(), 3)),
            ]
        )
        origin = {"archive": "x", "simulated": True, "weights": "random:0"}
        columns = [
            pa.array(ids),
            pa.array(["val"] * 3 + ["test"] * 3),
            pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), 3),
            pa.FixedSizeListArray.from_arrays(pa.array(targets.ravel()), 3),
        ]
        schema = with_metadata(schema, {"classes": ["a", "b", "c"], "features": origin, "task": "multilabel"})
        pq.write_table(pa.table(columns, schema=schema), tmp_path / "scores.parquet")
        return tmp_path / "scores.parquet", tmp_path / "shard.parquet"

    return make


def test_gallery(
    scored: Callable[[], tuple[Path, Path]],
    twelve: TinyArchive,
    tmp_path: Path,
    drawn: list[Figure],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(gallery, "EACH", 2)
    scores, path = scored()
    for name, value in (("linear", 0.3), ("mlp", 0.4)):
        content = {"task": "multilabel", "val": {"map_macro": value}, "test": {"map_macro": 1 - value}}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    gallery.run(
        probes=["linear", "mlp"],
        metrics=[tmp_path / "linear.json", tmp_path / "mlp.json"],
        scores=[tmp_path / "not the best one's", scores],
        threshold=0.5,
        shards=[path],
        csv=tmp_path / "gallery.csv",
        images=images(tmp_path, "jpg"),
    )
    assert (tmp_path / "x.jpg").read_bytes().startswith(b"\xff\xd8")
    table = pl.read_csv(tmp_path / "gallery.csv", schema_overrides={"true": pl.String, "predicted": pl.String})
    test = twelve.splits["test"]
    shown = {(r["class"], r["kind"], r["rank"]): r["patch_id"] for r in table.iter_rows(named=True)}
    assert shown == {
        (0, "best", 1): test[0],
        (0, "best", 2): test[1],
        (0, "worst", 1): test[2],
        (1, "best", 1): test[2],
        (1, "best", 2): test[0],
    }
    assert table["true"][0] == "0 1"
    assert table["predicted"][2] == "1"
    pictures = drawn[0].axes[0].images
    pixels = read_patches(path, set(test))
    assert len(pictures) == 5
    for picture, patch_id in zip(pictures, table["patch_id"], strict=True):
        np.testing.assert_array_equal(picture.get_array(), quick_look(pixels[patch_id]))
    text = texts(drawn[0])
    assert "c: no test patch" in text
    assert "scores of mlp" in text
    assert "random weights (seed 0)" in text


def test_gallery_of_reflectance_is_true_colour(
    scored: Callable[[], tuple[Path, Path]], twelve: TinyArchive, tmp_path: Path, drawn: list[Figure]
):
    scores, _ = scored()
    path = tmp_path / "s2.parquet"
    write_shard(tmp_path / "patches.parquet", "s2", twelve.add_optical(), path)
    gallery.gather(scores, 0.5, tmp_path / "gallery.csv")
    gallery.draw(tmp_path / "gallery.csv", scores, "mlp", [path], images(tmp_path, "png"))
    patch_id = pl.read_csv(tmp_path / "gallery.csv")["patch_id"][0]
    name = twelve.s2_name(patch_id)
    red, green, blue = (
        read_band(twelve.root / "BigEarthNet-v1.0" / name / f"{name}_{band}.tif") for band in ("B04", "B03", "B02")
    )
    want = np.stack([red, green, blue], axis=-1) / BRIGHT
    np.testing.assert_array_equal(
        drawn[0].axes[0].images[0].get_array(), (255 * want.clip(0, 1) ** GAMMA).astype(np.uint8)
    )
    assert "true colour (B04, B03, B02)" in texts(drawn[0])


def test_a_patch_that_the_sensor_lacks_is_grey(
    scored: Callable[[], tuple[Path, Path]], tmp_path: Path, drawn: list[Figure], monkeypatch: pytest.MonkeyPatch
):
    scores, path = scored()
    monkeypatch.setattr(gallery, "read_patches", lambda path, wanted: {})
    gallery.gather(scores, 0.5, tmp_path / "gallery.csv")
    gallery.draw(tmp_path / "gallery.csv", scores, "mlp", [path], images(tmp_path, "png"))
    assert {tuple(picture.get_array().ravel()) for picture in drawn[0].axes[0].images} == {(230, 230, 230)}


def test_single_patches_of_a_shard(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    write_shard(patches_of(twelve, shards=1), "s1", twelve.s1_folder, tmp_path / "shard.parquet")
    wanted = {twelve.splits["val"][1], "S1A_elsewhere"}
    (found,) = read_patches(tmp_path / "shard.parquet", wanted).items()
    assert found[0] == twelve.splits["val"][1]
    assert list(found[1]) == ["VV", "VH"]
    for band, plane in found[1].items():
        np.testing.assert_array_equal(plane, read_band(twelve.s1_folder / found[0] / f"{found[0]}_{band}.tif"))


def test_classes_may_be_called_by_numbers(tmp_path: Path, drawn: list[Figure]):
    path = per_class(tmp_path / "p.csv", 0)
    table = pl.read_csv(path).with_columns(name=pl.col("class"))
    table.write_csv(path)
    confusion.draw(path, "linear", [tmp_path / "c.png"])
    f2_per_class.run(probes=["linear"], per_class=[path], csv=tmp_path / "f.csv", images=[tmp_path / "f.png"])
    assert read_numbers(tmp_path / "f.csv")["name"].to_list()[0] in {str(number) for number in table["class"]}
    assert len(drawn) == 2
