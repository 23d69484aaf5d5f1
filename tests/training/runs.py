"""What the tests of training and of the commands share: easy proteins, tiny runs, processes of their own."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, List, Value
from safetensors.numpy import load_file

from protbert_classify.runs.checkpoints import newest_complete_checkpoint

ROOT = Path(__file__).parent.parent.parent
CPU_CONFIG = str(ROOT / "examples" / "accelerate" / "cpu.yaml")
CHILD = str(Path(__file__).parent / "child.py")
LABELS = ["Cytoplasm", "Mitochondrion", "Nucleus"]
RICH_IN = {"Cytoplasm": "DE", "Mitochondrion": "LV", "Nucleus": "KR"}
SHAPE = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 128,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.0,
}
TINY = ["--backbone_config", json.dumps(SHAPE), "--max_length", "64", "--learning_rate", "0.01"]


def easy_records(count=60, test=15, seed=0):
    """DeepLoc records whose composition tells the location; the last `test` are for testing."""
    generator = random.Random(seed)
    records = []
    for index in range(count):
        location = LABELS[index % 3]
        residues = (
            generator.choice(RICH_IN[location] if generator.random() < 0.6 else "ACDEFGHIKLMNPQRSTVWY")
            for _ in range(generator.randint(20, 90))
        )
        mark = " test" if index >= count - test else ""
        records.append((f"P{index:03d} {location}-U{mark}", "M" + "".join(residues)))
    return records


def fasta(records):
    return "".join(f">{header}\n{sequence}\n" for header, sequence in records)


def encoded_proteins(count, seed=0, shortest=5, longest=60):
    """Encoded random proteins, each with ids of its own: what a `ProteinTrainer` is given."""
    generator = np.random.default_rng(seed)
    ids = [[2, *generator.integers(5, 25, generator.integers(shortest, longest)).tolist(), 3] for _ in range(count)]
    return Dataset.from_dict(
        {
            "input_ids": ids,
            "length": [len(row) for row in ids],
            "labels": [int(np.argmax(np.bincount(np.array(row) % 3, minlength=3))) for row in ids],
        },
        features=Features({"input_ids": List(Value("uint8")), "length": Value("int32"), "labels": Value("int64")}),
    ).with_format("numpy")


def run(folder, data, *more):
    """Train with the options of the command line, in this process."""
    from protbert_classify.training.options import parse_options  # with them come torch and transformers
    from protbert_classify.training.run import train

    arguments = [*TINY, "--num_train_epochs", "1", "--disable_tqdm", "true", *more]
    return train(*parse_options(["--data", str(data), "--output_dir", str(folder), *arguments]))


def record(folder):
    return json.loads((folder / "run.json").read_text())


def last_state(folder):
    """What Trainer noted in the newest checkpoint."""
    with open(os.path.join(newest_complete_checkpoint(str(folder)), "trainer_state.json"), encoding="utf-8") as file:
        return json.load(file)


def environment(**more):
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("ACCELERATE", "WORLD_SIZE"))}
    # two processes on two cores: more threads would only wait for each other
    return {**plain, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def command(*arguments):
    return [sys.executable, "-m", "protbert_classify", *map(str, arguments)]


def call(*arguments, timeout=120, **options):
    """Run a command of ours in a process of its own."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=timeout, env=environment(), cwd=ROOT, **options
    )


def launcher(script, *arguments):
    """`accelerate launch` on two processes; a free port, as other tests may run at the same time."""
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", CPU_CONFIG, "--main_process_port", "0"),
        *(str(script), *map(str, arguments)),
    ]


def launch(script, *arguments, timeout=180):
    return subprocess.run(
        launcher(script, *arguments), capture_output=True, text=True, timeout=timeout, env=environment(), cwd=ROOT
    )


def two_processes(folder, **spec):
    """Run child.py on two processes; what each of them returned."""
    path = write_spec(folder, **spec)
    done = launch(CHILD, path)
    assert done.returncode == 0, done.stderr[-3000:]
    return results(folder)


def write_spec(folder, **spec):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.json"
    path.write_text(json.dumps({"folder": str(folder), **spec}))
    return path


def results(folder, processes=2):
    return [json.loads((Path(folder) / f"result-{rank}.json").read_text()) for rank in range(processes)]


def weights(folder):
    return load_file(os.path.join(folder, "model.safetensors"))


def assert_same_weights(first, second):
    first, second = weights(first), weights(second)
    assert first.keys() == second.keys()
    for name in first:
        assert np.array_equal(first[name], second[name]), name


def complaints(stderr):
    """The lines that are ours, progress bars set aside."""
    return [line for line in stderr.replace("\r", "\n").splitlines() if line.startswith("protbert-classify")]
