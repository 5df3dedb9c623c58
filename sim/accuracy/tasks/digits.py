"""Handwritten digits, by a convolutional network that is trained on the spot: a smoke test."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwgen.errors import HwgenError
from hwgen.simulators.cache import cache_path
from sim.accuracy.recipe import Recipe
from sim.accuracy.tasks.base import Task, Watch, register
from sim.accuracy.tasks.layers import store_layers
from sim.models.cache import placed, read_array, write_array

__all__ = ["Digits", "DigitsNet"]


class Convolution(nn.Module):
    """A 3x3 convolution with a border of zeros, as a linear layer of patches: K = 9 channels, in the order of torch."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.linear: nn.Module = nn.Linear(9 * channels, filters)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures [B, C, H, W] to [B, N, H, W]."""
        patches = functional.unfold(x, 3, padding=1).transpose(1, 2)
        y: Tensor = self.linear(patches).transpose(1, 2).unflatten(2, x.shape[2:])
        return y


class DigitsNet(nn.Module):
    """Three convolutions and two linear layers, 121,994 weights and biases."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = Convolution(1, 32), Convolution(32, 64), Convolution(64, 64)
        self.hidden: nn.Module = nn.Linear(1024, 64)
        self.output: nn.Module = nn.Linear(64, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Map pictures [B, 8, 8] to logits [B, 10]."""
        x = functional.relu(self.conv2(functional.relu(self.conv1(pictures[:, None]))))
        x = functional.relu(self.conv3(functional.max_pool2d(x, 2)))
        logits: Tensor = self.output(functional.relu(self.hidden(x.flatten(1))))
        return logits


class Pictures(NamedTuple):
    """Pictures [B, 8, 8] from 0 to 1 and the digits [B] that they show."""

    pixels: Tensor
    digits: Tensor


@register
class Digits(Task):
    """Handwritten digits: share of 719 pictures that a small convolutional network reads right. A smoke test.

    1,797 pictures of 8 x 8 pixels, from scikit-learn (Alpaydin and Kaynak, UCI Machine Learning Repository, 1998), 60 %
    of them to train. The network is trained with a fixed seed, in float64 so that machines agree, and kept in the cache
    folder. One picture is 0.14 %, one standard error 0.5 %: formats above 2 bits cannot be told apart.
    """

    name = "digits"
    package = "scikit-learn"
    epochs = 8
    calibration_pictures = 64

    def _measure(self, recipe: Recipe, watch: Watch) -> dict[str, float]:
        train, test = _pictures()
        model = self.trained(train, watch)
        watch("storing layers", 0, 1)
        size = store_layers(model, recipe, train.pixels[: self.calibration_pictures])
        with torch.inference_mode():
            right = model(test.pixels).argmax(dim=1) == test.digits
        return {"accuracy": float(right.double().mean()), "bits_per_weight": size.bits_per_weight}

    def trained(self, train: Pictures, watch: Watch) -> DigitsNet:
        """The network in float32, from the cache folder if it was trained before."""
        data = hashlib.sha256(train.pixels.numpy().tobytes() + train.digits.numpy().tobytes()).hexdigest()
        key = f"{self.version} {self.epochs} {torch.__version__} {data}"
        kept = cache_path("tasks") / f"digits-{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
        with torch.random.fork_rng(devices=[]):
            model = DigitsNet()
        shapes = [parameter.shape for parameter in model.parameters()]
        flat = read_array(kept)
        if flat is None or flat.shape != (sum(shape.numel() for shape in shapes),) or flat.dtype != np.float32:
            flat = _train(train, self.epochs, watch)
            # A cache folder that cannot be written costs time on the next call and nothing else.
            with suppress(HwgenError), placed(kept) as folder:
                write_array(folder / kept.name, flat)
        nn.utils.vector_to_parameters(torch.from_numpy(flat), model.parameters())
        return model.requires_grad_(False)


def _pictures() -> tuple[Pictures, Pictures]:
    """Those to train with and those to test on."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise HwgenError(
            "task digits: needs the package scikit-learn, which is not installed; pip install 'hwgen[tasks]'"
        ) from error
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    pixels = torch.from_numpy((found.images / 16.0).astype(np.float32)[order])
    digits = torch.from_numpy(found.target.astype(np.int64)[order])
    count = 6 * len(order) // 10
    return Pictures(pixels[:count], digits[:count]), Pictures(pixels[count:], digits[count:])


def _train(train: Pictures, epochs: int, watch: Watch) -> np.ndarray:
    """All parameters of a trained network, float32, one after the other."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DigitsNet().double()
        optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
        pixels = train.pixels.double()
        for epoch in range(epochs):
            watch("training", epoch, epochs)
            for batch in torch.split(torch.randperm(len(pixels)), 32):
                optimiser.zero_grad()
                torch.autograd.backward(functional.cross_entropy(model(pixels[batch]), train.digits[batch]))
                optimiser.step()
        watch("training", epochs, epochs)
    flat: np.ndarray = nn.utils.parameters_to_vector(model.parameters()).detach().numpy().astype(np.float32)
    return flat
