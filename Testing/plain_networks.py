"""The networks once more, as the papers' equations read: what ours are compared with, in result and in speed.

Nothing is rearranged. 3×3 neighbourhoods are unfolded into nine times as many channels and resampled to the output
before the 1×1 convolution that follows; waves are made at every corner; patches are matched as unfolded vectors.
Weights are the network's own, by their names in its `state_dict`: only `fuse_in` and the first layers of the skips are
read in another shape, (·, G, 3, 3) as (·, 9G, 1, 1). Whole slices, with a reference, without a base.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from MultiContrastSRLib.networks.positions import Positions


class Weights:
    """A network's weights by name."""

    def __init__(self, net: nn.Module) -> None:
        self.spec, self._of = net.spec, net.state_dict()

    def __getitem__(self, name: str) -> Tensor:
        return self._of[name]

    def conv(self, name: str, x: Tensor) -> Tensor:
        """The convolution called so, 1×1 or 3×3, size kept."""
        weight = self[f"{name}.weight"]
        return F.conv2d(x, weight, self._of.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def on_unfolded(self, name: str, x: Tensor) -> Tensor:
        """A 3×3 convolution as the 1×1 convolution of unfolded features."""
        return F.conv2d(x, self[f"{name}.weight"].flatten(1)[:, :, None, None], self[f"{name}.bias"])

    def linear(self, name: str, x: Tensor) -> Tensor:
        """The linear layer called so, (B, ·)."""
        return F.linear(x, self[f"{name}.weight"], self._of.get(f"{name}.bias"))


@torch.no_grad()
def plain(net: nn.Module, target: Tensor, reference: Tensor, positions: Positions) -> Tensor:
    """What `net(target, reference, positions)` returns; MINet's positions are always those of its own lattice."""
    weights = Weights(net)
    if net.spec.network == "minet":
        return minet(weights, target, reference)
    if net.spec.network == "dinet":
        return dinet(weights, target, reference, positions)
    return dual_arbnet(weights, target, reference, positions)[0]


# ------------------------------------------------------------------ what several share


def read(x: Tensor, rows: Tensor, cols: Tensor, mode: str) -> Tensor:
    """x (B, C, h, w) at fractional pixels rows (H,) and cols (W,): (B, C, H, W). Bilinearly by torch's own sampler."""
    if mode == "nearest":
        index = [(p + 0.5).floor().clamp(0, n - 1).long() for p, n in zip((rows, cols), x.shape[2:], strict=True)]
        return x.index_select(2, index[0]).index_select(3, index[1])
    u, v = ((2 * p + 1) / n - 1 for p, n in ((cols, x.shape[3]), (rows, x.shape[2])))  # −1 to 1 between outer edges
    grid = torch.stack(torch.meshgrid(v, u, indexing="ij")[::-1], dim=-1).to(x.dtype)
    return F.grid_sample(x, grid.expand(len(x), -1, -1, -1), mode, padding_mode="border", align_corners=False)


def unfolded(x: Tensor) -> Tensor:
    """(B, 9C, h, w), order channel·9 + tap."""
    return F.unfold(x, 3, padding=1).view(len(x), -1, *x.shape[2:])


def rdn(w: Weights, name: str, x: Tensor, blocks: int, layers: int) -> Tensor:
    """Zhang et al., CVPR 2018, Eqs. 1–8."""
    first = w.conv(f"{name}.shallow1", x)
    x = w.conv(f"{name}.shallow2", first)
    outputs = []
    for d in range(blocks):
        known = [x]
        for c in range(layers):
            known.append(w.conv(f"{name}.blocks.{d}.layers.{c}", torch.cat(known, dim=1)).relu())
        x = w.conv(f"{name}.blocks.{d}.fusion", torch.cat(known, dim=1)) + x
        outputs.append(x)
    return w.conv(f"{name}.fusion.1", w.conv(f"{name}.fusion.0", torch.cat(outputs, dim=1))) + first


def residual_group(w: Weights, name: str, x: Tensor, blocks: int) -> Tensor:
    """Zhang et al., ECCV 2018, Eqs. 5, 9, 10, 12."""
    z = x
    for b in range(blocks):
        y = w.conv(f"{name}.blocks.{b}.conv2", w.conv(f"{name}.blocks.{b}.conv1", z).relu())
        pooled = y.mean((2, 3), keepdim=True)
        gate = w.conv(f"{name}.blocks.{b}.attention.squeeze", pooled).relu()
        z = y * w.conv(f"{name}.blocks.{b}.attention.excite", gate).sigmoid() + z
    return w.conv(f"{name}.conv", z) + x


# ------------------------------------------------------------------ Dual-ArbNet


def dual_arbnet(w: Weights, target: Tensor, reference: Tensor, p: Positions) -> tuple[Tensor, Tensor]:
    """Target and reference image: unfold, resample 9G channels each, concatenate, fuse, modulate the query."""
    spec, g = w.spec, w.spec.features
    codes = [rdn(w, "encoder", (x - 0.5) / 0.5, spec.blocks, spec.layers) for x in (target, reference)]
    t = read(unfolded(codes[0]), *p.in_target, spec.alignment)
    r = read(unfolded(codes[1]), *p.in_reference, spec.alignment)
    rel = [2 * (v - (v + 0.5).floor().clamp(0, n - 1)) for v, n in zip(p.in_target, target.shape[2:], strict=True)]
    rows, cols = (m.to(target) for m in torch.meshgrid(*rel, indexing="ij"))
    ratios = [torch.full_like(rows, math.sqrt(s[0] * s[1])) for s in (p.step_t, p.step_r)]
    q = torch.stack([rows, cols, *ratios])[None]
    paper = spec.modulation == "paper"
    q = q_r = w.conv("query.0", q).sin() if paper else q
    k = torch.cat([t, r], dim=1)
    for i in range(spec.fusion_layers):
        k = (w.on_unfolded("fuse_in", k) if i == 0 else w.conv(f"fuse.{i - 1}", k)).relu()
        y = k
        for c in range(spec.fusion_convs):
            y = w.conv(f"fusion.{i}.convs.{c}", y).relu() + y
        k = cbam(w, f"fusion.{i}.attention", y) + k
        if paper:
            q, q_r = ((w.conv(f"query.{i + 1}", z) * half).sin() for z, half in ((q, k[:, :g]), (q_r, k[:, g:])))
        else:
            q, q_r = (half * w.conv(f"query.{i}", z).sin() for z, half in ((q, k[:, :g]), (q_r, k[:, g:])))
    return tuple(
        0.5 * (w.conv("last", z) + skip(w, f"skip_{name}", features)) + 0.5
        for z, name, features in ((q, "target", t), (q_r, "reference", r))
    )


def cbam(w: Weights, name: str, x: Tensor) -> Tensor:
    """Woo et al., ECCV 2018, Eqs. 1–3."""
    pooled = (x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True))
    gate = sum(w.conv(f"{name}.channel.excite", w.conv(f"{name}.channel.squeeze", s).relu()) for s in pooled)
    x = x * gate.sigmoid()
    summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
    return x * w.conv(f"{name}.spatial", summary).sigmoid()


def skip(w: Weights, name: str, features: Tensor) -> Tensor:
    """A branch's skip, from its unfolded features at the output's positions."""
    x = w.on_unfolded(f"{name}.0", features)
    if w.spec.skip == "paper":
        return x.sin()
    x = w.conv(f"{name}.4", w.conv(f"{name}.2", x.relu()).relu())
    return x.relu() if w.spec.skip == "code" else x


# ------------------------------------------------------------------ DINet


def dinet(w: Weights, target: Tensor, reference: Tensor, p: Positions) -> Tensor:
    """The image, corners blended as features."""
    spec = w.spec
    low, seen = 2 * target - 1, 2 * reference - 1
    x = rdn(w, "target_encoder", low, spec.target_blocks, spec.target_layers)
    head = w.conv("reference_head", seen)
    y = w.conv("reference_body.1", residual_group(w, "reference_body.0", head, spec.reference_blocks)) + head
    x, y = attend(w, *dynamic(w, x, y, p.scale), p)
    small = w.conv("reduce_target", x)
    transferred, similarity = transfer(small, modulate(w, small, w.conv("reduce_reference", y)), spec.radius)
    small = small + w.conv("merge", torch.cat([small, transferred], dim=1)) * similarity
    z = w.conv("expand", small) + x
    for i in (0, 2, 4):
        z = w.conv(f"mlp.{i}", z).relu()
    return (w.conv("mlp.6", z) + read(low, *p.in_target, "bilinear")) / 2 + 0.5


def dynamic(w: Weights, x: Tensor, y: Tensor, scale: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Scale-adaptive dynamic convolution of both branches, one sample after the other."""
    x, y = (z + w.conv("dynamic.kernels.0", z) for z in (x, y))
    query = torch.cat([x.mean((2, 3)) + y.mean((2, 3)), x.new_tensor([scale]).expand(len(x), 2)], dim=1)
    query = w.linear("dynamic.query.2", w.linear("dynamic.query.0", query).relu()).relu()
    shares = (w.linear("dynamic.key", query) / w.spec.temperature).softmax(dim=1)
    branches = []
    for z in (x, y):
        mixed = []
        for sample, own in zip(z, shares, strict=True):
            weight, bias = (
                sum(share * w[f"dynamic.kernels.{k}.{part}"] for k, share in enumerate(own))
                for part in ("weight", "bias")
            )
            mixed.append(F.conv2d(sample[None], weight, bias, padding=1))
        branches.append(z + torch.cat(mixed))
    return branches[0], branches[1]


def attend(w: Weights, x: Tensor, y: Tensor, p: Positions) -> tuple[Tensor, Tensor]:
    """Dual-branch implicit attention: both features at the output's positions."""
    coefficient, frequency = (w.conv(f"attention.{name}", x) for name in ("coefficient", "frequency"))
    value, frequency_r = (
        read(w.conv(f"attention.reference_{name}", y), *p.in_reference, "bilinear") for name in ("value", "frequency")
    )
    phase = w.linear("attention.phase", x.new_tensor([p.step_t]))[:, :, None, None]
    rows, cols = (v.to(x) for v in p.in_target)
    blended = [0.0, 0.0]
    for down in (0, 1):
        for right in (0, 1):
            r, c = rows.floor() + down, cols.floor() + right
            weight = (1 - (rows - r).abs())[:, None] * (1 - (cols - c).abs())
            r, c = r.clamp(0, x.shape[2] - 1), c.clamp(0, x.shape[3] - 1)
            own = [m.index_select(2, r.long()).index_select(3, c.long()) for m in (coefficient, frequency)]
            for branch, (v, k) in enumerate((own, (value, frequency_r))):
                f = math.pi * (k[:, ::2] * (rows - r)[:, None] + k[:, 1::2] * (cols - c) + phase)
                blended[branch] = blended[branch] + weight * (v * torch.cat([f.cos(), f.sin()], dim=1))
    return blended[0], blended[1]


def modulate(w: Weights, target: Tensor, reference: Tensor) -> Tensor:
    """The reference's features, made to look like the target's."""
    rank = w.spec.rank
    channels = w.linear("modulation.channels", target.mean((2, 3))).view(len(target), rank, -1, 1, 1).sigmoid()
    rows, cols = (
        F.conv1d(target.mean(dim), w[f"modulation.{name}.weight"], w[f"modulation.{name}.bias"]).sigmoid()
        for dim, name in ((3, "rows"), (2, "cols"))
    )
    cube = (channels * rows[:, :, None, :, None] * cols[:, :, None, None, :]).mean(1) * target
    gamma = w.conv("modulation.gamma", cube) + target.std((2, 3), keepdim=True)
    beta = w.conv("modulation.beta", cube) + target.mean((2, 3), keepdim=True)
    return F.instance_norm(reference) * gamma + beta


def transfer(target: Tensor, reference: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Hard matching of unfolded 3×3 patches within `radius` pixels; matches folded, overlaps averaged."""
    size = h, w = target.shape[2:]
    patches = F.unfold(reference, 3, padding=1)
    known = F.normalize(patches, dim=1).view(len(target), -1, h, w)
    wanted = F.normalize(F.unfold(target, 3, padding=1), dim=1).view_as(known)
    best = target.new_full((len(target), h, w), -math.inf)
    chosen = torch.zeros_like(best, dtype=torch.long)
    number = torch.arange(h * w).view(h, w)
    reach = range(-radius, radius + 1)
    for dy, dx in sorted(((dy, dx) for dy in reach for dx in reach), key=lambda o: (o[0] ** 2 + o[1] ** 2, o)):
        here = (..., slice(max(-dy, 0), h - max(dy, 0)), slice(max(-dx, 0), w - max(dx, 0)))
        there = (..., slice(max(dy, 0), h - max(-dy, 0)), slice(max(dx, 0), w - max(-dx, 0)))
        score = torch.full_like(best, -math.inf)
        score[here] = (wanted[here] * known[there]).sum(1)
        better = score > best
        best = torch.where(better, score, best)
        moved = torch.zeros_like(chosen)
        moved[here] = number[there]
        chosen = torch.where(better, moved, chosen)
    index = chosen.flatten(1)[:, None]
    present = F.unfold(torch.ones_like(reference), 3, padding=1)
    found, count = (F.fold(x.gather(2, index.expand_as(x)), size, 3, padding=1) for x in (patches, present))
    return found / count, best[:, None]


# ------------------------------------------------------------------ MINet


def minet(w: Weights, target: Tensor, reference: Tensor) -> Tensor:
    """The target's image (Eqs. 2–5)."""
    spec = w.spec
    x = w.conv("target_head.0", target)
    factors = (2, 2) if spec.scale == 4 else (spec.scale,)
    for i, factor in enumerate(factors):
        x = F.pixel_shuffle(w.conv(f"target_head.1.{2 * i}", x), factor)
    x = head = w.conv(f"target_head.1.{2 * len(factors)}", x)
    y = w.conv("reference_head", reference)
    maps, maps_r = [], []
    for i in range(spec.stages + spec.last_stage):
        fused = w.conv(f"fusions.{i}", torch.cat([y, x], dim=1))
        x = fused + x if spec.fusion_skip else fused
        if i < spec.stages:
            x, y = (residual_group(w, f"{b}_stages.{i}", z, spec.blocks) for b, z in (("target", x), ("reference", y)))
        else:
            x, y = w.conv(f"target_stages.{i}", x), w.conv(f"reference_stages.{i}", y)
        maps.append(x)
        maps_r.append(y)
    x = attention(w, "target_attention", x) if spec.attention else x
    if spec.integration:
        x = torch.cat([x, w.conv("integrate", integration(w, torch.stack([*maps_r, *maps], dim=1)))], dim=1)
    return w.conv("target_image", w.conv("target_last", x) + head)


def integration(w: Weights, stages: Tensor) -> Tensor:
    """(B, N, C, H, W) → (B, N·C, H, W): each map plus the others by their likeness to it."""
    flat = stages.flatten(2)
    affinity = torch.einsum("bid,bjd->bij", flat, flat) / flat.shape[2]
    mixed = torch.einsum("bij,bjd->bid", affinity.softmax(dim=2), flat)
    gamma = w["integration.gamma"] if w.spec.gamma else 1.0
    return (gamma * mixed + flat).view_as(stages).flatten(1, 2)


def attention(w: Weights, name: str, x: Tensor) -> Tensor:
    """Channel-spatial attention."""
    gate = F.conv3d(x[:, None], w[f"{name}.conv.weight"], w[f"{name}.conv.bias"], padding=1)[:, 0].sigmoid()
    return x + (w[f"{name}.gamma"] if w.spec.gamma else 1.0) * x * gate
