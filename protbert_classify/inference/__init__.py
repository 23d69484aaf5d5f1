"""A model and sequences to calls."""
