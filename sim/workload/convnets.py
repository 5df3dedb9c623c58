"""Residual and inverted-residual convolutional networks as operators, from their stages."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from sim.workload.operators import Operator, Size
from sim.workload.workload import Workload

__all__ = ["conv", "mobilenet_v2", "resnet"]


def conv(name: str, role: str, pixels: int, outputs: int, inputs: int, kernel: int, groups: int = 1) -> Operator:
    """A convolution of ``pixels`` output positions a picture; channels of all groups."""
    return Operator(
        name,
        role,
        Size(pixels, "batch"),
        Size(outputs // groups),
        Size(inputs // groups * kernel * kernel),
        copies=groups,
        groups=groups,
    )


def _workload(
    name: str, operators: Sequence[Operator], features: int, classes: int, source: str, published: int | None
) -> Workload:
    """Convolutions, each followed by a batch norm (weight and bias of every output), and a classifier."""
    norms = sum(2 * one.n.times * one.copies for one in operators)
    head = Operator("head", "head", Size(1, "batch"), Size(classes), Size(features))
    others = MappingProxyType({"norms": norms, "biases": classes})
    return Workload(name, (*operators, head), ("vision",), None, others, (), source, published)


def resnet(
    name: str,
    blocks: Sequence[int],
    *,
    bottleneck: bool,
    image: int = 224,
    classes: int = 1000,
    source: str = "",
    published: int | None = None,
) -> Workload:
    """ResNet (He et al., arXiv:1512.03385, table 1) with the stride in the 3x3 convolution, as torchvision has it."""
    side = image // 2
    found = [conv("conv1", "conv.stem", side * side, 64, 3, 7)]
    side //= 2  # pooling
    inputs, expansion = 64, 4 if bottleneck else 1
    for stage, depth in enumerate(blocks):
        width = 64 << stage
        for block in range(depth):
            stride = 2 if stage and not block else 1
            out = side // stride
            outer, at = width * expansion, f"layer{stage + 1}.{block}"
            if bottleneck:
                found += [
                    conv(f"{at}.conv1", "conv.reduce", side * side, width, inputs, 1),
                    conv(f"{at}.conv2", "conv.spatial", out * out, width, width, 3),
                    conv(f"{at}.conv3", "conv.expand", out * out, outer, width, 1),
                ]
            else:
                found += [
                    conv(f"{at}.conv1", "conv.spatial", out * out, width, inputs, 3),
                    conv(f"{at}.conv2", "conv.spatial", out * out, width, width, 3),
                ]
            if stride > 1 or inputs != outer:
                found.append(conv(f"{at}.downsample", "conv.shortcut", out * out, outer, inputs, 1))
            side, inputs = out, outer
    return _workload(name, found, inputs, classes, source, published)


def mobilenet_v2(
    name: str,
    stages: Sequence[Sequence[int]],
    *,
    stem: int = 32,
    last: int = 1280,
    image: int = 224,
    classes: int = 1000,
    source: str = "",
    published: int | None = None,
) -> Workload:
    """MobileNetV2 (Sandler et al., arXiv:1801.04381, table 2): ``stages`` of (expansion, channels, blocks, stride)."""
    side = image // 2
    found = [conv("stem", "conv.stem", side * side, stem, 3, 3)]
    inputs, number = stem, 0
    for expansion, channels, blocks, first in stages:
        for block in range(blocks):
            out, inside = side // (first if not block else 1), inputs * expansion
            at = f"block{number}"
            if expansion > 1:
                found.append(conv(f"{at}.expand", "conv.expand", side * side, inside, inputs, 1))
            found += [
                conv(f"{at}.depthwise", "conv.depthwise", out * out, inside, inside, 3, inside),
                conv(f"{at}.project", "conv.project", out * out, channels, inside, 1),
            ]
            side, inputs, number = out, channels, number + 1
    found.append(conv("last", "conv.last", side * side, last, inputs, 1))
    return _workload(name, found, last, classes, source, published)
