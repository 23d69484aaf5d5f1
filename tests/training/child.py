"""One training, told by a JSON file: run in this process by `trained`, or by accelerate launch as a script."""

import json
import os
import sys
import time
from pathlib import Path

import torch
from transformers import TrainerCallback, set_seed

from protbert_classify import ProteinClassifier, ProteinClassifierConfig, ProteinTrainer
from protbert_classify.commands.processes import leave_process_group
from protbert_classify.data.collators import PaddingCollator
from protbert_classify.errors import OptionError
from protbert_classify.training.training_arguments import ProteinTrainingArguments
from tests.training.runs import LABELS, SHAPE, encoded_proteins

DEFAULTS = {
    "per_device_train_batch_size": 4,
    "logging_steps": 1,
    "num_train_epochs": 1,
    "disable_tqdm": True,
    "use_cpu": True,
    "eval_strategy": "no",
    "save_strategy": "no",
    "load_best_model_at_end": False,
    "learning_rate": 1e-2,
    "seed": 3,
}


def rank():
    return int(os.environ.get("RANK", 0))


class Recording(PaddingCollator):
    """Keeps which proteins were asked for."""

    def __init__(self):
        super().__init__(0)
        self.batches = []

    def __call__(self, proteins):
        self.batches.append([hash(tuple(int(i) for i in protein["input_ids"])) for protein in proteins])
        return super().__call__(proteins)


class Hang(TrainerCallback):
    """Says that a step was reached, and stays there."""

    def __init__(self, step, sentinel):
        self.step, self.sentinel = step, sentinel

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            hang(self.sentinel)


def hang(sentinel):
    Path(sentinel).touch()
    time.sleep(600)


def build_trainer(folder, proteins=32, validation=0, dropout=0.1, patience=0, own_disk=False, **arguments):
    """A trainer; with `own_disk`, each process has an output folder of its own, as on machines without a shared one."""
    set_seed(3)
    config = ProteinClassifierConfig(
        {**SHAPE, "vocab_size": 30, "hidden_dropout_prob": dropout},
        classifier_dropout=dropout,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    options = {**DEFAULTS, "early_stopping_patience": patience, **arguments}
    trainer = ProteinTrainer(
        ProteinClassifier(config),
        ProteinTrainingArguments(output_dir=os.path.join(folder, f"run{rank() if own_disk else ''}"), **options),
        train_dataset=encoded_proteins(proteins),
        eval_dataset=encoded_proteins(validation, seed=1) if validation else None,
        data_collator=Recording(),
    )
    return trainer


def trained(folder, resume=None, predict=0, hang_at=None, hang_in_save=None, **options):
    """Train, and return what a test asks about."""
    trainer = build_trainer(folder, **options)
    sentinel = os.path.join(folder, "sentinel")
    if hang_at is not None:
        trainer.add_callback(Hang(hang_at, sentinel))
    if hang_in_save is not None:
        save = trainer._save_rng_state

        def save_and_hang(checkpoint):
            if trainer.state.global_step == hang_in_save:
                hang(sentinel)
            save(checkpoint)

        trainer._save_rng_state = save_and_hang
    trainer.train(resume_from_checkpoint=resume)
    result = {
        "world_size": trainer.args.world_size,
        "history": trainer.state.log_history,
        "steps": trainer.state.global_step,
        "batches": trainer.data_collator.batches,
        "best": trainer.state.best_model_checkpoint,
    }
    if predict:
        output = trainer.predict(encoded_proteins(predict, seed=2))
        result["logits"] = output.predictions.tolist()
        result["label_ids"] = output.label_ids.tolist()
        result["metrics"] = output.metrics
    trainer.save_model(os.path.join(folder, "final"))
    return result


def main(path):
    spec = json.loads(Path(path).read_text())
    torch.set_num_threads(1)
    folder = spec["folder"]
    try:
        result = trained(**spec)
    except OptionError as error:
        result = {"error": str(error)}
    Path(folder, f"result-{rank()}.json").write_text(json.dumps(result))
    leave_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
