"""`protbert-classify serve` that waits as long as a file is there: `loading` before it loads, `passing` in a pass.

Arguments: the folder of these files, then those of the command.
"""

import os
import sys
import time

from protbert_classify.commands import main
from protbert_classify.serving import served, server

FOLDER = sys.argv[1]
load_classifier, predict_logits = server.load_classifier, served.predict_logits


def hold(name):
    while os.path.exists(os.path.join(FOLDER, name)):
        time.sleep(0.005)


def load_later(*arguments):
    hold("loading")
    return load_classifier(*arguments)


def predict_later(*arguments):
    hold("passing")
    if os.path.exists(os.path.join(FOLDER, "failing")):
        raise RuntimeError("secret of the machine")
    return predict_logits(*arguments)


server.load_classifier, served.predict_logits = load_later, predict_later

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[2:]]))
