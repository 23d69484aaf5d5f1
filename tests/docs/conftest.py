"""The files and names that the pages use, small: proteins, encoders on a Hub on loopback, DeepLoc, a trained run."""

import csv
import gzip
import subprocess
import sys

import pytest

from tests.conftest import TINY_SHAPE
from tests.loopback_hub import TOKEN, LoopbackHub, Repository
from tests.training.runs import easy_records, environment, fasta

BERT = "Rostlab/prot_bert_bfd"
ESM = ("facebook/esm2_t6_8M_UR50D", "facebook/esm2_t12_35M_UR50D")
T5 = "Rostlab/prot_t5_xl_half_uniref50-enc"
# DeepLoc's own file, as if it had been downloaded before
PREPARE = """
import sys
from protbert_classify import DeepLoc, load_deeploc
sys.modules[DeepLoc.__module__].URL = sys.argv[1]
load_deeploc()
"""


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """A Hub with the encoders that the pages name, tiny ones."""
    folder = tmp_path_factory.mktemp("encoders")
    with LoopbackHub() as hub:
        for name, save in ((BERT, save_bert), *((name, save_esm) for name in ESM), (T5, save_t5)):
            path = folder / name
            save(path)
            files = {file.name: file.read_bytes() for file in path.iterdir()}
            hub.repositories["model", name] = Repository(private=False, files=files)
        yield hub


def save_bert(path):
    import torch
    from transformers import BertConfig, BertModel

    from protbert_classify.data.tokenizer import protbert_tokenizer

    torch.manual_seed(0)
    shape = {key: value for key, value in TINY_SHAPE.items() if key != "model_type"}
    BertModel(BertConfig(**{**shape, "max_position_embeddings": 1100})).save_pretrained(path)
    protbert_tokenizer().save_pretrained(path)


def save_esm(path):
    import torch
    from transformers import EsmConfig, EsmModel, EsmTokenizer

    torch.manual_seed(0)
    path.mkdir(parents=True)
    tokens = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
    (path / "vocab.txt").write_text("\n".join(tokens))
    tokenizer = EsmTokenizer(str(path / "vocab.txt"))
    tokenizer.save_pretrained(path)
    config = EsmConfig(
        vocab_size=len(tokens),
        pad_token_id=1,
        mask_token_id=tokens.index("<mask>"),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=1026,
        position_embedding_type="rotary",
        token_dropout=True,
    )
    EsmModel(config).save_pretrained(path)


def save_t5(path):
    """Weights alone: `estimate` needs no tokenizer."""
    from transformers import T5Config, T5EncoderModel

    shape = {"d_model": 64, "d_kv": 16, "num_heads": 4, "d_ff": 64, "num_layers": 2}
    T5EncoderModel(T5Config(vocab_size=30, **shape)).save_pretrained(path)


@pytest.fixture(scope="session")
def page_environment(hub, tmp_path_factory):
    """Variables of a process that knows the Hub on loopback, and DeepLoc's file as one that it has downloaded."""
    variables = environment(**hub.environment(tmp_path_factory.mktemp("home")))
    deeploc = tmp_path_factory.mktemp("deeploc") / "deeploc_data.fasta"
    deeploc.write_text(fasta(easy_records(seed=1)))
    call([sys.executable, "-c", PREPARE, str(deeploc)], deeploc.parent, variables)
    return variables


@pytest.fixture(scope="session")
def files(page_environment, tmp_path_factory):
    """A folder with the proteins that the pages name, and the run in runs/protbert."""
    folder = tmp_path_factory.mktemp("files")
    records = [
        (header.replace("-U", f"-{'MSU'[i % 3]}"), residues) for i, (header, residues) in enumerate(easy_records())
    ]
    for name in ("proteins.fasta", "labelled.fasta", "proteome.fasta"):
        (folder / name).write_text(fasta(records))
        (folder / f"{name}.gz").write_bytes(gzip.compress(fasta(records).encode(), mtime=0))
    (folder / "token.txt").write_text(TOKEN)
    rows = [
        (header.split()[0], residues, header.split()[1][:-2], header.endswith("test")) for header, residues in records
    ]
    split = {True: "test", False: "train"}
    write(folder / "proteins.csv", "id seq compartment split", [(i, s, c, split[t]) for i, s, c, t in rows])
    write(folder / "table.csv", "id residues", [(i, s) for i, s, *_ in rows])
    both = {"Nucleus": "Nucleus;Cytoplasm"}
    write(
        folder / "several.csv", "id sequence location split", [(i, s, both.get(c, c), split[t]) for i, s, c, t in rows]
    )
    flags = [(i, s, int(c != "Nucleus"), int(c != "Cytoplasm"), n % 2) for n, (i, s, c, _) in enumerate(rows)]
    write(folder / "flags.csv", "id sequence Cytoplasm Nucleus Membrane", flags)
    write(folder / "stability.csv", "id sequence melting_point", [(i, s, 40.5 + len(s) / 10) for i, s, *_ in rows])
    train = ["train", "--data", "proteins.fasta", "--output_dir", "runs/protbert", "--num_train_epochs", "1"]
    call([sys.executable, "-m", "protbert_classify", *train], folder, page_environment)
    return folder


def write(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header.split(), *rows])


def call(command, folder, variables, timeout=400):
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    return done.stdout
