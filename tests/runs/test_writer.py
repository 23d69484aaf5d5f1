import json

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from protbert_classify.evaluation.decision import decide_task
from protbert_classify.model.tasks import Task
from protbert_classify.runs.writer import describe_data, write_test_predictions

NAMES = ["Cytoplasm", "Golgi.apparatus", "Nucleus"]
TASK = Task(name="location", problem_type="single_label_classification", labels=["Cytoplasm", "Nucleus"])


def proteins(lengths, locations):
    features = Features({"id": Value("string"), "sequence_length": Value("int32"), "location": ClassLabel(names=NAMES)})
    ids = [f"P{index}" for index in range(len(lengths))]
    return Dataset.from_dict({"id": ids, "sequence_length": lengths, "location": locations}, features=features)


def test_the_data_in_numbers_leaves_out_a_class_that_is_not_trained(tmp_path):
    splits = DatasetDict(train=proteins([900, 30, 510], [0, 2, 2]), test=proteins([7], [0]))
    described = describe_data(splits, TASK, 510)
    assert described == {
        "max_residues": 510,
        "splits": {
            "train": {"classes": {"Cytoplasm": 1, "Nucleus": 2}, "lengths": [30, 510, 900]},
            "test": {"classes": {"Cytoplasm": 1, "Nucleus": 0}, "lengths": [7]},
        },
    }
    assert json.loads(json.dumps(described)) == described  # no numpy in it


def test_test_predictions_have_the_length_of_the_whole_protein(tmp_path):
    logits = np.log(np.array([[0.2, 0.8], [0.9, 0.1]], dtype=np.float32))
    decision, references = decide_task(logits, TASK), (np.array([0, 1]), None)
    write_test_predictions(str(tmp_path), proteins([900, 30], [0, 2]), decision, references)
    assert (tmp_path / "test_predictions.csv").read_text().splitlines() == [
        "id,length,location,predicted,score,Cytoplasm,Nucleus",
        "P0,900,Cytoplasm,Nucleus,0.800000,0.200000,0.800000",
        "P1,30,Nucleus,Cytoplasm,0.900000,0.900000,0.100000",
    ]
