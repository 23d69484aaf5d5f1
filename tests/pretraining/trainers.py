"""Small trainers of masked-language models."""

from datasets import Dataset
from transformers import set_seed

from protbert_classify import MaskedLMTrainer, PretrainingArguments
from protbert_classify.data.tokenizer import load_tokenizer
from tests.pretraining.encoders import save_tokenizer, small_lm
from tests.training.runs import easy_records

PLAIN = {"use_cpu": True, "disable_tqdm": True, "logging_steps": 1, "learning_rate": 0.01, "max_length": 48}


def proteins(count, seed=0):
    """Raw proteins of 21 to 91 residues."""
    records = easy_records(count, 0, seed)
    return Dataset.from_dict({"id": [name for name, _ in records], "sequence": [" ".join(s) for _, s in records]})


def masked_lm_trainer(folder, kind="bert", count=24, validation=0, model=None, **options):
    set_seed(3)
    dropout = options.pop("dropout", 0.1)
    names = () if kind == "esmc" else ("hidden_dropout_prob", "attention_probs_dropout_prob")
    model = model or small_lm(kind, **dict.fromkeys(names, dropout))
    model.config.save_pretrained(folder / "source")
    save_tokenizer(kind, folder / "source")
    arguments = {**PLAIN, "num_train_epochs": 2, "per_device_train_batch_size": 4, **options}
    return MaskedLMTrainer(
        model,
        PretrainingArguments(str(folder / "run"), **arguments),
        train_dataset=proteins(count),
        eval_dataset=proteins(validation, seed=1) if validation else None,
        processing_class=load_tokenizer(folder / "source"),
    )
