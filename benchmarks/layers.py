"""What each layer of a real protein language model knows of locations: `python -m benchmarks.layers`.

AntiBERTy (8 layers, pretrained on antibodies), probed as `protbert-classify layers` does on SCL2205. Also writes the
page to build/layers/layers.html and its figure to docs/images/layers.png. Needs the package antiberty.
"""

import importlib.util
import sys
import tempfile
import time
from pathlib import Path

from transformers import BertModel, BertTokenizer

from benchmarks.reporting import markdown_table, publish
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.data.tokenizer import protein_tokenizer
from protbert_classify.evaluation.layer_scores import LayerScores
from protbert_classify.inference.saved_encoder import load_encoder
from protbert_classify.layers.probe import MOST_PROTEINS, probe_layers
from protbert_classify.reporting.figures import save_figure
from protbert_classify.reporting.layers_page import draw_layers, write_layers_page
from protbert_classify.reporting.layers_table import layers_header, layers_rows
from protbert_classify.training.arguments import DataArguments
from protbert_classify.training.load_data import load_data

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "build" / "layers" / "layers.html"
FIGURE = ROOT / "docs" / "images" / "layers.png"
POSITIONS = 512  # of AntiBERTy


def main(most_proteins: int = MOST_PROTEINS, page: Path = PAGE, figure: Path = FIGURE) -> int:
    trained = antiberty_folder()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = probe(save_antiberty(trained, Path(folder, "encoder")), folder, most_proteins)
    page.parent.mkdir(parents=True, exist_ok=True)
    command = f"protbert-classify train --model_name_or_path antiberty --layer {found.best}"
    write_layers_page(page, found, "AntiBERTy", "SCL2205", command)
    save_figure(draw_layers(found), figure)
    results = {
        "seconds": time.perf_counter() - start,
        "train_proteins": found.train_proteins,
        "validation_proteins": found.validation_proteins,
        "best": found.best,
        "interval": found.interval,
        "layers": found.layers,
    }
    title = f"Layers of AntiBERTy, {found.train_proteins:,} training proteins of SCL2205"
    publish("layers", title, results, markdown_table(layers_header(found), layers_rows(found)))
    print(found.verdict)
    return 0


def antiberty_folder() -> Path:
    """Where the package antiberty has its weights."""
    package = importlib.util.find_spec("antiberty")  # finds it without running it
    if package is None or not package.submodule_search_locations:
        sys.exit("antiberty is not installed: pip install antiberty==0.1.3")
    return Path(package.submodule_search_locations[0]) / "trained_models"


def save_antiberty(trained: Path, folder: Path) -> str:
    """The encoder and its tokenizer as any other model's folder, and the folder's name."""
    BertModel.from_pretrained(trained / "AntiBERTy_md_smooth").save_pretrained(folder)
    vocabulary = {token: index for index, token in enumerate((trained / "vocab.txt").read_text().split())}
    protein_tokenizer(BertTokenizer(vocab=vocabulary, do_lower_case=False)).save_pretrained(folder)
    return str(folder)


def probe(encoder: str, folder: str, most_proteins: int) -> LayerScores:
    """The scores of the encoder's layers on the proteins of the demo."""
    proteins, validation = write_scl2205(folder)
    data = DataArguments(data=str(proteins), validation_data=str(validation), test_neighbours=False)
    splits, (task, *_) = load_data(data)
    model, tokenizer = load_encoder(encoder, "mean")
    return probe_layers(model, tokenizer, splits, task, max_length=POSITIONS, most_proteins=most_proteins)


if __name__ == "__main__":
    sys.exit(main())
