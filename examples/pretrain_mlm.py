"""Train an encoder further on your own unlabelled proteins, before it is fine-tuned.

    python examples/pretrain_mlm.py proteome.fasta runs/domain
    python examples/train.py --data labelled.fasta --model_name_or_path runs/domain/model --output_dir runs/mine

`protbert-classify pretrain` does the same, and also records what is needed to repeat it.
"""

import sys

import torch
from transformers import AutoModelForMaskedLM, set_seed

from protbert_classify import MaskedLMTrainer, PretrainingArguments, ProteinClassifier, load_unlabelled
from protbert_classify.commands import run_guarded


def main(source: str, output_dir: str, encoder: str = "facebook/esm2_t6_8M_UR50D") -> None:
    set_seed(42)

    # 1. The proteins, each once. Give test proteins of a later fine-tuning as exclude=["test.fasta"]
    proteins = load_unlabelled(source, validation=0.05)

    # 2. An encoder with its masked-language head
    model = AutoModelForMaskedLM.from_pretrained(encoder, dtype=torch.float32)

    # 3. Train: in each epoch, other residues are masked
    trainer = MaskedLMTrainer(
        model,
        PretrainingArguments(output_dir, num_train_epochs=3),
        train_dataset=proteins["train"],
        eval_dataset=proteins.get("validation"),
    )
    trainer.train()
    trainer.save_model(f"{output_dir}/model")

    # 4. The result is an encoder as any other
    classifier = ProteinClassifier.from_pretrained(f"{output_dir}/model", labels=["Cytoplasm", "Nucleus"])
    if trainer.is_world_process_zero():
        print(f"{output_dir}/model: {classifier.backbone.num_parameters():,} parameters, ready to be fine-tuned")


if __name__ == "__main__":
    sys.exit(run_guarded("pretrain_mlm.py", lambda: main(*sys.argv[1:])))
