"""From a model and sequences to predictions."""
