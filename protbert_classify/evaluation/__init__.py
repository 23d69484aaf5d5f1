"""From logits to predictions, and from predictions and labels to metrics."""
