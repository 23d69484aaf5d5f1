"""Fine-tune a protein classifier, on one device or many.

    python examples/train.py --data proteins.fasta --output_dir runs/mine
    accelerate launch --config_file examples/accelerate/multi_gpu.yaml examples/train.py run.yaml

The same as `protbert-classify train`; `--help` lists the options.
"""

import sys

from protbert_classify.commands import run_command

if __name__ == "__main__":
    sys.exit(run_command("train", sys.argv[1:]))
