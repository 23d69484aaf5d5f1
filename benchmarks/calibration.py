"""What calibration repairs in an overconfident network: `python -m benchmarks.calibration`.

The demo's network on SCL2205, trained twice as long as in the demo and without choosing the best checkpoint or weighing
classes: it learns its training proteins by heart, and is too sure of all others.
"""

import argparse
import tempfile
from importlib.resources import as_file, files

from benchmarks.reporting import markdown_table, publish
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train

LONGER = ["--num_train_epochs", "10", "--load_best_model_at_end", "false", "--class_weights", "0"]
QUALITY = {"ece": "ECE", "nll": "NLL", "brier": "Brier score"}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fasta, validation = write_scl2205(folder)
        with as_file(files("protbert_classify.commands") / "demo.yaml") as recipe:
            data = ["--data", str(fasta), "--validation_data", str(validation), "--test_neighbours", "false"]
            metrics = train(*parse_options([str(recipe), *data, *LONGER, "--output_dir", f"{folder}/run"]))
    results = {
        "accuracy": metrics["test_accuracy"],
        "before": {name: metrics[f"test_uncalibrated_{name}"] for name in QUALITY},
        "after": {name: metrics[f"test_{name}"] for name in QUALITY},
    }
    rows = [
        [text, *(f"{results[key][name]:.3f}" for name in QUALITY)]
        for key, text in (("before", "as trained"), ("after", "calibrated"))
    ]
    table = markdown_table(["2,147 test proteins", *QUALITY.values()], rows)
    publish("calibration", "Calibration of an overconfident network", results, table)


if __name__ == "__main__":
    main()
