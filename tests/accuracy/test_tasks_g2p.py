from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sim.accuracy.recipe import recipe
from sim.accuracy.tasks.g2p import LETTERS, MOST_SOUNDS, SOUNDS, Pronouncer, Pronunciations, dictionary

WORDS = ["abc", "a", "hwgen", "can't", "abcdefghijklmnopqrst"]


def arrays(seed: int, end: float) -> dict[str, np.ndarray]:
    """A small checkpoint; ``end`` is the bias of the sound that ends a word."""
    rng = np.random.default_rng(seed)
    size = 8
    found = {"enc_emb": rng.normal(size=(len(LETTERS), size)), "dec_emb": rng.normal(size=(len(SOUNDS), size))}
    for which in ("enc", "dec"):
        for part in ("ih", "hh"):
            found[f"{which}_w_{part}"] = rng.normal(size=(3 * size, size))
            found[f"{which}_b_{part}"] = rng.normal(size=3 * size)
    found["fc_w"], found["fc_b"] = rng.normal(size=(len(SOUNDS), size)), rng.normal(size=len(SOUNDS)) / 2
    found["fc_b"][3] += end
    return {name: values.astype(np.float32) for name, values in found.items()}


def oracle(found: dict[str, np.ndarray], word: str) -> list[str]:
    """A word on its own, with torch's own cell."""
    cells = {}
    for which in ("enc", "dec"):
        cells[which] = torch.nn.GRUCell(8, 8)
        for part in ("ih", "hh"):
            getattr(cells[which], f"weight_{part}").data = torch.from_numpy(found[f"{which}_w_{part}"])
            getattr(cells[which], f"bias_{part}").data = torch.from_numpy(found[f"{which}_b_{part}"])
    h = torch.zeros(8)
    for letter in [*word, "</s>"]:
        number = LETTERS.index(letter) if letter in LETTERS else LETTERS.index("<unk>")
        h = cells["enc"](torch.from_numpy(found["enc_emb"][number]), h)
    said: list[str] = []
    last = "<s>"
    while len(said) < MOST_SOUNDS:
        h = cells["dec"](torch.from_numpy(found["dec_emb"][SOUNDS.index(last)]), h)
        last = SOUNDS[int((found["fc_w"] @ h.detach().numpy() + found["fc_b"]).argmax())]
        if last == "</s>":
            break
        said.append(last)
    return said


@pytest.mark.parametrize("end", [2.5, -100.0])
def test_network(end: float) -> None:
    """All words at once are as each on its own: short, long, with unknown letters, without an end."""
    found = arrays(2, end)
    got = Pronouncer(found)(WORDS)
    assert got == [oracle(found, word) for word in WORDS]
    lengths = {len(sounds) for sounds in got}
    assert (len(lengths) > 1 and MOST_SOUNDS in lengths) if end > 0.0 else lengths == {MOST_SOUNDS}


def test_sounds() -> None:
    assert (len(LETTERS), len(SOUNDS)) == (29, 74)
    assert SOUNDS[:7] == ("<pad>", "<unk>", "<s>", "</s>", "AA0", "AA1", "AA2")
    assert SOUNDS[-8:] == ("UW", "UW0", "UW1", "UW2", "V", "W", "Y", "Z", "ZH")[-8:]


def test_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "x.dict"
    path.write_text("'bout B AW1 T\na AH0\na(2) EY1\na.m. EY2 EH1 M\nb B IY1 # a note\nb-52 B\n", encoding="utf-8")
    assert dictionary(path) == {"a": ["AH0"], "b": ["B", "IY1"]}


def test_few_words(fetched: Callable[[str], None]) -> None:
    fetched("g2p")
    task = Pronunciations()
    task.words = 200
    found = {name: task.measure(recipe({"weights": name} if name else {})) for name in ("", "int8", "int3")}
    assert found[""]["bits_per_weight"] == 32.0
    assert found["int8"]["bits_per_weight"] == 8.125
    assert found[""]["word_accuracy"] == pytest.approx(0.69, abs=0.1)
    assert found["int8"]["word_accuracy"] == pytest.approx(found[""]["word_accuracy"], abs=0.02)
    assert found["int3"]["word_accuracy"] < found[""]["word_accuracy"] - 0.1
    assert task.measure(recipe({"weights": "int3"})) == found["int3"]
    # What GPTQ learns from words between those that are measured helps with these.
    assert task.measure(recipe({"weights": "int3"}, "gptq"))["phoneme_match"] > found["int3"]["phoneme_match"] + 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("formats", "words", "match"),
    [
        ({}, 0.6890, 0.9178),
        ({"weights": "int8"}, 0.6895, 0.9176),
        ({"weights": "int4"}, 0.6405, 0.9070),
        ({"weights": "int4.asymmetric"}, 0.6380, 0.9046),
        ({"weights": "fp4_e2m1"}, 0.6635, 0.9093),
        ({"weights": "bitmod_fp4"}, 0.6645, 0.9090),
        ({"weights": "int3"}, 0.4790, 0.8519),
        ({"weights": "int3.asymmetric"}, 0.5645, 0.8809),
        ({"weights": "bitmod_fp3"}, 0.5830, 0.8878),
        ({"weights": "int2.asymmetric"}, 0.1710, 0.6981),
    ],
)
def test_figures_of_another_implementation(
    formats: dict[str, str], words: float, match: float, fetched: Callable[[str], None]
) -> None:
    """Measured once with other code on 2,000 other words: three standard errors of each of both samples."""
    fetched("g2p")
    found = Pronunciations().measure(recipe(formats))
    error = (2 * words * (1 - words) / 2000) ** 0.5
    assert found["word_accuracy"] == pytest.approx(words, abs=3 * error)
    assert found["phoneme_match"] == pytest.approx(match, abs=0.013)
