"""Related proteins: searches for them, with MMseqs2 or without. Reads sequences, and nothing else of the package."""
