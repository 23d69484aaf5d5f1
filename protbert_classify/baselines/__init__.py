"""Simple classifiers to compare a model with: what it must beat to be worth its training."""
