"""Measurements behind the figures of the documentation; see README.md here."""
