"""Batches for masked-language modelling: proteins cropped at random, some residues masked, padded.

Shapes: B proteins, T tokens of the longest.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from ..errors import ModelError
from ..model.tasks import IGNORED
from .alphabet import LETTERS, STANDARD
from .collators import PaddingCollator
from .encoder import ProteinEncoder

# BERT's (Devlin et al. 2019, doi:10.18653/v1/N19-1423, section 3.1), which ProtBERT, ESM-1b and ESM-2 took over
MASK_SHARE = 0.15  # of the residues that are predicted
TO_MASK, TO_RANDOM = 0.8, 0.1  # of these, what becomes the mask and another residue; the rest stays
UNKNOWN = "X"  # stands for any residue: nothing can be learned from predicting it


class MaskingCollator(PaddingCollator):
    """Crops encoded proteins, masks residues and pads, differently in each epoch.

    Of each protein, a share of the residues is to be predicted, at least one. 80% of these are replaced by the mask,
    10% by a random one of the 20 residues, and 10% stay. Special tokens, padding and X are never among them.

    The draw depends on the seed, the epoch and the protein, and on nothing else: neither on the batch nor on the
    process. So a resumed run sees what an undisturbed one would, and accumulation and several processes change nothing.

    Args:
        tokenizer: Of the backbone, with a mask token.
        max_length: Tokens of a protein, at most, special ones included. A random part of a longer one is taken; it has
            the special tokens at its ends, as cropped proteins have in fine-tuning.
        share: Of the residues to predict, above 0 and up to 1.
        seed: Of the draw.
        pad_to_multiple_of: See [`PaddingCollator`].

    Raises:
        ModelError: The tokenizer has no mask token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        *,
        share: float = MASK_SHARE,
        seed: int = 0,
        pad_to_multiple_of: int | None = None,
    ) -> None:
        if tokenizer.mask_token_id is None:
            raise ModelError("the tokenizer has no mask token; expected that of a model with a masked-language head")
        super().__init__(tokenizer.pad_token_id or 0, pad_to_multiple_of, max_length)
        encoder = ProteinEncoder(tokenizer, max_length)
        self.special = len(encoder.prefix), len(encoder.suffix)
        self.room = max_length - sum(self.special)  # residues of a protein, at most
        self.share, self.seed = share, seed
        self.mask = tokenizer.mask_token_id
        self.standard = np.frombuffer(STANDARD.encode().translate(encoder.table), np.uint8)
        self.known = np.zeros(256, dtype=bool)  # by id: whether it is of a residue to predict
        self.known[np.frombuffer(LETTERS.encode().translate(encoder.table), np.uint8)] = True
        self.known[encoder.table[ord(UNKNOWN)]] = False
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # the loader's processes see it change

    @property
    def epoch(self) -> int:
        """The epoch whose draw is made."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    def __call__(self, proteins: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """
        Args:
            proteins: Each with `input_ids`, of the whole protein and with its special tokens.

        Returns:
            `input_ids` (B, T), `attention_mask` (B, T) and `labels` (B, T), int64; `labels` has the id of each residue
            to predict, and -100 elsewhere.
        """
        drawn = [self._draw(np.asarray(protein["input_ids"], dtype=np.uint8)) for protein in proteins]
        batch = super().__call__([{"input_ids": ids} for ids, _ in drawn])
        labels = torch.full_like(batch["input_ids"], IGNORED)
        for row, (_, wanted) in enumerate(drawn):
            labels[row, : len(wanted)] = torch.from_numpy(wanted)
        return {**batch, "labels": labels}

    def _draw(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T,) token ids as the model sees them, and (T,) labels."""
        generator = np.random.default_rng((self.seed, self.epoch, zlib.crc32(ids.tobytes())))
        whole = self._cropped(ids, generator).astype(np.int64)
        candidates = np.flatnonzero(self.known[whole])
        count = min(len(candidates), max(1, round(self.share * len(candidates))))
        chosen = generator.choice(candidates, count, replace=False)
        labels = np.full(len(whole), IGNORED)
        labels[chosen] = whole[chosen]
        masked, fate = whole.copy(), generator.random(count)
        masked[chosen[fate < TO_MASK]] = self.mask
        replaced = chosen[fate >= 1 - TO_RANDOM]
        masked[replaced] = generator.choice(self.standard, len(replaced))
        return masked, labels

    def _cropped(self, ids: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        before, after = self.special
        surplus = len(ids) - before - after - self.room
        if surplus <= 0:
            return ids
        start = before + int(generator.integers(surplus + 1))
        return np.concatenate([ids[:before], ids[start : start + self.room], ids[len(ids) - after :]])
