"""Train a light-attention head on a frozen backbone: each protein is embedded once, and an epoch takes seconds.

    python examples/frozen_backbone.py proteins.fasta runs/frozen

The embeddings are kept on disk: another head, or another number of epochs, starts at once.
"""

import sys

from transformers import set_seed

from protbert_classify import ProteinClassifier, ProteinTrainer, ProteinTrainingArguments, load_proteins


def main(source: str, output_dir: str, backbone: str = "facebook/esm2_t6_8M_UR50D") -> None:
    set_seed(42)  # the weights of the new head
    proteins = load_proteins(source)
    model = ProteinClassifier.from_pretrained(
        backbone,
        labels=proteins["train"].features["location"].names,
        pooling="light_attention",
        freeze_backbone=True,
    )
    trainer = ProteinTrainer(
        model,
        ProteinTrainingArguments(
            output_dir=output_dir, num_train_epochs=20, learning_rate=1e-3, per_device_train_batch_size=32
        ),
        train_dataset=proteins["train"],
        eval_dataset=proteins["validation"],
    )
    trainer.train()
    print(trainer.evaluate())
    trainer.save_model(f"{output_dir}/model")


if __name__ == "__main__":
    main(*sys.argv[1:])
