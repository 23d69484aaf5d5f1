"""What finds rare classes? `python -m benchmarks.rare_classes`.

The demo's network on SCL2205 with several losses, class weights and samplings, three seeds or more each: about five
minutes a training on a CPU core. The weights and the sampling give a class its number of proteins to the power of minus
the number shown; weights by beta are those of the effective number of proteins.
"""

from benchmarks.demo_ways import DemoWays
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train

WEIGHTS = ("--class_weights", "0.3")
NONE = ("--class_weights", "0")
SMOOTHING = ("--label_smoothing_factor", "0.1")
CHOSEN = {
    "cross-entropy": NONE,
    "label smoothing 0.1": (*NONE, *SMOOTHING),
    "class weights 0.3 (the demo)": WEIGHTS,
    "class weights 0.4": ("--class_weights", "0.4"),
    "class weights 0.3, label smoothing 0.1": (*WEIGHTS, *SMOOTHING),
    "class weights 0.5, label smoothing 0.1": ("--class_weights", "0.5", *SMOOTHING),
    "class weights 0.7, label smoothing 0.1": ("--class_weights", "0.7", *SMOOTHING),
    "class weights by beta 0.995": (*NONE, "--class_weights_beta", "0.995"),
    "focal, class weights by beta 0.995": (*NONE, "--class_weights_beta", "0.995", "--loss", "focal"),
    "compensated, class weights 0.7, label smoothing 0.1": (
        "--class_weights",
        "0.7",
        *SMOOTHING,
        "--loss",
        "compensated",
    ),
    "class sampling 0.3": (*NONE, "--class_sampling", "0.3"),
    "focal, class weights 0.2": ("--class_weights", "0.2", "--loss", "focal"),
    "focal, class weights 0.3": (*WEIGHTS, "--loss", "focal"),
    "focal, class weights 0.3, label smoothing 0.05": (*WEIGHTS, "--loss", "focal", "--label_smoothing_factor", "0.05"),
    "logit adjustment 0.3": (*WEIGHTS, "--loss", "logit_adjusted"),
}
LAST = {
    f"last weights: {way}": (*CHOSEN[way], "--load_best_model_at_end", "false")
    for way in (
        "cross-entropy",
        "class weights 0.7, label smoothing 0.1",
        "compensated, class weights 0.7, label smoothing 0.1",
        "focal, class weights 0.3",
    )
}
WAYS = {**CHOSEN, **LAST}
BENCHMARK = DemoWays(
    name="rare_classes",
    title="Rare classes",
    about=(
        "The demo's network on SCL2205's eight locations with other losses; mean ± standard deviation over seeds. "
        "The numbers are the values of the options: `--class_weights` (of logit adjustment, too), "
        "`--class_weights_beta`, `--class_sampling` and `--label_smoothing_factor`. With `last weights`, the weights "
        "after the last epoch are kept (`--load_best_model_at_end false`), otherwise those of the epoch with the best "
        "validation MCC. Seeds 3 to 5 of `focal, class weights 0.3` were trained after the settings were compared with "
        "seeds 0 to 2; all of `compensated` after the half that it takes back was chosen, with the networks of `class "
        "weights 0.7, label smoothing 0.1`. Seeds 6 to 8 were trained last, when everything had been chosen."
    ),
    against={way: "last weights: cross-entropy" for way in LAST if way != "last weights: cross-entropy"},
    ways=tuple(WAYS),
    train=lambda way, options: train(*parse_options([*options, *WAYS[way]])),
    columns={
        "validation": ("macro_f1", "mcc"),
        "test": ("macro_f1", "balanced_accuracy", "mcc", "accuracy"),
    },
    compared=("macro_f1", "mcc"),
)

if __name__ == "__main__":
    BENCHMARK.main(__doc__)
