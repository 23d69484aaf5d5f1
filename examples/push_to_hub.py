"""Publish a trained model on the Hugging Face Hub, with a card of its data and results, and load it from there.

    hf auth login                                       # or set HF_TOKEN
    python examples/push_to_hub.py runs/mine me/my-classifier

The repository is private; its settings on the Hub, or `private=False` below, change that.
"""

import argparse
import sys

from protbert_classify import ProteinClassifier
from protbert_classify.errors import ProteinClassifierError
from protbert_classify.hub import push_model
from protbert_classify.reporting.card import Licences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="output_dir of a training")
    parser.add_argument("repo_id", help="owner/name on the Hub")
    options = parser.parse_args()

    licences = Licences(model="afl-3.0", backbone="afl-3.0")  # ProtBERT's; say what holds for yours, or nothing
    commit = push_model(options.run, options.repo_id, private=True, licences=licences)
    print("published:", commit.repo_url)

    model = ProteinClassifier.from_pretrained(commit.repo_url.repo_id)
    print("it knows:", ", ".join(model.config.labels))


if __name__ == "__main__":
    try:
        main()
    except ProteinClassifierError as error:
        sys.exit(str(error))
