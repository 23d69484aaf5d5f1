"""From a dataset and a model to a trained model."""
