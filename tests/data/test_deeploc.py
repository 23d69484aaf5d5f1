import errno
import gzip
import os
import pickle
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Value
from datasets import List as ListOf
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify import DeepLoc, load_deeploc
from protbert_classify.data import deeploc
from protbert_classify.data.deeploc import LOCATIONS, read_deeploc
from protbert_classify.data.fasta import PARSER_VERSION
from protbert_classify.errors import DataError, InputError, OptionError, ProteinClassifierError
from protbert_classify.tasks.columns import infer_task
from protbert_classify.tasks.targets import auxiliary_targets, label_counts

SMALL = ">P1 Nucleus-U\nMKT\n>P2 Cytoplasm-S test\nMKTAX\n>P3 Cytoplasm-Nucleus-M\nGGG\n"


def rows(splits):
    return {name: list(part) for name, part in splits.items()}


def summaries(log):
    return [record.getMessage() for record in log.records if "records read" in record.getMessage()]


# --- real proteins


def test_the_sample_has_the_papers_ten_classes(deeploc_sample, log):
    splits = load_deeploc(deeploc_sample, validation=0)
    assert {name: len(part) for name, part in splits.items()} == {"train": 1655, "test": 1384}
    assert splits["train"].features["location"].names == list(LOCATIONS) == sorted(LOCATIONS)
    assert set(splits["train"]["location"]) == set(range(10))
    assert summaries(log) == ["3,062 records read, 23 Cytoplasm-Nucleus left out (ambiguous='drop')"]


def test_ambiguous_proteins_can_be_a_class_of_their_own(deeploc_sample):
    splits = load_deeploc(deeploc_sample, validation=0, ambiguous="keep")
    assert {name: len(part) for name, part in splits.items()} == {"train": 1678, "test": 1384}
    assert splits["train"].features["location"].names == [*LOCATIONS, "Cytoplasm-Nucleus"]
    assert Counter(splits["train"]["location"])[10] == 23


def test_ambiguous_proteins_can_be_cytoplasmic_as_in_the_article(deeploc_sample):
    cytoplasm = LOCATIONS.index("Cytoplasm")
    dropped = load_deeploc(deeploc_sample, validation=0)["train"]
    first = load_deeploc(deeploc_sample, validation=0, ambiguous="first")["train"]
    assert len(first) == 1678 and len(first.features["location"].names) == 10
    assert Counter(first["location"])[cytoplasm] == Counter(dropped["location"])[cytoplasm] + 23


def test_scl2205_has_eight_of_the_ten_classes(scl2205, log):
    splits = load_deeploc(scl2205[0], validation=0)
    assert {name: len(part) for name, part in splits.items()} == {"train": 12679, "test": 2147}
    present = {LOCATIONS[index] for part in splits.values() for index in set(part["location"])}
    assert set(LOCATIONS) - present == {"Golgi.apparatus", "Lysosome/Vacuole"}
    assert summaries(log) == ["16,948 records read, 2,122 Cytoplasm-Nucleus left out (ambiguous='drop')"]
    kept = load_deeploc(scl2205[0], validation=0, ambiguous="keep")
    assert sum(map(len, kept.values())) == 16948
    assert sum(Counter(part["location"])[10] for part in kept.values()) == 2122


def test_several_files_are_one_dataset_whose_copies_are_reported_in_one_line(scl2205, log):
    splits = load_deeploc(scl2205, validation=0)
    assert {name: len(part) for name, part in splits.items()} == {"train": 13704, "test": 2147}  # 15,851
    copies = [record.getMessage() for record in log.records if "sequence of another" in record.getMessage()]
    assert copies == ["89 proteins have the sequence of another one; they are kept"]


def test_every_real_protein_arrives_as_it_stands_in_the_file(real_fasta, real_proteins):
    records = [record.split("\n", 1) for record in Path(real_fasta).read_text().split(">")[1:]]
    written = {header.split()[0]: (header, "".join(lines.split())) for header, lines in records}
    found = {row["id"]: row for part in real_proteins.values() for row in part}
    names = real_proteins["train"].features["location"].names
    assert written.keys() == found.keys()
    for accession, (header, residues) in written.items():
        row = found[accession]
        assert row["sequence"] == " ".join(residues) and row["sequence_length"] == len(residues)
        mark = "" if row["is_train"] else " test"
        assert header == f"{accession} {names[row['location']]}-{'MSU'[row['membrane']]}{mark}"


def test_streaming_gives_the_rows_that_preparing_gives(real_fasta, real_proteins):
    streamed = DeepLoc(data_files=[real_fasta], ambiguous="keep").as_streaming_dataset()
    assert rows(streamed) == rows(real_proteins)


def test_the_longest_protein_of_deeploc_is_whole(deeploc_sample):
    splits = load_deeploc(deeploc_sample, validation=0)
    longest = max((row for part in splits.values() for row in part), key=lambda row: row["sequence_length"])
    assert longest["sequence_length"] == 13100 and len(longest["sequence"]) == 2 * 13100 - 1


# --- headers


@pytest.mark.parametrize(
    ("header", "location", "membrane", "split"),
    [
        ("Nucleus-U", "Nucleus", "U", "train"),
        ("Nucleus-M test", "Nucleus", "M", "test"),
        ("Nucleus-U new_test_set", "Nucleus", "U", "test"),
        ("Endoplasmic.reticulum-S", "Endoplasmic.reticulum", "S", "train"),
        ("Lysosome/Vacuole-M test", "Lysosome/Vacuole", "M", "test"),
        ("Cytoplasm-Nucleus-U", "Cytoplasm-Nucleus", "U", "train"),  # not Cytoplasm
        ("Cell.membrane-M  test ", "Cell.membrane", "M", "test"),
    ],
)
def test_headers_are_read_from_the_last_hyphen(write_bytes, header, location, membrane, split):
    splits = load_deeploc(write_bytes(f">P1 {header}\nMKT\n"), validation=0, ambiguous="keep")
    (row,) = splits[split]
    features = splits[split].features
    assert list(splits) == [split]
    assert features["location"].int2str(row["location"]) == location
    assert features["membrane"].int2str(row["membrane"]) == membrane
    assert row["is_train"] == (split == "train")


@pytest.mark.parametrize(
    ("header", "locations"),
    [
        ("Nucleus-U", ["Nucleus"]),
        ("Cytoplasm;Nucleus-U", ["Cytoplasm", "Nucleus"]),
        ("Nucleus;Cytoplasm-M", ["Cytoplasm", "Nucleus"]),
        ("Cytoplasm-Nucleus-S test", ["Cytoplasm", "Nucleus"]),
        ("Cytoplasm-Nucleus;Plastid-U", ["Cytoplasm", "Nucleus", "Plastid"]),
        ("Lysosome/Vacuole;Cell.membrane;Lysosome/Vacuole-U", ["Cell.membrane", "Lysosome/Vacuole"]),
    ],
)
@pytest.mark.parametrize("ambiguous", ["drop", "keep", "first"])
def test_a_protein_may_have_several_locations(write_bytes, header, locations, ambiguous):
    splits = load_deeploc(write_bytes(f">P1 {header}\nMKT\n"), validation=0, multi_label=True, ambiguous=ambiguous)
    (part,) = splits.values()
    assert part.features["location"] == ListOf(ClassLabel(names=list(LOCATIONS)))
    assert [LOCATIONS[index] for index in part[0]["location"]] == locations


label_sets = st.lists(st.sampled_from(LOCATIONS), min_size=1, max_size=4, unique=True)


@settings(max_examples=30)
@given(st.lists(st.tuples(label_sets, st.sampled_from("MSU"), st.booleans()), min_size=1, max_size=10))
def test_what_is_written_in_headers_is_read_back(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("headers") / "p.fasta"
    records = [f">P{i} {';'.join(names)}-{m}{' test' * test}\nMKT\n" for i, (names, m, test) in enumerate(written)]
    path.write_text("".join(records))
    streamed = DeepLoc(data_files=[str(path)], multi_label=True).as_streaming_dataset()
    found = {row["id"]: row for part in streamed.values() for row in part}
    for index, (names, membrane, test) in enumerate(written):
        row = found[f"P{index}"]
        assert [LOCATIONS[label] for label in row["location"]] == sorted(names)
        assert ("MSU"[row["membrane"]], row["is_train"]) == (membrane, not test)


def test_one_location_and_several_are_not_mixed_up_in_the_cache_or_in_validation(write_bytes):
    records = [f">P{i} {'Plastid' if i % 2 else 'Cytoplasm-Nucleus'}-U\nMK{'A' * i}\n" for i in range(40)]
    path = write_bytes("".join(records))
    one, several = (load_deeploc(path, validation=0.2, ambiguous="keep", multi_label=multi) for multi in (False, True))
    assert set(one["train"]["location"][:]) == {9, 10}
    assert {tuple(cell) for cell in several["train"]["location"][:]} == {(9,), (1, 7)}
    assert sorted(several["validation"]["location"][:]) == [[1, 7]] * 4 + [[9]] * 4


def test_several_locations_that_nobody_asked_for_say_what_to_ask_for(write_bytes):
    path = write_bytes(">P1 Cytoplasm;Nucleus-U\nMKT\n")
    with pytest.raises(DataError, match="unknown location 'Cytoplasm;Nucleus'.*need multi_label_classification"):
        load_deeploc(path)
    with pytest.raises(DataError, match=r"record 1 \(P1\): unknown location 'Moon'"):
        load_deeploc(write_bytes(">P1 Nucleus;Moon-U\nMKT\n"), multi_label=True)


def test_the_samples_membrane_flags_are_a_task_whose_unknown_ones_are_masked(deeploc_sample):
    splits = load_deeploc(deeploc_sample, validation=0)
    task = infer_task(splits, "membrane")
    assert (task.labels, task.unknown) == (("M", "S"), ("U",))
    for name, bound, soluble, unknown in (("train", 426, 595, 634), ("test", 371, 509, 504)):
        answers = auxiliary_targets(splits[name], [task])
        assert (np.sum(answers == 0), np.sum(answers == 1), np.isnan(answers).sum()) == (bound, soluble, unknown)
        assert label_counts(splits[name], task).tolist() == [bound, soluble]


def test_columns_and_types(write_bytes):
    splits = load_deeploc(write_bytes(SMALL), validation=0)
    assert splits["train"].features == {
        "id": Value("string"),
        "sequence": Value("string"),
        "sequence_length": Value("int32"),
        "location": ClassLabel(names=list(LOCATIONS)),
        "membrane": ClassLabel(names=["M", "S", "U"]),
        "is_train": Value("bool"),
    }
    assert splits["test"][0] == {
        "id": "P2",
        "sequence": "M K T A X",
        "sequence_length": 5,
        "location": 1,
        "membrane": 1,
        "is_train": False,
    }


def test_the_builder_works_by_itself_as_any_builder_of_datasets(write_bytes):
    builder = DeepLoc(data_files=write_bytes(SMALL), ambiguous="keep")
    builder.download_and_prepare()
    assert str(builder.info.version) == f"1.1.{PARSER_VERSION}"  # in the cache's path
    assert f"1.1.{PARSER_VERSION}" in builder.cache_dir
    assert builder.as_dataset(split="train")["id"][:] == ["P1", "P3"]
    assert builder.as_dataset(split="test")["id"][:] == ["P2"]


@pytest.mark.parametrize(
    "write",
    [
        lambda text: text.encode(),
        lambda text: gzip.compress(text.encode(), mtime=0),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace("\n", "\n\n").encode(),
        lambda text: text.replace("KT", "K\nT").lower().replace("nucleus", "Nucleus").replace("cyto", "Cyto")
        .replace("-u", "-U").replace("-s", "-S").replace("-m", "-M").replace(">p", ">P").encode(),
    ],
    ids=["plain", "gz", "CRLF", "no last newline", "blank lines", "wrapped lower case"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["p.fasta", "p[1] *.fasta.gz"])
def test_however_the_file_is_written_the_proteins_are_the_same(write_bytes, write, name):
    path = write_bytes(write(SMALL), name)
    splits = load_deeploc(Path(path), validation=0, ambiguous="keep")
    assert {key: part["sequence"][:] for key, part in splits.items()} == {
        "train": ["M K T", "G G G"],
        "test": ["M K T A X"],
    }


@pytest.mark.parametrize("name", ["p.fasta", "p.fasta.gz"])
def test_streaming_reads_compressed_files_and_lacks_the_split_that_the_file_lacks(write_bytes, name):
    content = b">P1 Nucleus-U\nMKT\n>P2 Cytoplasm-Nucleus-U test\nMKT\n"
    path = write_bytes(gzip.compress(content, mtime=0) if name.endswith("gz") else content, name)
    streamed = DeepLoc(data_files=[path]).as_streaming_dataset()
    assert rows(streamed) == rows(load_deeploc(path, validation=0))
    assert list(streamed) == ["train"]


def test_streaming_can_be_read_again_and_in_a_worker_process(write_bytes):
    train = DeepLoc(data_files=[write_bytes(SMALL)]).as_streaming_dataset(split="train")
    assert [row["id"] for row in train] == [row["id"] for row in train] == ["P1"]
    assert [row["id"] for row in pickle.loads(pickle.dumps(train))] == ["P1"]


def test_batches_lose_and_repeat_nothing(write_bytes, monkeypatch):
    monkeypatch.setattr(deeploc, "BATCH", 3)
    path = write_bytes("".join(f">P{i} Nucleus-U{' test' * (i % 2)}\nMK{'A' * i}\n" for i in range(10)))
    splits = load_deeploc(path, validation=0)
    assert splits["train"]["id"][:] == [f"P{i}" for i in range(0, 10, 2)]
    assert splits["test"]["sequence_length"][:] == [2 + i for i in range(1, 10, 2)]


# --- the cache


def test_a_cached_load_says_the_same(write_bytes, log):
    path = write_bytes(SMALL + ">P1 Nucleus-U\nMKT\n")
    first = rows(load_deeploc(path, validation=0))
    assert rows(load_deeploc(path, validation=0)) == first
    said = "4 records read, 1 Cytoplasm-Nucleus left out (ambiguous='drop'), 1 identical duplicates dropped"
    assert summaries(log) == [said, said]


def test_an_edited_file_is_not_answered_from_the_cache(write_bytes):
    path = write_bytes(SMALL)
    assert load_deeploc(path, validation=0)["train"]["sequence"][:] == ["M K T"]
    os.utime(write_bytes(SMALL.replace("MKT\n", "MKW\n")), (1, 1))
    assert load_deeploc(path, validation=0)["train"]["sequence"][:] == ["M K W"]


def test_what_becomes_of_ambiguous_proteins_is_not_mixed_up_in_the_cache(write_bytes):
    path = write_bytes(SMALL)
    found = {how: load_deeploc(path, validation=0, ambiguous=how)["train"] for how in ("drop", "keep", "first")}
    assert {how: part["location"][:] for how, part in found.items()} == {"drop": [7], "keep": [7, 10], "first": [7, 1]}


def test_bad_input_leaves_no_half_written_data_behind(write_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    with pytest.raises(DataError):
        load_deeploc(write_bytes(SMALL + ">P9\nMKT\n"))
    assert list((tmp_path / "cache").rglob("*.arrow")) == []


def test_a_full_disk_is_told_as_such(write_bytes, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("datasets.arrow_writer.ArrowWriter.write_row", full)
    with pytest.raises(OSError, match="No space left on device"):
        load_deeploc(write_bytes(SMALL))


# --- bad input


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "p.fa: no records; expected FASTA"),
        ("accession,label\nP1,Nucleus\n", "p.fa: no FASTA file: it begins with 'accession,label'"),
        ("MKT\n" + SMALL, "p.fa: no FASTA file: it begins with 'MKT'"),
        (bytes(range(128, 256)), "p.fa: not a text file, or damaged"),
        (gzip.compress(SMALL.encode() * 99, mtime=0)[:-12], "p.fa: not a text file, or damaged"),
        (SMALL + ">P4 Nucleus-U\n", "p.fa, record 4 (P4): no residues"),
        (SMALL + ">P4 Nucleus-U\n*\n", "p.fa, record 4 (P4): no residues"),
        (SMALL + ">P4 Nucleus-U\nMK?\n", "p.fa, record 4 (P4): '?' at position 3 is not a residue"),
        (SMALL + ">P4\nMKT\n", "p.fa, record 4 (P4): found nothing after the accession; expected Location-M, -S or -U"),
        (SMALL + ">P4 Nucleus\nMKT\n", "p.fa, record 4 (P4): found 'Nucleus' after the accession; expected Location-M"),
        (SMALL + ">P4 Nucleus-X\nMKT\n", "p.fa, record 4 (P4): found 'Nucleus-X' after"),
        (SMALL + ">P4 Nucleus-U train\nMKT\n", "p.fa, record 4 (P4): found 'Nucleus-U train' after"),
        (SMALL + f">P4 {'long ' * 999}\nMKT\n", "p.fa, record 4 (P4): found 'long long"),
        (SMALL + ">P4 Moon-U\nMKT\n", "p.fa, record 4 (P4): unknown location 'Moon'; expected one of Cell.membrane, "),
        (SMALL + ">P4 nucleus-U\nMKT\n", "p.fa, record 4 (P4): unknown location 'nucleus'"),
        (SMALL + ">P1 Nucleus-U\nMKTT\n", "p.fa, record 4 (P1): the accession stands in p.fa, record 1 too"),
        (SMALL + ">P1 Nucleus-U test\nMKT\n", "p.fa, record 4 (P1): the accession stands in p.fa, record 1 too"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["prepared", "streamed"])
def test_bad_input_is_one_line_with_file_record_and_accession(write_bytes, content, message, streaming):
    path = write_bytes(content, "p.fa")
    with pytest.raises(InputError) as caught:
        rows(DeepLoc(data_files=[path]).as_streaming_dataset() if streaming else load_deeploc(path))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert caught.value.exit_code == 2


def test_conflicting_accessions_in_two_files_name_both(write_bytes):
    one, two = write_bytes(SMALL, "one.fa"), write_bytes(">P9 Nucleus-U\nM\n>P3 Nucleus-U\nM\n", "two.fa")
    with pytest.raises(DataError, match=r"two\.fa, record 2 \(P3\): the accession stands in one\.fa, record 3 too"):
        load_deeploc([one, two])


@pytest.mark.parametrize(("source", "found"), [("nowhere/nothing.fasta", "no such file"), (".", "is a folder")])
def test_a_missing_file_is_named(source, found):
    with pytest.raises(DataError) as caught:
        load_deeploc(source)
    assert str(caught.value) == f"{source}: {found}; expected a FASTA file"


def test_a_file_of_ambiguous_proteins_alone_says_why_nothing_is_left(write_bytes):
    with pytest.raises(DataError, match="no protein is left; 1 records read, 1 Cytoplasm-Nucleus left out"):
        load_deeploc(write_bytes(">P1 Cytoplasm-Nucleus-U\nMKT\n"))


def test_an_unknown_choice_for_ambiguous_proteins_is_refused(write_bytes):
    with pytest.raises(OptionError, match="ambiguous='maybe': expected one of drop, keep, first"):
        load_deeploc(write_bytes(SMALL), ambiguous="maybe")


# --- validation


def test_validation_is_taken_from_train_by_default(real_fasta):
    without, splits = load_deeploc(real_fasta, validation=0), load_deeploc(real_fasta)
    assert list(splits) == ["train", "validation", "test"]
    assert splits["test"]["id"][:] == without["test"]["id"][:]
    assert sorted(splits["train"]["id"][:] + splits["validation"]["id"][:]) == sorted(without["train"]["id"][:])
    assert len(splits["validation"]) == pytest.approx(0.1 * len(without["train"]), rel=0.02)
    assert load_deeploc(real_fasta, seed=7)["validation"]["id"][:] != splits["validation"]["id"][:]


# --- the official file


class Quiet(SimpleHTTPRequestHandler):
    requests: list[str] = []

    def do_GET(self):
        self.requests.append(self.path)
        super().do_GET()

    def end_headers(self):
        self.send_header("ETag", '"1"')
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def website(tmp_path, monkeypatch):
    """A web server on this machine: its address; `tmp_path` is what it serves."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    Quiet.requests = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("name", ["deeploc_data.fasta", "deeploc_data.fasta.gz"])
def test_without_a_source_the_official_file_is_downloaded_once(website, write_bytes, monkeypatch, name):
    write_bytes(gzip.compress(SMALL.encode(), mtime=0) if name.endswith("gz") else SMALL, name)
    monkeypatch.setattr(deeploc, "URL", f"{website}/{name}")
    assert read_deeploc()["test"]["id"][:] == ["P2"]
    assert read_deeploc(ambiguous="keep")["train"]["id"][:] == ["P1", "P3"]
    assert Quiet.requests == [f"/{name}"]
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)  # a cluster's node without a network
    assert read_deeploc()["test"]["id"][:] == ["P2"]


def test_any_address_is_a_source(website, write_bytes):
    write_bytes(SMALL, "mine.fasta")
    splits = load_deeploc(f"{website}/mine.fasta", validation=0)
    assert rows(splits) == rows(DeepLoc(data_files=[f"{website}/mine.fasta"]).as_streaming_dataset())
    assert splits["train"]["id"][:] == ["P1"]


def test_a_file_that_is_not_there_is_one_line_and_no_fault_of_the_input(website):
    with pytest.raises(ProteinClassifierError) as caught:
        load_deeploc(f"{website}/nothing.fasta")
    assert str(caught.value).startswith(f"{website}/nothing.fasta: could not be downloaded (")
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)


def test_a_download_that_breaks_off_is_one_line(website, write_bytes, monkeypatch):
    path = write_bytes(SMALL, "short.fasta")
    send = Quiet.send_header
    monkeypatch.setattr(
        Quiet,
        "send_header",
        lambda self, key, value: send(self, key, "9999" if key == "Content-Length" else value),
    )
    with pytest.raises(ProteinClassifierError, match="could not be downloaded") as caught:
        load_deeploc(f"{website}/{Path(path).name}")
    assert caught.value.exit_code == 1


def test_without_a_network_the_message_says_what_to_do():
    with pytest.raises(ProteinClassifierError, match="check the network, or download the file elsewhere") as caught:
        load_deeploc()
    assert str(caught.value).startswith(deeploc.URL) and caught.value.exit_code == 1


def test_an_empty_list_of_files_does_not_download_the_official_one():
    with pytest.raises(DataError, match="no files given"):
        load_deeploc([])
