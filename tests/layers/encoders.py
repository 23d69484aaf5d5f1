"""A tiny pretrained BERT whose first layer knows the composition of a protein and whose last ones know nothing."""

import torch
from transformers import BertConfig, BertModel

from protbert_classify.data.tokenizer import protbert_tokenizer
from tests.training.runs import SHAPE


def save_planted(folder, layers=4, known=1):
    """Save the encoder, and return its folder; what layers behind `known` give is the same for all proteins."""
    torch.manual_seed(0)
    shape = {name: value for name, value in SHAPE.items() if name != "model_type"}
    more = {"vocab_size": 30, "num_hidden_layers": layers, "initializer_range": 0.3, "hidden_dropout_prob": 0.0}
    model = BertModel(BertConfig(**{**shape, **more}))
    for layer in model.encoder.layer[known:]:
        layer.output.LayerNorm.weight.data.zero_()
        layer.output.LayerNorm.bias.data.normal_()
    model.save_pretrained(folder)
    protbert_tokenizer().save_pretrained(folder)
    return str(folder)
