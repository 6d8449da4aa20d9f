"""An explorer of patches whose labels, scores, places, pictures and neighbours are known."""

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from earthprobe.steps import doubts, explorer, sample
from earthprobe.storage.page import TYPES
from earthprobe.storage.parquet import with_metadata
from earthprobe.storage.scores import Scores, write_scores

CLASSES = ["water", "forest", "town"]
PATCHES = 60
SPLITS = ["train", "val", "test"]
FEATURES = {"clear": 0.3, "blurred": 3.0}
"""Feature sets, and how much noise their scores have."""

KEPT = 5
SIZES = {"s1": {"VV": 120, "VH": 120}, "s2": {"B04": 120, "B03": 120, "B02": 120}}


class Known:
    """What the page is made from."""

    def __init__(self, folder: Path, megabytes: float = 40, *, folded: bool = False) -> None:
        rng = np.random.default_rng(0)
        self.folder = folder
        self.ids = [f"patch_{i:02d}" for i in range(PATCHES)]
        self.splits = [SPLITS[i % 3] for i in range(PATCHES)]
        self.targets = rng.random((PATCHES, len(CLASSES))) < 0.4
        self.places = np.column_stack([rng.uniform(-8, 25, PATCHES), rng.uniform(38, 65, PATCHES)])
        self.places[7] = np.nan
        scored = [i for i in range(PATCHES) if self.splits[i] != "train"]
        source = {"archive": "x", "simulated": False, "weights": "random:0", "kind": "dofa", "model": "m", "bands": []}
        source |= {"earthprobe_version": "0"}
        self.scores, self.nearest, self.points, paths, layouts, metrics = {}, {}, {}, [], [], []
        for name, noise in FEATURES.items():
            logits = np.where(self.targets, 1.0, -1.0) + noise * rng.normal(size=self.targets.shape)
            self.scores[name] = (1 / (1 + np.exp(-3 * logits))).astype(np.float32)
            # A poorer probe of the same feature set, which the page must not show.
            for probe, values in (("good", self.scores[name]), ("poor", 1 - self.scores[name])):
                path = folder / f"{name}_{probe}.parquet"
                rows = Scores(
                    [self.ids[i] for i in scored],
                    [self.splits[i] for i in scored],
                    values[scored],
                    self.targets[scored],
                )
                write_scores(path, rows, {"classes": CLASSES, "task": "multilabel", "features": source})
                paths.append(path)
                metrics.append(folder / f"{name}_{probe}.json")
                val = {"map_macro": 0.9 if probe == "good" else 0.1}
                metrics[-1].write_text(json.dumps({"task": "multilabel", "val": val, "features": source}))
            self.points[name] = points = rng.normal(size=(PATCHES, 2)).astype(np.float32)
            self.nearest[name] = np.array(
                [rng.permutation(np.delete(np.arange(PATCHES), i))[:KEPT] for i in range(PATCHES)]
            )
            near = pa.FixedSizeListArray.from_arrays(pa.array(self.nearest[name].astype(np.uint32).ravel()), KEPT)
            cosine = pa.array(np.tile(np.linspace(0.9, 0.5, KEPT, dtype=np.float32), PATCHES))
            layouts.append(folder / f"{name}_layout.parquet")
            columns = {"patch_id": self.ids, "x": points[:, 0], "y": points[:, 1], "nearest": near}
            columns["similarity"] = pa.FixedSizeListArray.from_arrays(cosine, KEPT)
            pq.write_table(pa.table(columns), layouts[-1])
        index = self._index(folded)
        shards = {sensor: self._shard(sensor, rng) for sensor in ("s2", "s1")}
        sample.run(index=index, sample=1000, seed=0, output=folder / "sample.parquet")
        rows = [name for name in FEATURES for _ in range(2)]
        csv = folder / "doubts.csv"
        doubts.run(index=index, metrics=metrics, scores=paths, features=rows, csv=csv)
        self.page = folder / "explorer.html"
        explorer.run(
            index=index,
            sample=folder / "sample.parquet",
            features=list(FEATURES),
            layouts=layouts,
            label_sets=["three"],
            doubts=[csv],
            row_features=rows,
            row_probes=["good", "poor"] * 2,
            row_labels=["three"] * 4,
            metrics=metrics,
            scores=paths,
            sensors=list(shards),
            shards=list(shards.values()),
            threshold=0.5,
            megabytes=megabytes,
            output=self.page,
        )

    def _index(self, folded: bool) -> Path:
        table = pa.table(
            {
                "patch_id": self.ids,
                "split": self.splits,
                "group": [f"tile {i // 6}" for i in range(PATCHES)],
                "country": ["Portugal" if i % 2 else "Finland" for i in range(PATCHES)],
                "date": pa.array([17000 + 9 * i for i in range(PATCHES)], pa.int32()).cast(pa.date32()),
                "longitude": self.places[:, 0],
                "latitude": self.places[:, 1],
                "labels_three": [np.flatnonzero(row).astype(np.uint8).tolist() for row in self.targets],
            }
        )
        metadata = {"archive": "x", "simulated": False, "classes": {"three": CLASSES}}
        table = table.set_column(7, "labels_three", table["labels_three"].cast(pa.list_(pa.uint8())))
        if folded:
            table = table.append_column("folds", pa.array([[i % 5] for i in range(PATCHES)], pa.list_(pa.uint8())))
        pq.write_table(table.cast(with_metadata(table.schema, metadata)), self.folder / "index.parquet")
        return self.folder / "index.parquet"

    def _shard(self, sensor: str, rng: np.random.Generator) -> Path:
        """Patches of one colour each, by which their pictures can be told; Sentinel-2 lacks the last."""
        ids = self.ids if sensor == "s1" else self.ids[:-1]
        self.colours = rng.integers(0, 3000, (len(ids), 3)) if sensor == "s2" else self.colours
        columns: dict[str, Any] = {"patch_id": ids}
        for number, (band, size) in enumerate(SIZES[sensor].items()):
            kind = np.uint16 if sensor == "s2" else np.float32
            level = self.colours[:, number] if sensor == "s2" else rng.uniform(-25, -5, len(ids))
            planes = np.repeat(level.astype(kind), size**2)
            columns[band] = pa.FixedSizeListArray.from_arrays(pa.array(planes), size**2)
        table = pa.table(columns)
        shape = {band: [size, size] for band, size in SIZES[sensor].items()}
        units = dict.fromkeys(SIZES[sensor], "dB" if sensor == "s1" else "reflectance x 10,000")
        pq.write_table(
            table.cast(with_metadata(table.schema, {"shape": shape, "units": units})), self.folder / f"{sensor}.parquet"
        )
        return self.folder / f"{sensor}.parquet"


def elements(page: Path) -> dict[str, bytes]:
    """What the page holds, by name, as it is encoded there."""
    found = re.findall(r'<script type="text/plain" id="data-([^"]*)">([^<]*)</script>', page.read_text())
    return {name: base64.b64decode(text) for name, text in found}


def meta(page: Path) -> dict[str, Any]:
    """What the page says of itself."""
    text = re.search(r'<script type="application/json" id="data-meta">(.*?)</script>', page.read_text(), re.DOTALL)
    assert text
    content: dict[str, Any] = json.loads(text[1])
    return content


def columns(page: Path) -> dict[str, np.ndarray]:
    """The page's arrays."""
    kinds = {script: name for name, script in TYPES.items()}
    held = elements(page)
    return {
        name: np.frombuffer(zlib.decompress(held[name]), kinds[script]) for name, script in meta(page)["types"].items()
    }
