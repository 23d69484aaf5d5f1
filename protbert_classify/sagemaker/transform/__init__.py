"""Batch transform: a file in parts to instances that end by themselves, and their answers back to a table."""
