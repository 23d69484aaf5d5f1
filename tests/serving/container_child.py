"""Answers of the hooks, in a process of other versions: `python -m tests.serving.container_child MODEL ...`."""

import json
import sys
from importlib.metadata import version

BODY = ">P1\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ\n>P2\nMKTUXB\n>P3\nmkwvtf\n"


def answers(folders):
    from protbert_classify.serving import hooks

    for folder in folders:
        asked = hooks.input_fn(BODY, "text/x-fasta")
        found = hooks.output_fn(hooks.predict_fn(asked, hooks.model_fn(folder)), "application/json")
        yield json.loads(found)


if __name__ == "__main__":
    versions = {name: version(name).split("+")[0] for name in ("torch", "transformers")}
    print(json.dumps({"versions": versions, "answers": list(answers(sys.argv[1:]))}))
