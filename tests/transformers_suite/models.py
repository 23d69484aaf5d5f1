"""Tiny classifiers as the model testers of transformers make them: every backbone with every pooling it has."""

import torch
from transformers import BertConfig, EsmcConfig, EsmConfig, PretrainedConfig, T5Config

from protbert_classify import ProteinClassifierConfig
from protbert_classify.model.pooling import POOLINGS

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37}
WITHOUT_POOLER = ("esmc", "t5")
COMBINATIONS = [
    (backbone, pooling)
    for backbone in ("bert", "esm", "esmc", "t5")
    for pooling in POOLINGS
    if (backbone in WITHOUT_POOLER, pooling) != (True, "pooler")
]


def backbone_config(backbone: str) -> PretrainedConfig:
    """ProtBERT, ESM-2, ESM C or ProtT5, with their vocabularies and special tokens."""
    if backbone == "bert":
        return BertConfig(vocab_size=30, max_position_embeddings=128, pad_token_id=0, **SIZE)
    if backbone == "esm":
        return EsmConfig(
            vocab_size=33,
            max_position_embeddings=128,
            position_embedding_type="rotary",
            token_dropout=True,
            pad_token_id=1,
            mask_token_id=32,
            **SIZE,
        )
    if backbone == "esmc":
        return EsmcConfig(vocab_size=64, max_position_embeddings=128, **SIZE)
    return T5Config(
        vocab_size=128,
        d_model=32,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        pad_token_id=0,
        decoder_start_token_id=0,
    )


class ProteinClassifierModelTester:
    """What the mixins ask for: a configuration and a batch.

    Args:
        parent: The test case.
        backbone: `bert`, `esm`, `esmc` or `t5`.
        pooling: A name in `POOLINGS`.
    """

    is_training = True
    batch_size = 13
    seq_length = 7
    num_labels = 3
    hidden_size = SIZE["hidden_size"]
    num_hidden_layers = SIZE["num_hidden_layers"]
    num_attention_heads = SIZE["num_attention_heads"]

    def __init__(self, parent, backbone: str, pooling: str) -> None:
        self.parent = parent
        self.backbone = backbone
        self.pooling = pooling

    def get_config(self) -> ProteinClassifierConfig:
        return ProteinClassifierConfig(backbone_config(self.backbone), pooling=self.pooling, num_labels=self.num_labels)

    def prepare_config_and_inputs_for_common(self) -> tuple[ProteinClassifierConfig, dict[str, torch.Tensor]]:
        """Residues, and a mask as transformers makes it: any token may be hidden, but the last of a protein."""
        shape = (self.batch_size, self.seq_length)
        mask = torch.randint(0, 2, shape)
        mask[:, -1] = 1
        return self.get_config(), {"input_ids": torch.randint(5, 25, shape), "attention_mask": mask}
