"""The memory that training takes on a GPU, and what `estimate` says of it: `python -m benchmarks.memory`.

Steps of AdamW on 8,192 tokens, random weights, proteins of one length. Padded batches have one padded token, so that
attention takes a mask. Compared is the peak that torch's allocator counts, and what it has reserved for that.
`--render` only writes the table of the last results again.
"""

import argparse
import gc
import sys
from typing import Any

import numpy as np
import torch

from benchmarks.reporting import last_results, markdown_table, publish
from benchmarks.schemes import random_proteins, to
from protbert_classify.cost.step_memory import step_memory
from protbert_classify.data.collators import PackingCollator, PaddingCollator
from protbert_classify.model import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.model.configuration import PROTBERT_SHAPE

TOKENS = 8192
PROTBERT = {**PROTBERT_SHAPE, "max_position_embeddings": 2048}
DROPOUT = {**PROTBERT, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
ESM2 = {  # facebook/esm2_t33_650M_UR50D
    **PROTBERT,
    "model_type": "esm",
    "hidden_size": 1280,
    "num_hidden_layers": 33,
    "num_attention_heads": 20,
    "intermediate_size": 5120,
    "position_embedding_type": "rotary",
    "mask_token_id": 29,
}
FROZEN = {"freeze_backbone": True, "pooling": "light_attention"}
# name, shape, tokens of a protein, fields of the configuration, half precision, checkpointing, packed
CASES: tuple[tuple[str, dict[str, Any], int, dict[str, Any], bool, bool, bool], ...] = (
    ("ProtBERT", PROTBERT, 512, {}, False, False, False),
    ("ProtBERT", PROTBERT, 512, {}, True, False, False),
    ("ProtBERT", PROTBERT, 512, {}, True, False, True),
    ("ProtBERT", PROTBERT, 512, {}, True, True, True),
    ("ProtBERT", PROTBERT, 2048, {}, True, False, False),
    ("ProtBERT", PROTBERT, 2048, {}, True, False, True),
    ("ProtBERT with dropout", DROPOUT, 512, {}, True, False, False),
    ("ProtBERT, frozen, light attention", PROTBERT, 512, FROZEN, True, False, True),
    ("ESM-2 650M", ESM2, 512, {}, True, False, False),
    ("ESM-2 650M", ESM2, 512, {}, True, False, True),
    ("ESM-2 650M", ESM2, 512, {}, True, True, True),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true", help="only write the table of the last results again")
    options = parser.parse_args()
    if not options.render and not torch.cuda.is_available():
        print("benchmarks.memory: no GPU here; expected one, or --render", file=sys.stderr)
        return 2
    results = last_results("memory") if options.render else measure()
    publish("memory", "The memory of a training step, estimated and measured", results, table(results))
    return 0


def measure() -> dict[str, Any]:
    rows = []
    for name, shape, length, fields, half, checkpointing, packed in CASES:
        config = ProteinClassifierConfig(dict(shape), num_labels=10, **fields)
        estimated = step_memory(
            ProteinClassifier(config),
            length,
            half_precision=half,
            gradient_checkpointing=checkpointing,
            packed=packed,
        ).step(TOKENS)
        with torch.device("cuda"):
            model = ProteinClassifier(config).train()
        if packed:
            assert model.enable_packing() is None
        if checkpointing:
            (getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable)()
        peak, reserved = train(model, length, half, packed)
        case = {"model": name, "length": length, "half": half, "checkpointing": checkpointing, "packed": packed}
        rows.append({**case, "estimated": estimated, "measured": peak, "reserved": reserved})
        print(rows[-1], f"{estimated / peak:.3f}", flush=True)
        del model
        gc.collect()  # a model is in reference cycles
    return {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "tokens": TOKENS, "rows": rows}


def train(model: ProteinClassifier, length: int, half: bool, packed: bool) -> tuple[int, int]:
    """Bytes that three steps of training take at most, and that the allocator reserves for them."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    lengths = np.full(TOKENS // length, length)
    lengths[-1] -= not packed
    batch = to("cuda", (PackingCollator() if packed else PaddingCollator(0))(random_proteins(lengths)))
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), fused=True)
    for _ in range(3):
        for _ in range(2):  # micro-batches: the second finds the gradients of the first
            with torch.autocast("cuda", torch.bfloat16, enabled=half):
                loss = model(**batch).loss
            loss.backward()
            del loss
        optimizer.step()
        optimizer.zero_grad()
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()


def table(results: dict[str, Any]) -> str:
    header = ["model", "length", "", "estimated", "measured", "ratio", "reserved"]
    rows = [
        [
            row["model"],
            f"{row['length']:,}",
            ", ".join(
                [
                    "bfloat16" if row["half"] else "float32",
                    "packed" if row["packed"] else "padded",
                    *(["gradient checkpointing"] if row["checkpointing"] else []),
                ]
            ),
            *(f"{row[name] / 2**30:.2f} GiB" for name in ("estimated", "measured")),
            f"{row['estimated'] / row['measured']:.2f}",
            f"{row['reserved'] / 2**30:.2f} GiB",
        ]
        for row in results["rows"]
    ]
    return f"On {results['gpu']}, {results['tokens']:,} tokens a step:\n\n{markdown_table(header, rows)}"


if __name__ == "__main__":
    sys.exit(main())
