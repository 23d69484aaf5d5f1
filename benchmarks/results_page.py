"""docs/results.md, from what the benchmarks of accuracy printed."""

from pathlib import Path

from benchmarks.reporting import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "results.md"
SECTIONS = ("encoders", "rare_classes", "regularisation")  # below the tables of benchmarks.results

INTRODUCTION = """# Results

What to expect without a GPU: the small network of [`protbert-classify demo`](first_run_command_line.md), trained from
random weights, beside simple baselines on the same proteins. The network has residue embeddings, convolutional layers
and light attention (`train --recipe small`). At the end of the page are small pretrained encoders, losses for rare
classes, and four ways to regularise the network. `train` has none of these four: three of
them change MCC by no more than chance, and moving ends lower it.

- **Is a network better than a simple method?** Compare with the baselines. The class of the nearest training protein,
  found by MMseqs2, is a common approach without machine learning. The network is better than each of them, except by
  subset accuracy (all locations of a protein right), where the nearest training protein is better.
- **Does it work on proteins unlike the training proteins?** The tables by identity show it: most test
  proteins have no similar training protein, and a model is needed most for these. `no neighbour` means that no training
  protein is similar over 80% of the shorter protein; a shorter stretch may still be similar, and the baseline uses it.
- **Can the validation number be believed?** It should be near the test number. A validation part with relatives of the
  training proteins gives numbers that are far too high ([how proteins are split](evaluation.md)).
- **Are scores probabilities?** The expected calibration error (ECE) says how far they are from it. Calibration lowers
  it where the network is too sure of itself; where it is low already, calibration can raise it by up to 0.02.
- **Do prediction sets keep their promise?** At an error of 0.1, nine in ten should contain the true class. On SCL2205
  they do; on DeepLoc, whose test proteins differ from the validation proteins, fewer do.

SCL2205 has proteins of UniProt; its validation and test proteins are used as they are. For DeepLoc, a sample of 1,384
of its test proteins is predicted. The training proteins are a sample of 1,655 of DeepLoc's, and those of SCL2205 that
are less than 30% identical to every test protein. Most validation proteins are then of SCL2205, which labels proteins
in another way than DeepLoc and lacks two of its classes, so validation metrics and prediction sets are too optimistic
here.

No large pretrained model is measured here, because their weights could not be downloaded where these tables were made.
A similar comparison for two of them, on all of DeepLoc and on a GPU:

```bash
protbert-classify train --model_name_or_path Rostlab/prot_bert_bfd --output_dir runs/prot_bert_bfd
protbert-classify train --model_name_or_path facebook/esm2_t12_35M_UR50D --output_dir runs/esm2
protbert-classify baselines
protbert-classify compare --runs runs/prot_bert_bfd runs/esm2 runs/baselines/nearest_neighbour
```

[Benchmarks](benchmarks.md) has speed and memory.

"""


def write_page() -> None:
    """Put the printed tables on the page of the documentation."""
    printed = (RESULTS / "results.md").read_text(encoding="utf-8")
    _, body = printed.split("\n\n### ", 1)  # without its heading and its command
    body = f"## {body}".replace("\n### ", "\n## ")
    others = [RESULTS / f"{name}.md" for name in SECTIONS]
    parts = [INTRODUCTION.rstrip(), body, *(path.read_text(encoding="utf-8") for path in others if path.exists())]
    PAGE.write_text("\n\n".join(part.strip("\n") for part in parts) + "\n", encoding="utf-8")
