import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from protbert_classify import load_deeploc
from protbert_classify.data import scl2205 as module
from protbert_classify.data.deeploc import AMBIGUOUS, LOCATIONS
from protbert_classify.data.fasta import read_fasta
from protbert_classify.data.splitting import keep_labelled_classes
from protbert_classify.errors import ProteinClassifierError
from protbert_classify.tasks.columns import infer_task
from protbert_classify.tasks.targets import label_counts


def single(records, marked):
    """Labels of the proteins with one location."""
    labels = [r.description for r in records if AMBIGUOUS not in r.description and r.description.endswith(marked)]
    return Counter(label.split("-")[0] for label in labels)


def test_the_demo_has_the_packages_own_splits(scl2205):
    main, validation = (list(read_fasta(path)) for path in scl2205)
    train, test = single(main, "-U"), single(main, " test")
    assert (train.total(), test.total(), single(validation, "-U").total()) == (12679, 2147, 1025)
    assert set(train) == set(test) == set(LOCATIONS) - {"Golgi.apparatus", "Lysosome/Vacuole"}
    accessions = [record.place.accession for record in main + validation]
    assert len(set(accessions)) == len(accessions) == 18133


def test_the_demos_files_are_byte_for_byte_what_they_were(scl2205):
    assert [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in scl2205] == [
        "ea324addb51bcaba8e20ae24bfb28355f7dae8c5771ae286e25dd63273717345",
        "29c5ed77e264eb7e86484538f9cf17d316e5f50957be416d0b5d67624cf4c3c4",
    ]


def test_proteins_with_several_locations_are_kept_if_deeploc_has_them_all(scl2205, tmp_path, log):
    files = module.write_scl2205(tmp_path, multi_label=True)
    records = [record for path in files for record in read_fasta(path)]
    labels = Counter(record.description.split("-")[0] for record in records)
    assert {label: count for label, count in labels.items() if ";" in label} == {
        "Cytoplasm;Nucleus": 2282,
        "Cytoplasm;Cell.membrane": 242,
    }
    assert len(records) == 18133 + 242 == 19074 - 699
    assert log.messages == [
        "699 proteins of SCL2205 left out: Centrosome;Cytoplasm;Cytoskeleton;Microtubule organizing center 308, "
        "Cytoplasm;Cytoskeleton 215, Cell projection 176"
    ]
    single = [record for path in scl2205 for record in read_fasta(path)]
    others = [record for record in records if not record.description.startswith("Cytoplasm;Cell.membrane")]
    assert [(r.place.accession, r.description.replace(";", "-"), r.residues) for r in others] == [
        (r.place.accession, r.description, r.residues) for r in single
    ]


def test_several_locations_are_learned_as_several_labels(tmp_path):
    splits = load_deeploc(module.write_scl2205(tmp_path, multi_label=True)[0], validation=0.1, multi_label=True)
    task = keep_labelled_classes(splits, infer_task(splits, "location"))
    counts = {name: label_counts(part, task) for name, part in splits.items()}
    total = dict(zip(task.labels, sum(counts.values()).tolist()))
    assert set(task.labels) == set(LOCATIONS) - {"Golgi.apparatus", "Lysosome/Vacuole"}
    assert total["Cytoplasm"] == 1922 + 377 + 1796 + 326 + 190 + 35 and total["Peroxisome"] == 132
    share = counts["validation"] / (counts["train"] + counts["validation"])
    np.testing.assert_allclose(share, 0.1, atol=0.005)


def test_a_well_known_protein_has_its_sequence_and_location(scl2205):
    proteins = {record.place.accession: record for path in scl2205 for record in read_fasta(path)}
    catalase = proteins["P04040"]
    assert (catalase.description, catalase.residues[:10], len(catalase.residues)) == ("Peroxisome-U", "MADSRDPASD", 527)


def test_its_names_are_deeplocs(scl2205):
    assert set(module.LOCATIONS.values()) <= {*LOCATIONS, AMBIGUOUS}
    assert all(len(line) <= 61 for path in scl2205 for line in Path(path).read_text().splitlines()[:2000])


@pytest.mark.parametrize("installed", ["nothing", "a package without data"])
def test_without_the_proteins_the_message_says_what_to_install(monkeypatch, tmp_path, installed):
    if installed == "nothing":
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    else:
        (tmp_path / "scldata.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ProteinClassifierError, match="pip install 'p-scldata==2025.6.0'") as caught:
        module.write_scl2205(tmp_path / "out")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out").exists()
