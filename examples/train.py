"""Fine-tune a protein classifier, on one device or many.

    python examples/train.py --data proteins.fasta --output_dir runs/mine
    accelerate launch --config_file examples/accelerate/multi_gpu.yaml examples/train.py run.yaml

The options are those of `protbert-classify train`, and so are the results.
"""

import sys

from transformers import set_seed

from protbert_classify import ProteinClassifier, ProteinClassifierConfig, ProteinTrainer
from protbert_classify.commands import run_guarded
from protbert_classify.reporting.terminal_summary import training_summary
from protbert_classify.training.build_model import backbone_fields, keep_layers, model_fields, set_up_tuning
from protbert_classify.training.load_data import load_data
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import save_run, train, warn_without_effect


def main() -> None:
    model_args, data_args, training_args = parse_options(sys.argv[1:])
    # the steps below for each of several models and their ensemble, or for what a search has found
    if model_args.search or model_args.layer == "auto" or model_args.seeds or data_args.folds:
        metrics = train(model_args, data_args, training_args)
        if training_args.should_save:
            print(training_summary(metrics, str(training_args.output_dir)))
        return
    warn_without_effect((model_args, data_args, training_args))

    # 1. The proteins, and what is learned about them: DeepLoc's locations, or the columns of your own file
    splits, tasks = load_data(data_args)

    # 2. A pretrained encoder with a fresh head for each task; or a small network from scratch (--backbone_config)
    set_seed(training_args.seed)
    fields = model_fields(model_args, data_args, tasks)
    if model_args.backbone_config is None:
        model = ProteinClassifier.from_pretrained(model_args.model_name_or_path, **fields)
        set_up_tuning(keep_layers(model, model_args), model_args)  # an adapter, with --tuning lora
    else:
        model = ProteinClassifier(ProteinClassifierConfig(backbone_fields(model_args), **fields))
        keep_layers(model, model_args)

    # 3. Train: raw proteins go in, the trainer encodes and batches them
    trainer = ProteinTrainer(model, training_args, train_dataset=splits["train"], eval_dataset=splits.get("validation"))
    trained = trainer.train()

    # 4. Evaluate on the test proteins, save model, metrics and predictions, and push to the Hub if asked to
    metrics = save_run(trainer, splits, (model_args, data_args, training_args), trained.metrics)
    if trainer.is_world_process_zero():
        print(training_summary(metrics, str(training_args.output_dir)))


if __name__ == "__main__":
    sys.exit(run_guarded("train.py", main))
