"""Rows of the other probes, and of the layout in two dimensions."""

import contextlib
import io
import math
import sys
from statistics import median
from typing import Any

import numpy as np

from bench.tools import CORES, DIMENSIONS, Pairs, Row, peak_mib, probe_data, timed

STRENGTHS = [1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001]


def linear() -> Row:
    """A grid of six strengths, 19 classes: ours, and scikit-learn one class at a time; mAP within 0.002."""
    from earthprobe.probes import linear as module
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, log_loss

    data = probe_data(10_000, 19)
    train, val, test = (data.parts[split] for split in ("train", "val", "test"))

    def theirs() -> Any:
        best: tuple[float, Any] = (math.inf, None)
        for strength in STRENGTHS:
            models = [
                LogisticRegression(C=1 / (strength * len(train.ids)), max_iter=1000).fit(train.features, y)
                for y in train.targets.T
            ]
            scores = [[m.predict_proba(p.features)[:, 1] for m in models] for p in (val, test)]
            loss = float(np.mean([log_loss(y, p) for y, p in zip(val.targets.T, scores[0], strict=True)]))
            best = min(best, (loss, np.stack(scores[1], axis=1)), key=lambda pair: pair[0])
        return best[1]

    pairs = Pairs(lambda: module.fit(data, threads=CORES, strengths=STRENGTHS).scores["test"], theirs, 2)
    ours, reference = (float(average_precision_score(test.targets, of)) for of in (pairs.result, pairs.expected))
    print(f"mAP of ours and scikit-learn: {ours:.4f} {reference:.4f}", file=sys.stderr)
    assert abs(ours - reference) < 0.002
    return pairs.seconds()


def mlp() -> Row:
    """An epoch of 50,000 patches: ours, and the same steps fed by a DataLoader; the limit is the goal for that many."""
    import torch
    import torch.nn.functional as F  # noqa: N812
    from earthprobe.probes import mlp as module
    from torch.utils.data import DataLoader, TensorDataset

    data = probe_data(50_000, 19)
    probe = {
        "hidden": [512],
        "learning_rate": 3e-4,
        "weight_decay": 0.01,
        "dropout": 0.2,
        "batch_size": 64,
        "max_epochs": 1,
        "patience": 1,
        "seed": 0,
    }
    x, y, x_val, y_val = (
        torch.from_numpy(a)
        for s in ("train", "val")
        for a in (data.parts[s].features, data.parts[s].targets.astype("f4"))
    )

    def theirs() -> float:
        torch.manual_seed(0)
        model = module.build(DIMENSIONS, probe["hidden"], y.shape[1], probe["dropout"])
        share = (y.sum(0) + 0.5) / (len(y) + 1)
        with torch.no_grad():
            model[-1].bias.copy_(torch.log(share / (1 - share)))
        optimizer = torch.optim.AdamW(model.parameters(), lr=probe["learning_rate"], weight_decay=probe["weight_decay"])
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).split(64)
        batches = [rows.tolist() for rows in order]
        for features, targets in DataLoader(TensorDataset(x, y), batch_sampler=batches, generator=torch.Generator()):
            loss = F.binary_cross_entropy_with_logits(model(features), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            return float(F.binary_cross_entropy_with_logits(model(x_val), y_val))

    torch.set_num_threads(CORES)
    pairs = Pairs(lambda: module.fit(data, threads=CORES, **probe), theirs)
    ours, want = pairs.result.chosen["val_loss"], pairs.expected
    assert math.isclose(ours, want, rel_tol=1e-4), (ours, want)
    return pairs.seconds(30 * 50_000 / 269_695)


def umap() -> Row:
    """Laying out 20,000 patches on one thread, in a process of its own as a job is: ours, and umap-learn alone."""
    ours, other = zip(*((peak_mib(_laid_out)[1], peak_mib(_umap_learns)[1]) for _ in range(3)), strict=True)
    ratios = [theirs / mine for mine, theirs in zip(ours, other, strict=True)]
    return Row(median(ours), median(other), "s", less_is_better=True, ratios=ratios)


def _laid_out() -> float:
    """Seconds, imports and compiling among them."""
    import torch

    vectors, said = probe_data(20_000, 19).parts["train"].features, io.StringIO()
    torch.set_num_threads(1)

    def work() -> None:
        from earthprobe.steps.umap import laid_out

        laid_out(vectors, 15, 0.1, 0, 1)

    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        return timed(work)[0]


def _umap_learns() -> float:
    vectors = probe_data(20_000, 19).parts["train"].features

    def work() -> None:
        import umap as library

        library.UMAP(n_neighbors=15, min_dist=0.1, random_state=0, n_jobs=1).fit_transform(vectors)

    return timed(work)[0]
