"""Masked-language-model training of an encoder on unlabelled proteins, before it is fine-tuned."""
