"""Hadamard rotation of the input: outliers are spread over all numbers, of inputs and of weights."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg
import torch
from torch import Tensor

from hwgen.errors import HwgenError
from hwgen.options import option
from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, register
from sim.accuracy.methods.common import checked, follow, set_calibrated
from sim.accuracy.operand import OperandFormat

__all__ = ["Hadamard", "Rotation", "hadamard_matrix", "rotation"]

_LARGEST_ORDER = 256
"""Of a matrix beside the power of two, in a search for one."""


@dataclass(frozen=True)
class Rotation:
    """An orthogonal matrix Q [K, K], block-diagonal, of equal blocks S · (A ⊗ H): x Q of signs S and two small factors.

    Attributes
    ----------
    signs : ±1 [K]. small : A, orthogonal [m, m]. power : H, ±1 [n, n], a Hadamard matrix of a power of two, without its
    factor 1/√n; a block has m·n columns.
    """

    signs: Tensor
    small: Tensor
    power: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """[..., K] to x Q, of the same type."""
        m, n = len(self.small), len(self.power)
        parts = (x * self.signs.to(x)).reshape(*x.shape[:-1], -1, m, n)
        # Large products of matrices, not many small ones.
        turned = ((parts @ self.power.to(x)).transpose(-1, -2).contiguous() @ self.small.to(x)).transpose(-1, -2)
        found: Tensor = (turned * float(n**-0.5)).reshape(x.shape)
        return found


@register
@dataclass(frozen=True)
class Hadamard(Method):
    """Rotate the input, and the weights against it, by a Hadamard matrix with random signs.

    QuaRot (NeurIPS'24, arXiv 2404.00456), section 3: Y = (X Q)(W Q)ᵀ with Q a randomised Hadamard matrix, of
    2ⁿ and, for other sizes, the Kronecker product of 2ⁿ and a known Hadamard matrix, as QuIP# (arXiv 2402.04396): 576 =
    36 · 16 and 1536 = 12 · 128, by Paley's two constructions. Where none is known (up to order 256) the odd factor is a
    random orthogonal matrix. Every input is rotated as it enters, where QuaRot takes most rotations into the weights
    before. `block` makes Q block-diagonal (as MR-GPTQ, arXiv 2509.23202, for block formats). `by` quantises the
    weights; QuaRot's is gptq.
    """

    name = "hadamard"
    calibrated = False

    block: int = option(0, "columns that are rotated together, a divisor of K; 0: all", least=0, most=1 << 20)
    seed: int = option(0, "of the random signs", least=0, most=(1 << 63) - 1)
    by: str = option("rtn", "method that quantises the rotated weights", metavar="METHOD")

    def __post_init__(self) -> None:
        set_calibrated(self, False, self.by)

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        """See `Method`."""
        k = checked(self.name, layers)
        if self.block and k % self.block:
            raise HwgenError(
                f"method {self.name}: block must divide the {k} inputs of {layers[0].name}, not {self.block}"
            )
        turn = rotation(k, self.block, self.seed)
        return follow(self.by, layers, [turn(layer.weights.double()).float() for layer in layers], acts, inputs, turn)


def rotation(k: int, block: int = 0, seed: int = 0) -> Rotation:
    """The rotation of K columns; equal for equal arguments."""
    generator = np.random.default_rng(seed)
    signs = generator.choice(np.array([-1.0, 1.0]), k)
    size = block or k
    order = _small_order(size)
    if order is None:
        order = size // (size & -size)
        # Orthogonal and as likely as any other: signs of the diagonal of R taken into Q.
        q, r = np.linalg.qr(generator.standard_normal((order, order)))
        small = q * np.sign(np.diagonal(r))
    else:
        small = hadamard_matrix(order) / np.sqrt(order)
    power = scipy.linalg.hadamard(size // order).astype(np.float64)
    return Rotation(*(torch.from_numpy(part) for part in (signs, small, power)))


def _small_order(size: int) -> int | None:
    """Least m with size = m · 2ⁿ for which a Hadamard matrix is known; None if there is none."""
    order = size // (size & -size)
    while size % order == 0 and (order == 1 or order <= _LARGEST_ORDER):
        if _known(order):
            return order
        order *= 2
    return None


def _known(order: int) -> bool:
    return order in (1, 2) or _paley(order) != 0


def _paley(order: int) -> int:
    """The prime q of Paley's construction of that order, q + 1 or 2(q + 1); 0 if there is none."""
    if order % 4:
        return 0
    if (order - 1) % 4 == 3 and _prime(order - 1):
        return order - 1
    half = order // 2 - 1
    return half if half % 4 == 1 and _prime(half) else 0


def _prime(number: int) -> bool:
    return number > 1 and all(number % other for other in range(2, int(number**0.5) + 1))


@functools.cache
def hadamard_matrix(order: int) -> npt.NDArray[np.float64]:
    """±1 [order, order] with orthogonal rows: 1, 2, or Paley's (1933) of a prime q, q + 1 or 2(q + 1).

    Raises `HwgenError` for other orders.
    """
    if order in (1, 2):
        return np.array([[1.0, 1.0], [1.0, -1.0]])[:order, :order]
    q = _paley(order)
    if not q:
        raise HwgenError(f"hadamard_matrix: order must be 1, 2, or p + 1 or 2(p + 1) of a prime p, not {order}")
    squares = {place * place % q for place in range(1, q)}
    character = np.array([0.0 if not place else 1.0 if place in squares else -1.0 for place in range(q)])
    jacobsthal = character[(np.arange(q)[:, None] - np.arange(q)) % q]
    bordered = np.zeros((q + 1, q + 1))
    bordered[0, 1:] = 1.0
    bordered[1:, 1:] = jacobsthal
    if q % 4 == 3:
        bordered[1:, 0] = -1.0
        return bordered + np.eye(q + 1)
    bordered[1:, 0] = 1.0
    return np.kron(bordered, [[1.0, 1.0], [1.0, -1.0]]) + np.kron(np.eye(q + 1), [[1.0, -1.0], [-1.0, -1.0]])
