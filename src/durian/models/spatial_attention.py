"""Spatial attention: a frame's tokens look at themselves and at the references (section 3.2).

Queries come from the frame; keys and values from the width-wise concatenation `[F_frame, F_port, F_attr…]`
of the frame's tokens and of the references' features at the same layer, all through the same projections.
References are values, computed once per animation and passed explicitly; nothing is stored in the layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from durian.models.autocast import autocast_holds
from durian.models.merged_attention import merged_attention
from durian.models.position_kernel import init_position_kernel
from durian.models.reference_copy import CopySource, Found, ReferenceCopy


@dataclass(frozen=True)
class ReferenceFeatures:
    """What a ReferenceNet says of one reference.

    Attributes:
        tokens: for each spatial attention layer, the hidden states that enter it, (B, N, C).
        keep: for each number of tokens N, which of them take part, (B, N); None keeps all.
        positions: for each number of tokens N, their encoded positions, (B, N, P); None without.
        pixels: for each number of tokens N, the latents and mask that they stand for, (B, N, c+1).
        image: what `ReferenceCopy` copies from; None where DNet has none.
    """

    tokens: Mapping[str, Float[Tensor, "B N C"]]
    keep: Mapping[int, Bool[Tensor, "B N"]] | None = None
    positions: Mapping[int, Float[Tensor, "B N P"]] | None = None
    pixels: Mapping[int, Float[Tensor, "B N c"]] | None = None
    image: Float[Tensor, "B c H W"] | None = None


@dataclass(frozen=True)
class ReferenceCache:
    """Keys and values of one or more references, projected once for a whole animation.

    Attributes:
        keys, values: for each spatial attention layer, (B, heads, R, D).
        bias: for each layer, what is added to the attention scores, (B, 1, 1, R): 0 where a token takes
            part and -inf where it does not, below 0 where it is of one of several views; None where all do.
        source: what `ReferenceCopy` copies from, where DNet has one.
    """

    keys: Mapping[str, Float[Tensor, "B heads R D"]]
    values: Mapping[str, Float[Tensor, "B heads R D"]]
    bias: Mapping[str, Float[Tensor, "B 1 1 R"]] | None = None
    source: CopySource | None = None

    @staticmethod
    def concatenate(caches: Sequence[ReferenceCache]) -> ReferenceCache:
        """Width-wise composition: attention over all the caches' tokens at once."""
        first = caches[0]
        if len(caches) == 1:
            return first
        keys = {layer: torch.cat([c.keys[layer] for c in caches], 2) for layer in first.keys}
        values = {layer: torch.cat([c.values[layer] for c in caches], 2) for layer in first.keys}
        sources = [cache.source for cache in caches if cache.source is not None]
        source = CopySource.concatenate(sources) if sources else None
        if all(cache.bias is None for cache in caches):
            return ReferenceCache(keys, values, source=source)
        bias = {layer: torch.cat([c.layer_bias(layer) for c in caches], 3) for layer in first.keys}
        return ReferenceCache(keys, values, bias, source)

    @staticmethod
    def of_views(views: Sequence[ReferenceCache]) -> ReferenceCache:
        """Several pictures of one thing, which count together as much as one: each token's share of attention
        is divided by their number, so that equal pictures give what one of them gives."""
        if len(views) == 1:
            return views[0]
        less = views[0].keys[next(iter(views[0].keys))].new_tensor(-math.log(len(views)))
        whole = ReferenceCache.concatenate([view._biased(less) for view in views])
        return replace(whole, source=whole.source and replace(whole.source, views=(len(views),)))

    def layer_bias(self, layer: str) -> Float[Tensor, "B 1 1 R"]:
        """This layer's bias, zeros where the cache has none."""
        if self.bias is not None:
            return self.bias[layer]
        key = self.keys[layer]
        return key.new_zeros(key.shape[0], 1, 1, key.shape[2])

    def without_tokens(self) -> ReferenceCache:
        """The cache with every token left out: the same as hidden in attention, and nothing is computed."""
        return ReferenceCache(
            {layer: key[:, :, :0] for layer, key in self.keys.items()},
            {layer: value[:, :, :0] for layer, value in self.values.items()},
            source=self.source and self.source.without_tokens(),
        )

    def drop(self, keep: Bool[Tensor, " B"]) -> ReferenceCache:
        """The cache with every token hidden in those samples of the batch where `keep` is False."""
        hidden = torch.zeros(keep.shape, device=keep.device).masked_fill(~keep, -math.inf)
        return self._biased(hidden[:, None, None, None])

    def _biased(self, added: Float[Tensor, "*#B"]) -> ReferenceCache:
        """With something added to every token's scores."""
        source = self.source and replace(self.source, bias=self.source.full_bias() + added)
        bias = {layer: self.layer_bias(layer) + added for layer in self.keys}
        return ReferenceCache(self.keys, self.values, bias, source)


@dataclass(frozen=True)
class References:
    """What a frame's tokens attend to beside themselves: one cache, or several attention outputs blended.

    Interpolation between two attributes is `(1 - α)·SA(…, attr1) + α·SA(…, attr2)` (section 3.4): two
    branches with weights `(1 - α, α)`.

    Attributes:
        branches: each a cache that holds the portrait and its attributes.
        weights: (branches,), or (branches, F) to interpolate over the frames. Sums to 1 over branches.
    """

    branches: tuple[ReferenceCache, ...]
    weights: Float[Tensor, "branches ..."] | None = None

    def blend(self, outputs: Sequence[Float[Tensor, "BF ..."]]) -> Float[Tensor, "BF ..."]:
        """The weighted sum of what each branch gives."""
        if self.weights is None:
            return outputs[0]
        blended = torch.zeros_like(outputs[0])
        for weight, output in zip(self.weights.to(outputs[0]), outputs, strict=True):
            if weight.ndim:  # one weight a frame: (F,) → (B·F, 1 …)
                weight = weight.repeat(len(output) // len(weight)).reshape(-1, *[1] * (output.ndim - 1))
            blended = blended + weight * output
        return blended


@dataclass(frozen=True)
class SpatialContext:
    """What the attention layers are given in one call of a network.

    Attributes:
        references: what to attend to beside the own tokens.
        positions: encoded positions of the own tokens by their number N, (B, N, P).
        record: where given, each spatial attention layer leaves its input tokens here.
        embedding_bias: what is added to the scores of cross-attention: 0 where an embedding's token takes
            part and -inf where it does not; None where all do.
    """

    references: References | None = None
    positions: Mapping[int, Float[Tensor, "B N P"]] | None = None
    record: dict[str, Tensor] | None = field(default=None)
    embedding_bias: Float[Tensor, "BF 1 L"] | None = None


class SpatialAttention(nn.Module):
    """Attention processor of the self-attention layers (diffusers' `attn1`) of all three UNets.

    Args:
        layer: name of the layer, the key into features and caches.
        heads: attention heads.
        inner_dim: heads × channels of a head.
        position_dim: length P of an encoded position; 0 is the paper's model, without positions.
        pixel_channels: latent and mask channels that a reference's values also hold; 0 is the paper's
            model. The hidden states have been normalised on their way here, which takes away the absolute
            colours; this is the straight way for them.
    """

    def __init__(
        self, layer: str, heads: int, inner_dim: int, position_dim: int = 0, pixel_channels: int = 0
    ):
        super().__init__()
        self.layer = layer
        self.position_dim = position_dim
        self.pixel_channels = pixel_channels
        if position_dim:
            self.position_to_q = nn.Linear(position_dim, inner_dim, bias=False)
            self.position_to_k = nn.Linear(position_dim, inner_dim, bias=False)
            self.position_to_own_k = nn.Linear(position_dim, inner_dim, bias=False)
            # With 1.6 a reference's token at the same place outweighs the thousands elsewhere.
            init_position_kernel(
                self.position_to_q, self.position_to_k, heads, 1.6, own_k=self.position_to_own_k
            )
        if pixel_channels:
            self.pixels_to_v = nn.Linear(pixel_channels, inner_dim, bias=False)

    def project(self, attn: Attention, features: ReferenceFeatures) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, R, D) of a reference at this layer."""
        tokens = features.tokens[self.layer]
        key, value = _keys_values(attn, tokens)
        if self.position_dim and features.positions is not None:
            key = key + self.position_to_k(features.positions[tokens.shape[1]])
        if self.pixel_channels and features.pixels is not None:
            value = value + self.pixels_to_v(features.pixels[tokens.shape[1]])
        return _split_heads(key, attn.heads), _split_heads(value, attn.heads)

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, "BF N C"],
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        context: SpatialContext | None = None,
    ) -> Float[Tensor, "BF N C"]:
        context = context or SpatialContext()
        if context.record is not None:
            context.record[self.layer] = hidden_states
        positions = context.positions[hidden_states.shape[1]] if context.positions is not None else None

        query = attn.to_q(hidden_states)
        key, value = _keys_values(attn, hidden_states)
        if self.position_dim and positions is not None:
            query = query + self.position_to_q(positions)
            key = key + self.position_to_own_k(positions)
        query, key, value = (_split_heads(tokens, attn.heads) for tokens in (query, key, value))

        if context.references is None:
            out = F.scaled_dot_product_attention(query, key, value)
        else:
            out = self._attend_references(query, key, value, context.references)
        out = out.transpose(1, 2).flatten(2)
        project, dropout = cast(nn.ModuleList, attn.to_out)
        return dropout(project(out))

    def _attend_references(self, query: Tensor, key: Tensor, value: Tensor, references: References) -> Tensor:
        return references.blend([self._attend(query, key, value, cache) for cache in references.branches])

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, cache: ReferenceCache) -> Tensor:
        reference_key, reference_value = cache.keys[self.layer], cache.values[self.layer]
        if cache.bias is None and not torch.is_grad_enabled():
            return merged_attention(query, key, value, reference_key.to(key), reference_value.to(value))
        frames = query.shape[0] // reference_key.shape[0]
        keys = torch.cat([key, _per_frame(reference_key.to(key), frames)], 2)
        values = torch.cat([value, _per_frame(reference_value.to(value), frames)], 2)
        bias = None
        if cache.bias is not None:
            bias = _per_frame(cache.bias[self.layer].to(query), frames)
            own = bias.new_zeros(bias.shape[0], 1, 1, key.shape[2])
            bias = torch.cat([own, bias], 3).expand(-1, -1, query.shape[2], -1)
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=bias)


class EmbeddingAttention(AttnProcessor2_0):
    """Cross-attention to image embeddings, which all frames of a sample share: (B, L, D) for (BF, N, C).

    In training it is diffusers' own, with the context's bias on the embeddings' tokens. Otherwise, where they
    are few, their keys go into the projection of the queries and their values into that of the output: the
    same result without any projection of the frames' tokens but to the scores and back.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, "BF N C"],
        encoder_hidden_states: Float[Tensor, "B L D"],
        attention_mask: Tensor | None = None,
        context: SpatialContext | None = None,
    ) -> Float[Tensor, "BF N C"]:
        if context is not None and context.embedding_bias is not None:
            attention_mask = context.embedding_bias
        few = encoder_hidden_states.shape[1] * attn.heads < attn.inner_dim
        if few and attention_mask is None and not torch.is_grad_enabled():
            return _attend_few(attn, hidden_states, encoder_hidden_states)
        frames = hidden_states.shape[0] // encoder_hidden_states.shape[0]
        embedding = _per_frame(encoder_hidden_states, frames)
        return super().__call__(attn, hidden_states, embedding, attention_mask)


def _attend_few(
    attn: Attention, hidden: Float[Tensor, "BF N C"], embedding: Float[Tensor, "B L D"]
) -> Float[Tensor, "BF N C"]:
    """softmax((h W_q)(e W_k)ᵀ)(e W_v) W_o as softmax(h (W_q (e W_k)ᵀ)) ((e W_v) W_o), head by head."""
    key, value = (tokens.unflatten(2, (attn.heads, -1)) for tokens in _keys_values(attn, embedding))
    query, output = attn.to_q, cast(nn.Linear, cast(nn.ModuleList, attn.to_out)[0])
    given = torch.einsum("blhd,chd->bhlc", value, output.weight.unflatten(1, (attn.heads, -1))).flatten(1, 2)
    if embedding.shape[1] == 1:  # a softmax over one is 1, whoever asks
        out = (given.sum(1, keepdim=True) + output.bias).repeat_interleave(len(hidden) // len(embedding), 0)
        return out.expand_as(hidden)
    # What all scores have in common changes no softmax, and in half precision would cost digits.
    key = key - key.mean(1, keepdim=True)
    asked = torch.einsum("blhd,hdc->bhlc", key, query.weight.unflatten(0, (attn.heads, -1))).flatten(1, 2)
    tokens = hidden.reshape(len(embedding), -1, hidden.shape[2])
    scores = (tokens @ asked.mT * attn.scale).unflatten(2, (attn.heads, -1)).softmax(-1).flatten(2)
    return (scores @ given + output.bias).reshape(hidden.shape)


def install_spatial_attention(unet: nn.Module, position_dim: int, pixel_channels: int = 0) -> None:
    """Give every spatial transformer of a diffusers UNet the processors of this module."""
    for name, module in unet.named_modules():
        if ".attentions." not in name or not isinstance(module, Attention):
            continue
        if name.endswith(".attn1"):
            module.set_processor(
                SpatialAttention(name, module.heads, module.inner_dim, position_dim, pixel_channels)
            )
        else:
            module.set_processor(EmbeddingAttention())


def spatial_layers(unet: nn.Module) -> dict[str, Attention]:
    """The spatial attention layers by name, in the order of the forward pass' registration."""
    return {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, Attention) and isinstance(module.processor, SpatialAttention)
    }


def project_references(unet: nn.Module, features: ReferenceFeatures) -> ReferenceCache:
    """Project a reference's features to keys and values with DNet's own weights, once per animation."""
    keys, values, bias = {}, {}, {}
    selections = {count: _select(keep) for count, keep in (features.keep or {}).items()}
    for name, attn in spatial_layers(unet).items():
        keys[name], values[name] = cast(SpatialAttention, attn.processor).project(attn, features)
        if selections:
            kept, padding = selections[features.tokens[name].shape[1]]
            keys[name], values[name] = (
                tensor.gather(2, kept[:, None, :, None].expand(-1, tensor.shape[1], -1, tensor.shape[3]))
                for tensor in (keys[name], values[name])
            )
            bias[name] = _hide(padding)
    padded = any(padding.any() for _, padding in selections.values())
    return ReferenceCache(keys, values, bias if padded else None, _copy_source(unet, features, selections))


def _copy_source(
    unet: nn.Module, features: ReferenceFeatures, selections: Mapping[int, tuple[Tensor, Tensor]]
) -> CopySource | None:
    copy = getattr(unet, "reference_copy", None)
    if not isinstance(copy, ReferenceCopy) or features.image is None:
        return None
    tokens = features.tokens[next(iter(spatial_layers(unet)))]  # the finest
    exact, place = copy.to_k.weight, (features.positions or {}).get(tokens.shape[1])
    if exact.dtype != tokens.dtype and not autocast_holds(tokens):
        tokens, place = tokens.to(exact), None if place is None else place.to(exact)
    source = copy.project(tokens, place, features.image)
    if not selections:
        return source
    kept, padding = selections[tokens.shape[1]]
    return source.select(kept, _hide(padding) if padding.any() else None)


def _hide(hidden: Bool[Tensor, "B R"]) -> Float[Tensor, "B 1 1 R"]:
    return torch.zeros(hidden.shape, device=hidden.device).masked_fill(hidden, -math.inf)[:, None, None]


def blend_copies(
    copy: ReferenceCopy,
    hidden: Float[Tensor, "BF C h w"],
    positions: Float[Tensor, "BF N P"] | None,
    references: References,
    frames: int,
) -> tuple[Float[Tensor, "BF heads c H W"], list[Found]]:
    """What `ReferenceCopy` finds in the references, of several branches the weighted sum; and where each of
    them has it from.

    Args:
        frames: of each clip.

    Raises:
        ValueError: a branch was projected by a network without `ReferenceCopy`.
    """
    sources = [branch.source for branch in references.branches if branch.source is not None]
    if len(sources) < len(references.branches):
        raise ValueError("the references have nothing to copy from: they are of another network")
    found = [copy.steady_places(copy.find(hidden, positions, source), frames) for source in sources]
    copies = [copy.fetch(place, source) for place, source in zip(found, sources, strict=True)]
    return references.blend(copies), found


def _select(keep: Bool[Tensor, "B N"]) -> tuple[Int[Tensor, "B R"], Bool[Tensor, "B R"]]:
    """Places of the tokens that take part, as many as the fullest sample of the batch has, and which of
    these places are mere padding in the others."""
    kept = keep.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, : int(keep.sum(1).max())]
    return kept, ~keep.gather(1, kept)


def _keys_values(attn: Attention, tokens: Tensor) -> tuple[Tensor, Tensor]:
    to_k, to_v = cast(nn.Module, attn.to_k), cast(nn.Module, attn.to_v)  # None only in layers without keys
    return to_k(tokens), to_v(tokens)


def _split_heads(tokens: Float[Tensor, "B N inner"], heads: int) -> Float[Tensor, "B heads N D"]:
    return tokens.unflatten(2, (heads, -1)).transpose(1, 2)


def _per_frame(tensor: Float[Tensor, "B ..."], frames: int) -> Float[Tensor, "BF ..."]:
    return tensor if frames == 1 else tensor.repeat_interleave(frames, 0)
