from collections import Counter
from pathlib import Path

import pytest

from protbert_classify.data import scl2205 as module
from protbert_classify.data.deeploc import AMBIGUOUS, LOCATIONS
from protbert_classify.data.records import read_fasta
from protbert_classify.errors import ProteinClassifierError


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
        monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    else:
        (tmp_path / "scldata.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ProteinClassifierError, match="pip install 'p-scldata==2025.6.0'") as caught:
        module.write_scl2205(tmp_path / "out")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out").exists()
