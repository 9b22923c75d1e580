"""Attention, ViT and the character Transformer."""

import pytest
import torch
import torch.nn.functional as F

from gr_bench.workloads.models.char_transformer import CharTransformer
from gr_bench.workloads.models.transformer import SelfAttention
from gr_bench.workloads.models.vit import ViT


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_what_the_fused_kernel_computes(causal: bool) -> None:
    torch.manual_seed(0)
    length, width, heads = 7, 12, 3
    attention = SelfAttention(width, heads, 0.0, length if causal else None).double()
    inputs = torch.randn(2, length, width, dtype=torch.float64)
    query, key, value = (
        part.view(2, length, heads, width // heads).transpose(1, 2)
        for part in attention.query_key_value(inputs).chunk(3, dim=-1)
    )
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
    expected = attention.output(mixed.transpose(1, 2).reshape(2, length, width))
    torch.testing.assert_close(attention(inputs), expected)


@pytest.mark.parametrize("changed", [0, 3, 8])
def test_logits_do_not_see_later_tokens(changed: int) -> None:
    torch.manual_seed(0)
    model = CharTransformer((9,), 11).eval()
    tokens = torch.randint(11, (2, 9))
    other = tokens.clone()
    other[:, changed] = (other[:, changed] + 1) % 11
    before, after = model(tokens), model(other)
    assert torch.equal(before[:, :changed], after[:, :changed])
    differs = (before != after).any(dim=-1)[:, changed:]
    assert differs.all(), "a position must see itself and everything before it"


def test_the_order_of_tokens_and_of_patches_matters() -> None:
    torch.manual_seed(0)
    text = CharTransformer((6,), 5).eval()
    tokens = torch.tensor([[0, 1, 2, 3, 4, 0]])
    swapped = tokens[:, [1, 0, 2, 3, 4, 5]]
    assert not torch.allclose(text(tokens)[:, -1], text(swapped)[:, -1])
    vit = ViT((1, 8, 8), 5).eval()
    image = torch.randn(1, 1, 8, 8)
    assert not torch.allclose(vit(image), vit(image.roll(4, dims=-1)), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "patch", "tokens"),
    [((3, 32, 32), 4, 64), ((1, 8, 8), 2, 16), ((1, 8, 12), 4, 6), ((1, 40), 8, 5), ((40,), 4, 10)],
)
def test_vit_cuts_any_input_into_patches(shape: tuple[int, ...], patch: int, tokens: int) -> None:
    assert ViT(shape, 10, patch=patch).positions.shape == (tokens, 64)
