"""Small trainers that are given raw proteins, for the tests of what a `ProteinTrainer` does by itself."""

from datasets import ClassLabel, Dataset, Features, Value
from transformers import TrainerCallback, set_seed

from protbert_classify import ProteinClassifier, ProteinClassifierConfig, ProteinTrainer
from protbert_classify.training.training_arguments import ProteinTrainingArguments
from tests.training.runs import LABELS, SHAPE, easy_records


def raw_proteins(count, seed=0, **columns):
    """Proteins as a loader gives them: composition tells the class."""
    records = [(header.split(), sequence) for header, sequence in easy_records(count, 0, seed)]
    names = [header[1].removesuffix("-U") for header, _ in records]
    features = Features(
        {"id": Value("string"), "sequence": Value("string"), "location": ClassLabel(names=LABELS)}
        | {name: feature for name, (feature, _) in columns.items()}
    )
    table = {
        "id": [header[0] for header, _ in records],
        "sequence": [" ".join(sequence) for _, sequence in records],
        "location": names,
        **{name: values for name, (_, values) in columns.items()},
    }
    return Dataset.from_dict(table, features=features)


def small_model(**fields):
    set_seed(3)
    shape = {**SHAPE, "vocab_size": 30}
    return ProteinClassifier(ProteinClassifierConfig(shape, **{"labels": LABELS, "max_sequence_length": 64, **fields}))


def arguments(folder, **options):
    plain = {"learning_rate": 0.01, "use_cpu": True, "disable_tqdm": True, "num_train_epochs": 3, "logging_steps": 1}
    return ProteinTrainingArguments(output_dir=str(folder), **{**plain, **options})


def product(folder, validation=30, model=None, **options):
    evaluated = raw_proteins(validation, seed=1) if validation else None
    return ProteinTrainer(
        model or small_model(), arguments(folder, **options), train_dataset=raw_proteins(60), eval_dataset=evaluated
    )


class StopAt(TrainerCallback):
    """Ends a training as a kill would, with a checkpoint."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_save = control.should_training_stop = state.global_step == self.step
