"""The probe of Copernicus-Bench, beside the same recipe in plain torch."""

import numpy as np
import pytest
import torch
from earthprobe.probes import linear_sgd
from earthprobe.probes.interface import Data
from earthprobe.probes.selection import quality
from torch import nn
from torchmetrics.functional.classification import multilabel_average_precision


def test_a_head_is_trained_by_their_recipe(data: Data):
    fitted = linear_sgd.fit(data, threads=1, epochs=4, batch_size=64, seed=3)
    train, val, test = (data.parts[split] for split in ("train", "val", "test"))
    x, y = torch.from_numpy(train.features), torch.from_numpy(train.targets)
    torch.manual_seed(3)
    head = nn.Sequential(nn.BatchNorm1d(x.shape[1], affine=False, eps=1e-6), nn.Linear(x.shape[1], y.shape[1]))
    nn.init.trunc_normal_(head[1].weight, std=0.01)
    optimizer = torch.optim.SGD(head.parameters(), lr=1, weight_decay=1e-4)
    steps = -(-len(x) // 64)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1, total_steps=4 * steps, anneal_strategy="cos", pct_start=0.0
    )
    criterion, order = nn.MultiLabelSoftMarginLoss(), torch.Generator().manual_seed(3)
    found = []
    for _ in range(4):
        head.train()
        for rows in torch.randperm(len(x), generator=order).split(64):
            optimizer.zero_grad()
            criterion(head(x[rows]), y[rows].long()).backward()
            optimizer.step()
            cycle.step()
        head.eval()
        with torch.no_grad():
            on_val, on_test = (torch.sigmoid(head(torch.from_numpy(part.features))) for part in (val, test))
        batches = torch.arange(len(val.ids)).split(64)
        true = torch.from_numpy(val.targets).long()
        each = [
            float(multilabel_average_precision(on_val[b], true[b], num_labels=y.shape[1], average="micro"))
            for b in batches
        ]
        found.append((np.average(each, weights=[len(b) for b in batches]), on_test.numpy()))
    assert fitted.chosen["val_worths"] == pytest.approx([worth for worth, _ in found], abs=1e-4)
    best = int(np.argmax([worth for worth, _ in found]))
    assert fitted.chosen["epoch"] == best + 1
    np.testing.assert_allclose(fitted.scores["test"], found[best][1], atol=2e-5)


def test_the_learning_rate_is_that_of_the_task_unless_given(data: Data):
    assert linear_sgd.fit(data, threads=1, epochs=1).chosen["learning_rate"] == 1
    single = Data(dict(data.parts), data.mean, data.std, "single")
    assert linear_sgd.fit(single, threads=1, epochs=1).chosen["learning_rate"] == 0.1
    assert linear_sgd.fit(data, threads=1, epochs=1, learning_rate=0.3).chosen["learning_rate"] == 0.3


def test_a_last_batch_of_one_patch_is_left_out():
    sizes = [len(rows) for rows in linear_sgd.batches(129, 64, torch.Generator())]
    assert sizes == [64, 64]
    assert [len(rows) for rows in linear_sgd.batches(130, 64, torch.Generator())] == [64, 64, 2]


def test_a_mean_over_batches_weighs_their_patches():
    rng = np.random.default_rng(0)
    targets, scores = rng.random((70, 3)) < 0.4, rng.random((70, 3)).astype(np.float32)
    parts = [quality(scores[rows], targets[rows], "map_micro", "multilabel") for rows in (slice(64), slice(64, 70))]
    want = np.average(parts, weights=[64, 6])
    assert quality(scores, targets, "map_micro_of_batches", "multilabel") == pytest.approx(want)
