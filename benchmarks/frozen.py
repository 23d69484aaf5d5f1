"""What a frozen backbone's kept embeddings are worth: `python -m benchmarks.frozen`.

Training the head of a 4-layer ProtBERT-shaped network on 160 proteins of DeepLoc's lengths, through the Trainer: with
the backbone run in every epoch, and with each protein embedded once, which is counted in.
"""

import os
import sys
import tempfile
import time
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value, disable_progress_bars

from benchmarks.reporting import markdown_table, publish
from benchmarks.schemes import deeploc_lengths, network, quartiles, random_proteins
from protbert_classify.training.embedding_cache import EmbeddingCollator, embed
from protbert_classify.training.trainer import ProteinTrainer
from protbert_classify.training.training_arguments import ProteinTrainingArguments

SHAPE = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
CAP, PROTEINS, EPOCHS, REPEATS = 512, 160, 5, 7


def main() -> int:
    disable_progress_bars()
    os.environ["TQDM_DISABLE"] = "1"
    lengths = deeploc_lengths(PROTEINS, CAP)
    rows = [{**protein, "length": len(protein["input_ids"])} for protein in random_proteins(lengths)]
    features = Features({"input_ids": List(Value("uint8")), "labels": Value("int64"), "length": Value("int32")})
    encoded = Dataset.from_list(rows, features=features).with_format("numpy")
    seconds: dict[str, list[float]] = {"the backbone in every epoch": [], "each protein embedded once": []}
    for _ in range(REPEATS):
        for name, found in seconds.items():
            start = time.perf_counter()
            _train(encoded, name == "each protein embedded once")
            found.append(time.perf_counter() - start)
    middle = {name: quartiles(found)[1] for name, found in seconds.items()}
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    table = markdown_table(
        ["head of a frozen backbone", f"seconds for {EPOCHS} epochs", "ratio"],
        [
            [name, f"{middle[name]:.1f}", f"{quartiles(ratios)[1] if index else 1:.2f}"]
            for index, name in enumerate(seconds)
        ],
    )
    publish("frozen", "A frozen backbone", {"seconds": seconds, "epochs": EPOCHS, "ratios": ratios}, table)
    return 0


def _train(encoded: Dataset, keep: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = network(CAP, **SHAPE)
        model.config.freeze_backbone = True
        model._freeze()
        options: dict[str, Any] = {"use_cpu": True, "eval_strategy": "no", "save_strategy": "no", "disable_tqdm": True}
        options |= {"load_best_model_at_end": False, "num_train_epochs": EPOCHS, "logging_strategy": "no"}
        arguments = ProteinTrainingArguments(output_dir=folder, **options)
        data = embed(model, encoded, cache_root=folder) if keep else encoded
        collator = EmbeddingCollator() if keep else None
        trainer = ProteinTrainer(model, arguments, train_dataset=data, data_collator=collator)
        trainer.train()
        assert np.isfinite(trainer.state.log_history[-1]["train_loss"])


if __name__ == "__main__":
    sys.exit(main())
