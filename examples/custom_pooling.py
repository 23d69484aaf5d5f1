"""Train with a pooling of your own: the maximum over the residues of a protein.

    python examples/custom_pooling.py proteins.fasta runs/max

A pooling that is registered works by its name, on the command line, too:

    cd examples && protbert-classify predict --plugins custom_pooling --model runs/max --input x.fasta --output x.csv
"""

import sys
from typing import Any

import torch
from torch import nn
from transformers import set_seed

from protbert_classify import ProteinClassifier, ProteinTrainer, ProteinTrainingArguments, load_proteins
from protbert_classify.model.pooling import POOLINGS


@POOLINGS.register("max")
class MaxPooling(nn.Module):
    """The largest value of each hidden feature over the residues."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.output_size = config.hidden_size

    def forward(self, output: Any, mask: torch.Tensor) -> torch.Tensor:
        hidden = output.last_hidden_state  # (B, T, H)
        outside = ~mask[..., None]  # (B, T, 1): padding and special tokens
        return hidden.masked_fill(outside, torch.finfo(hidden.dtype).min).amax(1)  # (B, H)


def main(source: str, output_dir: str, backbone: str = "facebook/esm2_t6_8M_UR50D") -> None:
    set_seed(42)  # the weights of the new head
    proteins = load_proteins(source)
    labels = proteins["train"].features["location"].names
    model = ProteinClassifier.from_pretrained(backbone, labels=labels, pooling="max")
    trainer = ProteinTrainer(
        model,
        ProteinTrainingArguments(output_dir=output_dir, num_train_epochs=3, learning_rate=1e-4),
        train_dataset=proteins["train"],
        eval_dataset=proteins["validation"],
    )
    trainer.train()
    print(trainer.evaluate())
    trainer.save_model(f"{output_dir}/model")


if __name__ == "__main__":
    main(*sys.argv[1:])
