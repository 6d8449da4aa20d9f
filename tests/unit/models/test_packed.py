"""Layers that are packed for a CPU against the plain ones."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from earthprobe.models import packed
from earthprobe.models.dofa import architecture
from earthprobe.models.packed import Int8Linear, PackedAttention, PackedLinear, speed_up
from timm.layers.attention import Attention
from torch import nn

from tests.unit.models.test_dofa import BASE, encoder_of

pytestmark = pytest.mark.usefixtures("shallow_dofa")


@pytest.mark.skipif(not PackedLinear.available(), reason="this CPU has no units for bfloat16")
@pytest.mark.parametrize("batch", [1, 6])
def test_packed_layers_and_attention_change_nothing_that_counts(
    pixels: torch.Tensor, batch: int, monkeypatch: pytest.MonkeyPatch
):
    torch.manual_seed(1)
    model = architecture(BASE)
    fast = encoder_of(copy.deepcopy(model), [3.75, 3.75], torch.bfloat16)
    monkeypatch.setattr("earthprobe.models.packed.speed_up", lambda model, layer: None)
    plain = encoder_of(model, [3.75, 3.75], torch.bfloat16)
    fast_blocks, plain_blocks = fast[1].blocks, plain[1].blocks
    assert type(fast_blocks[0].mlp.fc1) is not type(plain_blocks[0].mlp.fc1)
    with torch.inference_mode():
        got, want = fast(pixels[:batch]), plain(pixels[:batch])
        x = torch.randn(batch, 197, 768).bfloat16()
        assert torch.equal(fast_blocks[0].attn.plain.qkv(x), plain_blocks[0].attn.qkv(x))
        assert torch.equal(fast_blocks[1].mlp.fc2(x.repeat(1, 1, 4)), plain_blocks[1].mlp.fc2(x.repeat(1, 1, 4)))
    assert F.cosine_similarity(got, want).min() > 0.9999
    assert F.cosine_similarity(got - got.mean(1, True), want - want.mean(1, True)).min() > 0.999


@pytest.mark.parametrize("scores", [1, 1_000, 25_000, 2**19])
def test_attention_in_parts_is_timms(scores: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packed, "SCORES", scores)  # a token, some tokens, some patches or all of them at a time
    torch.manual_seed(5)
    attention = Attention(64, 4, qkv_bias=True, qk_norm=True, norm_layer=nn.LayerNorm).eval()
    x, mask = torch.randn(5, 50, 64), torch.rand(50, 50) > 0.5
    with torch.inference_mode():
        torch.testing.assert_close(PackedAttention(attention)(x), attention(x))
        torch.testing.assert_close(PackedAttention(attention)(x, attn_mask=mask), attention(x, attn_mask=mask))


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


with_int8 = pytest.mark.skipif(not Int8Linear.available(), reason="this CPU has no units for int8")


@with_int8
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_of_integers_is_the_product_of_whole_numbers(bias: bool):
    """Against the same sums in numpy's integers of 64 bits."""
    torch.manual_seed(2)
    linear = nn.Linear(768, 640, bias=bias).bfloat16()
    linear.weight.data[5] = 0  # a row without a scale
    x = torch.randn(3, 11, 768).bfloat16() * torch.logspace(-2, 2, 11)[:, None].bfloat16()  # tokens unlike in size
    x[1, 4] = 0
    with torch.inference_mode():
        got, exact = Int8Linear(linear)(x), linear.float()(x.float())
    weight, tokens = linear.weight.detach().double().numpy(), x.double().numpy().reshape(33, 768)

    def steps(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = np.abs(rows).max(axis=1, keepdims=True) / 127
        return np.rint(np.divide(rows, scale, out=np.zeros_like(rows), where=scale > 0)).astype(np.int64), scale

    (weights, scale), (values, each) = steps(weight), steps(tokens)
    want = torch.from_numpy(values @ weights.T * scale.T * each).view(3, 11, 640)
    if bias:
        want = want + linear.bias
    size = want.abs().amax(dim=-1, keepdim=True)
    # bfloat16 keeps eight binary digits; a tie or two may go to the other step.
    assert ((got.double() - want).abs() <= want.abs() / 64 + size / 500).all()
    assert F.cosine_similarity(got.float(), exact, dim=-1).masked_fill((x == 0).all(-1), 1).min() > 0.999


@with_int8
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_layer_leaves_its_input_as_it_is(dtype: torch.dtype):
    """Some blocks normalise last, and add it to what comes out."""
    x = torch.randn(2, 5, 64, dtype=dtype)
    before = x.clone()
    with torch.inference_mode():
        Int8Linear(nn.Linear(64, 8, dtype=dtype))(x)
    assert torch.equal(x, before)


@with_int8
def test_a_token_has_the_same_result_in_any_batch():
    torch.manual_seed(3)
    layer = Int8Linear(nn.Linear(768, 3072).bfloat16(), "gelu")
    x = torch.randn(4, 197, 768).bfloat16()
    with torch.inference_mode():
        assert torch.equal(layer(x)[2:3], layer(x[2:3]))
        assert torch.equal(layer(x * torch.tensor([9, 1, 1, 1]).view(4, 1, 1))[1:], layer(x)[1:])


@with_int8
def test_a_transformer_of_integers_is_near_float32(pixels: torch.Tensor):
    torch.manual_seed(1)
    model = architecture(BASE)
    plain = encoder_of(copy.deepcopy(model), [3.75, 3.75], torch.float32)
    coarse = encoder_of(model, [3.75, 3.75], torch.bfloat16, layer=Int8Linear)
    assert type(coarse[1].blocks[0].attn.plain.qkv) is type(coarse[1].blocks[1].mlp.fc2) is Int8Linear
    with torch.inference_mode():
        got, want = coarse(pixels), plain(pixels)
    assert F.cosine_similarity(got, want).min() > 0.999
    assert not torch.equal(got, want)


@with_int8
def test_a_cpu_without_bfloat16_units_leaves_float32_to_the_rest(pixels: torch.Tensor, tmp_path: Path):
    """Such as Intel's of 2019, of which there are many."""
    torch.manual_seed(1)
    x = torch.randn(2, 197, 768)
    torch.save(x, tmp_path / "x.pt")
    text = f"""
import torch
from earthprobe.models.packed import Int8Linear, speed_up
from timm.models.vision_transformer import Block
torch.manual_seed(4)
blocks = torch.nn.ModuleList([Block(768, 12, qkv_bias=True)]).eval()
x = torch.load({str(tmp_path / "x.pt")!r}, weights_only=True)
with torch.inference_mode():
    want = blocks[0](x)
    found = speed_up(blocks, Int8Linear)
    got = blocks[0](x)
cosine = torch.cosine_similarity(got, want, dim=-1).min()
print(found, got.dtype, bool(cosine > 0.999), bool((got != want).any()))
"""
    limited = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=limited)
    assert done.stdout.split() == ["4", "torch.float32", "True", "True"]


def test_layers_are_counted():
    from timm.models.vision_transformer import Block

    blocks = nn.ModuleList([Block(64, 4), Block(64, 4)])
    assert speed_up(blocks) == 0  # float32 stays
    assert speed_up(blocks.bfloat16()) == (8 if PackedLinear.available() else 0)
    assert speed_up(nn.Linear(3, 3)) == 0
