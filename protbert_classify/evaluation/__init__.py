"""Logits and labels to numbers."""
