"""Attention over two sets of keys at once, merged by the logarithms of their sums of exponentials.

Every frame has keys of its own, and all frames have the references'. Concatenating the two copies the
references' keys and values for every frame; here all frames ask the references as one long sequence of
queries, and the two outputs are weighted by their softmax denominators, which gives what the concatenation
gives (Dao et al., 2022, section 3.1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def merged_attention(
    query: Float[Tensor, "BF heads N D"],
    key: Float[Tensor, "BF heads N D"],
    value: Float[Tensor, "BF heads N D"],
    shared_key: Float[Tensor, "B heads R D"],
    shared_value: Float[Tensor, "B heads R D"],
) -> Float[Tensor, "BF heads N D"]:
    """Attention of each frame to its own keys and to those that all frames of its sample share.

    Not differentiable. Where there is no fused kernel that tells its sums, keys are concatenated.
    """
    batch, _, shared, _ = shared_key.shape
    if not shared:
        return F.scaled_dot_product_attention(query, key, value)
    if not tells_sums(query):
        frames = len(query) // batch
        keys, values = (
            torch.cat([own, common.repeat_interleave(frames, 0)], 2)
            for own, common in ((key, shared_key), (value, shared_value))
        )
        return F.scaled_dot_product_attention(query, keys, values)
    own, own_sum = _attend(query, key, value)
    # (BF, heads, N, D) → (B, heads, F·N, D)
    together = query.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2, 3)
    common, common_sum = _attend(together, shared_key, shared_value)
    frames = len(query) // batch
    common, common_sum = (
        each.unflatten(2, (frames, -1)).transpose(1, 2).flatten(0, 1) for each in (common, common_sum)
    )
    return torch.lerp(own, common, torch.sigmoid(common_sum - own_sum)[..., None].to(own))


def tells_sums(query: Tensor) -> bool:
    """Whether there is a fused kernel for such tensors that gives its sums of exponentials, as no exported
    graph has one."""
    if torch.compiler.is_exporting():
        return False
    if query.device.type == "cuda":
        return query.dtype in (torch.float16, torch.bfloat16) and query.shape[-1] <= 256
    return query.device.type == "cpu"


def _attend(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Float[Tensor, "B heads N"]]:
    if query.device.type == "cpu":
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)
    width = query.shape[-1]
    tokens = [query, key, value]
    if width % 8:  # no width that is a multiple of 8, for padding by nothing copies
        tokens = [F.pad(each, (0, -width % 8)) for each in tokens]
    out, sums = torch.ops.aten._scaled_dot_product_flash_attention(*tokens, scale=width**-0.5)[:2]
    return out[..., :width], sums[..., : query.shape[2]]
