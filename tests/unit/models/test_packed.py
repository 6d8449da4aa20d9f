"""Layers that are packed for a CPU against the plain ones."""

import copy
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from earthprobe.models.dofa import architecture

from tests.unit.models.test_dofa import BASE, encoder_of

pytestmark = pytest.mark.usefixtures("shallow_dofa")


@pytest.mark.parametrize("batch", [1, 6])
def test_packed_layers_and_unfused_attention_change_nothing_that_counts(
    pixels: torch.Tensor, batch: int, monkeypatch: pytest.MonkeyPatch
):
    torch.manual_seed(1)
    model = architecture(BASE)
    fast = encoder_of(copy.deepcopy(model), [3.75, 3.75], torch.bfloat16)
    monkeypatch.setattr("earthprobe.models.packed.speed_up", lambda model: None)
    plain = encoder_of(model, [3.75, 3.75], torch.bfloat16)
    fast_blocks, plain_blocks = fast[1].blocks, plain[1].blocks
    assert type(fast_blocks[0].mlp.fc1) is not type(plain_blocks[0].mlp.fc1)
    with torch.inference_mode():
        got, want = fast(pixels[:batch]), plain(pixels[:batch])
        x = torch.randn(batch, 197, 768).bfloat16()
        assert torch.equal(fast_blocks[0].attn.qkv(x), plain_blocks[0].attn.qkv(x))
        assert torch.equal(fast_blocks[1].mlp.fc2(x.repeat(1, 1, 4)), plain_blocks[1].mlp.fc2(x.repeat(1, 1, 4)))
    assert F.cosine_similarity(got, want).min() > 0.9999
    assert F.cosine_similarity(got - got.mean(1, True), want - want.mean(1, True)).min() > 0.999


def test_a_cpu_without_bfloat16_units_keeps_the_plain_layers():
    text = """
import torch
from earthprobe.models.packed import PackedLinear, speed_up
from timm.models.vision_transformer import Block
blocks = torch.nn.ModuleList([Block(768, 12, qkv_bias=True)]).bfloat16()
speed_up(blocks)
with torch.inference_mode():
    blocks[0](torch.zeros(1, 197, 768, dtype=torch.bfloat16))
print(PackedLinear.available(), type(blocks[0].mlp.fc1).__name__)
"""
    limited = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=limited)
    assert done.stdout.split() == ["False", "Linear"]
