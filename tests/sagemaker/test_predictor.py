"""Endpoints give the scores of the pipeline, and the table of `predict`."""

import json

import pytest

from protbert_classify.errors import DataError, OptionError, ProteinClassifierError, SequenceError
from protbert_classify.inference.predict import predict_file
from protbert_classify.sagemaker import Asynchronous, Serverless
from protbert_classify.sagemaker.endpoints import invocation
from protbert_classify.sagemaker.payloads import BODY
from protbert_classify.sagemaker.payloads import PROTEINS as MOST

from .endpoints import one_line
from .stubs import PROTEIN, PROTEINS, calls, close, stubbed

pytestmark = pytest.mark.usefixtures("clean")


def test_an_endpoint_gives_the_scores_of_the_pipeline(endpoint, pipe):
    assert close(endpoint.predict(PROTEINS), pipe(PROTEINS))
    assert close(endpoint.predict(PROTEIN), pipe(PROTEIN))
    assert close(endpoint.predict(PROTEINS, top_k=None), pipe(PROTEINS, top_k=None))
    assert close(endpoint.predict([PROTEIN], top_k=2), pipe([PROTEIN], top_k=2))
    assert endpoint.predict([]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/protbert-classify:1"},
        {"asynchronous": Asynchronous()},
        {"serverless": Serverless(memory=4096)},
    ],
    ids=["our server", "asynchronous", "serverless"],
)
def test_every_kind_of_endpoint_gives_the_scores_of_the_pipeline(up, pipe, options):
    predictor = up(**options)
    assert close(predictor.predict(PROTEINS), pipe(PROTEINS))
    assert close(predictor.predict(PROTEIN, top_k=None), pipe(PROTEIN, top_k=None))


@pytest.mark.slow
def test_an_asynchronous_endpoint_gives_the_reason_of_a_failure_and_the_table_of_a_file(
    up, model_folder, write_fasta, tmp_path
):
    predictor = up(asynchronous=Asynchronous())
    source = write_fasta([(f"P{number} protein {number}", PROTEIN[number % 20 :]) for number in range(150)])
    predictor.predict_file(source, str(tmp_path / "cloud.csv"))
    predict_file(model_folder, source, str(tmp_path / "here.csv"))
    assert (tmp_path / "cloud.csv").read_text() == (tmp_path / "here.csv").read_text()
    wrong = predictor.channel.submit(invocation.Body(b"no json", "application/json", "application/json"))
    with pytest.raises(ProteinClassifierError, match="request: not valid JSON") as error:
        wrong()
    assert "/aws/sagemaker/Endpoints/" in one_line(error)


def test_a_file_gives_the_table_that_predict_writes(endpoint, serving, model_folder, tmp_path):
    source = tmp_path / "proteins.jsonl"
    odd = [{"id": 'a "b",\tc', "description": "two\nlines, é", "sequence": "MKT"}, {"id": "bad", "sequence": "M1"}]
    rows = odd + [{"id": f"P{n}", "sequence": PROTEIN[n % 20 :]} for n in range(100)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("calls.csv", "calls.jsonl"):
        done = endpoint.predict_file(str(source), str(tmp_path / name))
        assert done[:2] == (101, 1)
        predict_file(model_folder, str(source), str(tmp_path / f"here-{name}"))
        assert (tmp_path / name).read_text() == (tmp_path / f"here-{name}").read_text()
        here = (tmp_path / f"here-{name}.rejected.csv").read_text()
        assert (tmp_path / f"{name}.rejected.csv").read_text() == here
        assert not (tmp_path / f"{name}.parts").exists()
    assert max(body.count(b"\n") for body in serving.bodies) == MOST


def test_what_an_interrupted_file_has_is_kept_and_gone_on_with(endpoint, write_fasta, tmp_path, monkeypatch):
    from protbert_classify.sagemaker.endpoints import whole_file

    monkeypatch.setattr(whole_file, "PART", 10)
    source, output = write_fasta([(f"P{n}", PROTEIN[n % 20 :]) for n in range(35)]), str(tmp_path / "calls.csv")
    table, asked = endpoint.table, []

    def interrupted(records):
        asked.append(len(records))
        if len(asked) == 4:
            raise KeyboardInterrupt
        return table(records)

    monkeypatch.setattr(endpoint, "table", interrupted)
    with pytest.raises(KeyboardInterrupt, match="--resume continues after part 2"):
        endpoint.predict_file(source, output)
    with pytest.raises(OptionError, match="begun before"):
        endpoint.predict_file(source, output)
    asked.clear()
    monkeypatch.setattr(endpoint, "table", lambda records: asked.append(len(records)) or table(records))
    assert endpoint.predict_file(source, output, resume=True).classified == 35
    assert asked == [1, 10, 5]


def test_records_come_as_rows_in_their_order(endpoint, write_fasta):
    from protbert_classify.data.readers import read_unlabelled

    source = write_fasta([(f"P{n} of {n}", PROTEIN[n % 20 :]) for n in range(70)])
    rows = list(endpoint.rows(read_unlabelled(source)))
    assert [(row.id, row.description, row.length) for row in rows] == [
        (f"P{n}", f"of {n}", len(PROTEIN) - n % 20) for n in range(70)
    ]
    assert all(len(row.answers) == 5 and row.truncated == (row.length > 20) for row in rows)


def test_a_character_that_is_no_residue_costs_no_call(endpoint, serving):
    with pytest.raises(SequenceError, match="^sequence 2: '1' at position 3 is no residue") as error:
        endpoint.predict(["MKT", "MK1"])
    one_line(error)
    with pytest.raises(SequenceError, match="100,001 residues; an endpoint takes at most 100,000"):
        endpoint.predict("M" * 100_001)
    with pytest.raises(SequenceError, match="found int; expected a protein as text, or a list of them"):
        endpoint.predict(3)
    with pytest.raises(OptionError, match="top_k 0"):
        endpoint.predict("MKT", top_k=0)
    assert serving.bodies == []


def test_a_list_is_sent_in_requests_within_the_limits(up, serving):
    predictor = up(image_uri="stub")
    stubbed(serving, (200, calls))
    sequences = ["M" * (1 + number % 7) for number in range(3 * MOST + 1)] + ["M" * 100_000] * MOST
    assert [call["label"] for call in predictor.predict(sequences)] == list(map(len, sequences))
    counts = [len(json.loads(body)["inputs"]) for body in serving.bodies]
    assert sum(counts) == len(sequences) and max(counts) == MOST
    assert max(map(len, serving.bodies)) < BODY + 2**16 and len(counts) > 4


def test_a_file_that_is_not_there_costs_no_call(endpoint, serving, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        endpoint.predict_file(str(tmp_path / "none.fasta"), str(tmp_path / "calls.csv"))
    with pytest.raises(OptionError, match="expected a name that ends in"):
        endpoint.predict_file(str(tmp_path / "none.fasta"), str(tmp_path / "calls.txt"))
    assert serving.bodies == []
