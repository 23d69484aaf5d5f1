"""A linear model on the features of a network that was never trained: what a backbone's shape gives by itself."""

import numpy as np
import torch
from datasets import DatasetDict

from ..data.encoding import encode
from ..data.tokenizer import protbert_tokenizer
from ..inference.logits import predict_logits
from ..model import ProteinClassifier, ProteinClassifierConfig
from ..model.tasks import Task
from .linear import linear_scores

FEATURES = 64  # random projections of the mean hidden states
MAX_LENGTH = 512  # tokens
SHAPE = {
    "model_type": "bert",
    "vocab_size": 30,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
    "max_position_embeddings": MAX_LENGTH,
}


def random_network(splits: DatasetDict, task: Task) -> dict[str, np.ndarray]:
    """Scores of a linear model on random features of the sequence: a transformer with two layers, seed 0."""
    tokenizer = protbert_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        labels = [f"feature {index}" for index in range(FEATURES)]
        network = ProteinClassifier(ProteinClassifierConfig(SHAPE, labels=labels, max_sequence_length=MAX_LENGTH))
    network.eval().enable_packing()
    features = {}
    for name, part in splits.items():
        encoded = encode(part, tokenizer, max_length=MAX_LENGTH).with_format("numpy")
        features[name] = predict_logits(network, encoded["input_ids"][:])
    mean, spread = features["train"].mean(0), features["train"].std(0)
    scaled = {name: (values - mean) / np.where(spread > 0, spread, 1) for name, values in features.items()}
    return linear_scores(scaled, splits, task)
