"""What a lower precision costs in accuracy and gains in speed: `python -m benchmarks.precision`.

The demo's network, trained for two epochs on SCL2205, on its test proteins: float32, and as far as the CPU and the
installed packages have them bfloat16 and int8 (torchao); each timed in turns.
"""

import sys
import tempfile
import time
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from benchmarks.reporting import markdown_table, publish
from benchmarks.schemes import quartiles
from protbert_classify.data.deeploc import load_deeploc
from protbert_classify.data.encoding import encode
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.errors import OptionError
from protbert_classify.evaluation.decision import decide
from protbert_classify.evaluation.metrics import classification_metrics
from protbert_classify.inference.logits import predict_logits
from protbert_classify.inference.precision import has_native_bf16
from protbert_classify.inference.saved_classifier import load_classifier
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train

REPEATS = 7


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        fasta, validation = write_scl2205(folder)
        with as_file(files("protbert_classify.commands") / "demo.yaml") as recipe:
            data = [str(recipe), "--data", str(fasta), "--validation_data", str(validation)]
            train(*parse_options([*data, "--output_dir", f"{folder}/run", "--num_train_epochs", "2"]))
        test = load_deeploc(fasta, validation=0)["test"]
        results = measure(f"{folder}/run", test)
    rows = [
        [
            name,
            f"{r['accuracy']:.4f}",
            f"{r['mcc']:.4f}",
            f"{r['other_calls']}",
            f"{r['furthest']:.4f}",
            f"{r['ratio']:.2f}",
        ]
        for name, r in results.items()
    ]
    header = [
        "precision",
        "accuracy",
        "MCC",
        f"other calls of {len(test):,}",
        "furthest probability",
        "speed, times float32",
    ]
    publish("precision", "Lower precision on a CPU", results, markdown_table(header, rows))
    return 0


def measure(run: str, test: Any) -> dict[str, Any]:
    models = {}
    for precision in ("float32", "bfloat16", "int8"):
        try:
            if precision != "bfloat16" or has_native_bf16("cpu"):
                models[precision], tokenizer = load_classifier(run, "cpu", precision)
        except OptionError as error:
            print(error)
    config = models["float32"].config
    encoded = encode(test, tokenizer, max_length=config.max_sequence_length, crop=config.crop, tasks=config.tasks)
    proteins = [np.asarray(ids) for ids in encoded["input_ids"]]
    seconds: dict[str, list[float]] = {name: [] for name in models}
    logits = {}
    for repeat in range(REPEATS + 1):
        for name, model in models.items():
            start = time.perf_counter()
            logits[name] = predict_logits(model, proteins)
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    exact = decide(logits["float32"], config).scores
    found = {}
    for name, values in logits.items():
        metrics = classification_metrics(values.argmax(-1), np.asarray(encoded["labels"]), config.labels)
        ratios = [a / b for a, b in zip(seconds["float32"], seconds[name], strict=True)]
        found[name] = {
            "accuracy": metrics["accuracy"],
            "mcc": metrics["mcc"],
            "other_calls": int((values.argmax(-1) != exact.argmax(-1)).sum()),
            "furthest": float(np.abs(decide(values, config).scores - exact).max()),
            "ratio": quartiles(ratios)[1],
            "seconds": seconds[name],
        }
    return found


if __name__ == "__main__":
    sys.exit(main())
