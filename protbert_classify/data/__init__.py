"""FASTA or table in, Arrow out."""
