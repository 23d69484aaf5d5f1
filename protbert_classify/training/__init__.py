"""A dataset and a model to a trained model."""
