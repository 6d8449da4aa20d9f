"""What a GPU does with this: one command for anybody who has one, of which the table is worth sending.

On a machine with a GPU and a fresh clone:

    python -m venv .venv && .venv/bin/pip install . && .venv/bin/python -m bench.gpu

It draws a small archive, embeds it by each model end to end (reading, preparing, forward, writing) and forward alone,
beside torchgeo's own forward of the same weights in bfloat16, and beside the bfloat16 products that the card does.
Nothing is downloaded, and it takes a few minutes. `--device cpu --patches 64` tries it without a GPU.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F  # noqa: N812
from earthprobe import registry
from earthprobe.archives.interface import SPLITS
from earthprobe.config import entry_of
from earthprobe.models import dofa, torchgeo
from earthprobe.models.assemble import encoder_of, inputs_of
from earthprobe.models.forward import BATCH, Forward, pinned
from earthprobe.models.weights import read_state
from earthprobe.sensors import BANDS, bands_of
from earthprobe.steps import embed, embed_weights, index_patches, shard, shard_statistics, simulate, simulate_optical
from earthprobe.storage.markdown import grid
from earthprobe.storage.pixels import read_shards, room_for
from torch.utils.flop_counter import FlopCounterMode

from bench.__main__ import machine
from bench.tools import FOLDERS, Pairs, timed

DRAWN = 128
"""Patches that are drawn; a shard has them over and over, under other names."""

TURNS = {"cuda": 20, "cpu": 1}

RADAR = ["VV", "VH"]
OPTICAL = list(bands_of("s2"))


class Case(NamedTuple):
    """A model and what it sees.

    Attributes:
        entry: of the feature set.
        build: torchgeo's own model.
        call: its forward pass over prepared pixels.
    """

    entry: dict[str, Any]
    build: Callable[[], torch.nn.Module]
    call: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]


def main() -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--patches", type=int, default=8192, help="of the shard that is embedded")
    parser.add_argument("--threads", type=int, default=8, help="CPU threads, which read")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU is seen: is the driver there, and torch made for it? (or --device cpu --patches 64)")
    torch.set_num_threads(options.threads)
    print(f"{machine()}, {options.threads} threads, {options.patches} patches", flush=True)
    limit = products(options.device)
    print(f"bfloat16 products: {limit / 1e12:.4g} TFLOP/s\n", flush=True)
    print("Patches a second; the share of the limit is of the forward pass; cosine is the least to torchgeo's.\n")
    heading = ["model", "bands", "GFLOP", "end to end", "forward", "torchgeo", "reading", "share of limit", "cosine"]
    with tempfile.TemporaryDirectory() as folder:
        shards = draw(Path(folder), options.patches)
        rows = [measured(Path(folder), shards, case, options, limit) for case in cases()]
    print(grid(heading, rows, range(1, len(heading))))


def cases() -> Iterator[Case]:
    """What is measured."""
    both = [*RADAR, *OPTICAL]
    for size, sets in (("base", (RADAR, OPTICAL, both)), ("large", (RADAR,))):
        for bands in sets:
            model = f"dofa_{size}_patch16_224"
            waves = [BANDS[band].wavelength or dofa.PLACEHOLDER for band in bands]
            yield Case(
                {"kind": "dofa", "model": model, "bands": bands},
                partial(dofa.architecture, model),
                lambda model, x, waves=waves: model.forward_features(x, waves),  # type: ignore[operator,misc]
            )
    entry = {"kind": "torchgeo", "model": "resnet50", "bands": RADAR, "normalization": "zscore"}
    yield Case(entry, partial(torchgeo.architecture, "resnet50", RADAR), lambda model, x: model(x))


def draw(root: Path, patches: int) -> dict[str, tuple[Path, Path]]:
    """A shard and the statistics of each sensor, of a simulated archive."""
    label_sets = registry.PACKAGE / "resources/label_set_counts.csv"
    lists = [root / f"bigearthnet-{split}.csv" for split in SPLITS]
    simulate.run(patches=DRAWN, label_sets=label_sets, root=root)
    simulate_optical.run(lists=lists, label_sets=label_sets, folder=root / FOLDERS["s2"])
    index_patches.run(
        kind="bigearthnet-v1",
        files=[root / FOLDERS["s1"], root / FOLDERS["s2"]],
        lists=lists,
        shards=1,
        archive="bench",
        simulated=True,
        output=root / "patches.parquet",
        mismatches=root / "mismatches.csv",
    )
    found = {}
    for sensor in ("s1", "s2"):
        few, path, statistics = (root / f"{sensor}{end}" for end in ("-few.parquet", ".parquet", ".json"))
        shard.run(patches=root / "patches.parquet", sensor=sensor, source=[root / FOLDERS[sensor]], shard=0, output=few)
        shard_statistics.run(
            patches=root / "patches.parquet",
            shards=[few],
            max_rejected=0,
            output=statistics,
            rejected=root / f"{sensor}-rejected.csv",
        )
        with pq.ParquetFile(few) as file:
            table, said = file.read(), dict(file.metadata.metadata or {})
        said.pop(b"ARROW:schema", None)
        many = pa.concat_tables([table] * -(-patches // len(table)))[:patches].combine_chunks()
        ids = pa.array([f"{number:07d}" for number in range(patches)])
        many = many.set_column(0, "patch_id", ids).replace_schema_metadata(said)
        # As the step writes it.
        split = [f"{band}.list.element" for band in bands_of(sensor)]
        options = {"compression": "lz4", "use_dictionary": False, "use_byte_stream_split": split}
        pq.write_table(many, path, row_group_size=shard.ROW_GROUP, **options)
        found[sensor] = (path, statistics)
    return found


def products(device: str) -> float:
    """Operations a second of large bfloat16 products, the median of many."""
    side = 8192 if device == "cuda" else 1024
    x, w = (torch.randn(side, side, dtype=torch.bfloat16, device=device) for _ in range(2))
    with torch.inference_mode():
        return 2 * side**3 / median(timed(lambda: finished(x @ w))[0] for _ in range(30))


def finished(result: torch.Tensor) -> torch.Tensor:
    """The same, when the device has computed it."""
    if result.is_cuda:
        torch.cuda.synchronize()
    return result


def measured(
    root: Path, shards: dict[str, tuple[Path, Path]], case: Case, options: argparse.Namespace, limit: float
) -> list[str]:
    """A row of the table."""
    given = {**case.entry, "weights": "random:0"}
    bands = given["bands"]
    seen = [shards[sensor] for sensor in ("s1", "s2") if set(bands) & set(bands_of(sensor))]
    paths, statistics = [path for path, _ in seen], [path for _, path in seen]
    weights = root / "weights.safetensors"
    embed_weights.run(kind=given["kind"], model=given["model"], bands=bands, weights=given["weights"], output=weights)
    text = json.dumps({**given, "precision": "bfloat16"})

    def end_to_end() -> None:
        embed.run(
            model=text,
            shard=paths,
            statistics=statistics,
            weights=weights,
            device=options.device,
            threads=options.threads,
            output=root / "features.parquet",
        )

    def reading() -> None:
        for _ in read_shards(paths, bands, BATCH[options.device], pinned if options.device == "cuda" else room_for):
            pass

    entry = entry_of("models", text, "bench")
    ours = encoder_of(entry, inputs_of(entry, statistics), weights, options.device, torch.bfloat16)
    theirs = case.build().eval().requires_grad_(False)
    theirs.load_state_dict(read_state(weights))
    theirs.to(options.device)
    size = BATCH[options.device]
    _, pixels = next(read_shards(paths, bands, size))
    batch = torch.from_numpy(pixels).to(options.device)
    forward = Forward(ours, options.device)

    def theirs_of(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(options.device, torch.bfloat16):
            return case.call(theirs, ours.prepare(x).pixels).float()

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        theirs_of(batch[:1])
    if options.device == "cuda":
        end_to_end()  # what is set up once is set up
    whole = median(timed(end_to_end)[0] for _ in range(1 if options.device == "cpu" else 3))
    read = median(timed(reading)[0] for _ in range(3))
    with torch.inference_mode():
        for _ in range(3 if options.device == "cuda" else 0):  # libraries set themselves up
            finished(forward(batch))
            finished(theirs_of(batch))
        pairs = Pairs(lambda: finished(forward(batch)), lambda: finished(theirs_of(batch)), TURNS[options.device])
        cosine = float(F.cosine_similarity(pairs.result.float(), pairs.expected, dim=1).min())
    rate, other = (len(batch) / median(seconds) for seconds in (pairs.ours, pairs.other))
    flop = counter.get_total_flops()
    rates = (options.patches / whole, rate, other, options.patches / read)
    figures = [f"{flop / 1e9:.1f}", *(f"{patches:,.0f}" for patches in rates)]
    return [given["model"], str(len(bands)), *figures, f"{rate * flop / limit:.0%}", f"{cosine:.4f}"]


if __name__ == "__main__":
    main()
