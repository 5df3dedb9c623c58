from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from sim.accuracy.recipe import recipe
from sim.accuracy.tasks.sentences import SentenceEncoder, Sentences
from sim.models.weights import open_model

WIDTH, FFN, HEADS, BLOCKS, TOKENS, POSITIONS = 16, 24, 4, 2, 20, 10
LINEARS = {"attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH)}
LINEARS |= {"attention.self.value": (WIDTH, WIDTH), "attention.output.dense": (WIDTH, WIDTH)}
LINEARS |= {"intermediate.dense": (FFN, WIDTH), "output.dense": (WIDTH, FFN)}


def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    found = {
        f"embeddings.{n}_embeddings.weight": rng.normal(size=(rows, WIDTH))
        for n, rows in (("word", TOKENS), ("position", POSITIONS), ("token_type", 2))
    }
    norms = ["embeddings.LayerNorm"]
    for block in range(BLOCKS):
        at = f"encoder.layer.{block}."
        for name, (n, k) in LINEARS.items():
            found[f"{at}{name}.weight"], found[f"{at}{name}.bias"] = rng.normal(size=(n, k)) / 2, rng.normal(size=n)
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
    for name in norms:
        found[f"{name}.weight"], found[f"{name}.bias"] = rng.uniform(0.5, 2, WIDTH), rng.normal(size=WIDTH)
    return {name: values.astype(np.float32) for name, values in found.items()}


def oracle(found: dict[str, np.ndarray], tokens: list[int]) -> np.ndarray:
    """The embedding in float64, head by head and position by position."""
    t = {name: values.astype(np.float64) for name, values in found.items()}
    size = WIDTH // HEADS

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        return (x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean() + 1e-12) * t[f"{name}.weight"] + t[f"{name}.bias"]

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return t[f"{name}.weight"] @ x + t[f"{name}.bias"]

    hidden = [
        norm(
            "embeddings.LayerNorm",
            t["embeddings.word_embeddings.weight"][token]
            + t["embeddings.position_embeddings.weight"][place]
            + t["embeddings.token_type_embeddings.weight"][0],
        )
        for place, token in enumerate(tokens)
    ]
    for block in range(BLOCKS):
        at = f"encoder.layer.{block}."
        q, k, v = ([linear(f"{at}attention.self.{n}", x) for x in hidden] for n in ("query", "key", "value"))
        behind = []
        for place, x in enumerate(hidden):
            mixed = np.zeros(WIDTH)
            for head in range(HEADS):
                part = slice(head * size, (head + 1) * size)
                shares = np.array([math.exp(q[place][part] @ key[part] / math.sqrt(size)) for key in k])
                mixed[part] = sum(share * value[part] for share, value in zip(shares / shares.sum(), v, strict=True))
            x = norm(f"{at}attention.output.LayerNorm", x + linear(f"{at}attention.output.dense", mixed))
            up = np.array([u / 2 * (1 + math.erf(u / math.sqrt(2))) for u in linear(f"{at}intermediate.dense", x)])
            behind.append(norm(f"{at}output.LayerNorm", x + linear(f"{at}output.dense", up)))
        hidden = behind
    mean = sum(hidden) / len(hidden)
    return np.asarray(mean / np.linalg.norm(mean))


def test_encoder(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(tensors(), path)
    texts = [[3, 1, 4, 1, 5], [9], [2, 6, 5, 3, 5, 8, 9, 7, 9, 3]]
    got = SentenceEncoder(open_model(path), HEADS)(texts).numpy()
    assert np.allclose(got, [oracle(tensors(), tokens) for tokens in texts], atol=1e-5)


def test_few_short_items(fetched: Callable[[str], None]) -> None:
    fetched("sentences")
    task = Sentences()
    task.items, task.length, task.calibration_items = 6, 12, 1
    assert [len(tokens) for tokens in task._tokens()] == [12] * 7
    exact, stored = task.measure(recipe({})), task.measure(recipe({"weights": "int4"}))
    assert exact == {"cosine": pytest.approx(1.0, abs=1e-6), "neighbours_kept": 1.0, "bits_per_weight": 32.0}
    assert 0.8 < stored["cosine"] < 0.99
    assert stored["bits_per_weight"] == 4.125


@pytest.mark.slow
@pytest.mark.parametrize(
    ("formats", "cosine", "kept"),
    [
        ({"weights": "int8"}, 0.9997, 0.97),
        ({"weights": "int4"}, 0.9244, 0.79),
        ({"weights": "fp4_e2m1"}, 0.9552, 0.82),
        ({"weights": "bitmod_fp3"}, 0.8481, 0.71),
    ],
)
def test_figures_of_another_implementation(
    formats: dict[str, str], cosine: float, kept: float, fetched: Callable[[str], None]
) -> None:
    """Measured once with other code on the same items; one item is 0.01."""
    fetched("sentences")
    found = Sentences().measure(recipe(formats))
    assert found["cosine"] == pytest.approx(cosine, abs=0.002)
    assert found["neighbours_kept"] == pytest.approx(kept, abs=0.035)
