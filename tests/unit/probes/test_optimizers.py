import subprocess
import sys

import pytest
import torch
from earthprobe.probes.optimizers import light
from torch import nn

MAKE = {
    "AdamW": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1, "fused": True}),
    "SGD": (torch.optim.SGD, {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.9}),
    "LBFGS": (torch.optim.LBFGS, {"max_iter": 5, "line_search_fn": "strong_wolfe"}),
}


@pytest.mark.parametrize("name", MAKE)
def test_steps_are_torchs_own(name: str):
    kind, options = MAKE[name]

    def weights(kind: type[torch.optim.Optimizer]) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        x, y = torch.randn(50, 8), torch.randn(50, 3)
        optimizer = kind(model.parameters(), **options)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            value = nn.functional.mse_loss(model(x), y)
            value.backward()
            return value

        start = [p.detach().clone() for p in model.parameters()]
        for _ in range(5):
            optimizer.step(loss)
            schedule.step()
        assert all((p != s).any() for p, s in zip(model.parameters(), start, strict=True))
        return list(model.parameters())

    for ours, theirs in zip(weights(light(kind)), weights(kind), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", MAKE)
def test_torchs_compiler_is_not_imported(name: str):
    code = f"""
import sys, torch
from earthprobe.probes.optimizers import light
weight = torch.zeros(3, requires_grad=True)
def loss():
    optimizer.zero_grad()
    value = (weight - 1).square().sum()
    value.backward()
    return value
optimizer = light(torch.optim.{name})([weight], lr=0.1)
optimizer.step(loss)
assert weight.abs().sum() > 0
print([name for name in ("torch._dynamo", "torch._inductor", "sympy.core") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
