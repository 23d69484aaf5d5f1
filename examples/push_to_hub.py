"""Publish a trained model on the Hugging Face Hub, with a card of its data and results, and load it from there.

    hf auth login                                       # or set HF_TOKEN
    python examples/push_to_hub.py runs/mine me/my-classifier

The repository is private; its settings on the Hub, or `private=False` below, change that.
"""

import sys

from protbert_classify import ProteinClassifier
from protbert_classify.hub import push_model
from protbert_classify.reporting.card import Licences


def main(run: str, repo_id: str) -> None:
    licences = Licences(model="afl-3.0", backbone="afl-3.0")  # ProtBERT's; say what holds for yours, or nothing
    commit = push_model(run, repo_id, private=True, licences=licences)
    print("published:", commit.repo_url)

    model = ProteinClassifier.from_pretrained(commit.repo_url.repo_id)
    print("it knows:", ", ".join(model.config.labels))


if __name__ == "__main__":
    main(*sys.argv[1:])
