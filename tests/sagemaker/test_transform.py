"""Batch transform: the table of `predict`, by instances that end by themselves and leave nothing."""

import json
import random
from types import SimpleNamespace

import pytest

from protbert_classify.errors import DataError, InputError, OptionError, ProteinClassifierError, SequenceError
from protbert_classify.inference.predict import predict_file
from protbert_classify.sagemaker import Transformer, collect_transform
from protbert_classify.sagemaker import transform as module

from .cloud import BUCKET, ROLE
from .refusals import refused
from .snapshots import same_as_snapshot
from .stubs import GUARDED, KEY, asleep, interrupt, read, same_rows, stubbed

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture
def transformer(archive, session):
    def build(model=archive, **options):
        return Transformer(model, **{"role": "protbert", "session": session, **options})

    return build


@pytest.fixture
def few(write_fasta):
    """Five proteins and a record that is none."""
    proteins = [(f"P{number} of five", "MKT" + RESIDUES[:number]) for number in range(5)]
    return write_fasta([*proteins[:2], ("bad", "MK1"), *proteins[2:]])


@pytest.mark.slow
@pytest.mark.parametrize("image", [None, "123456789012.dkr.ecr.us-east-1.amazonaws.com/protbert-classify:1"])
def test_a_file_of_several_parts_gives_the_table_that_predict_writes(
    transformer, nothing_left, serving, model_folder, write_fasta, tmp_path, image, log, request
):
    if image is None:
        request.getfixturevalue("toolkits")
    generator = random.Random(0)
    records = [
        (f'P{number}|x {number}, "é" ; \'', "".join(generator.choices(RESIDUES, k=generator.randint(5, 60))))
        for number in range(1200)
    ]
    source = write_fasta([*records[:700], ("bad one", "MK1"), *records[700:]])
    output = tmp_path / "out.csv"
    done = transformer(model_folder, image_uri=image, instance_count=2).transform(source, str(output))
    assert done[:2] == (1200, 1)
    predict_file(model_folder, source, str(tmp_path / "here.csv"))
    same_rows(read(output), read(tmp_path / "here.csv"))
    assert (tmp_path / "out.csv.rejected.csv").read_text() == (tmp_path / "here.csv.rejected.csv").read_text()
    job = serving.cloud.made("CreateTransformJob")[0]["TransformJobName"]
    assert [key.rsplit("/", 1)[1] for key in serving.cloud.keys(f"protbert-classify/{job}/input/")] == [
        "part-00000.jsonl",
        "part-00001.jsonl",
        "part-00002.jsonl",
    ]
    assert f"transform job {job}: 2 x ml.m5.xlarge, ends by itself" in log.messages


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_of_tables_can_be_written(transformer, serving, few, tmp_path, ending):
    import pandas as pd

    output = str(tmp_path / f"out.{ending}")
    transformer(image_uri="stub").transform(few, output)
    readers = {"csv": pd.read_csv, "tsv": lambda path: pd.read_csv(path, sep="\t"), "parquet": pd.read_parquet}
    table = readers.get(ending, lambda path: pd.read_json(path, lines=True))(output)
    assert list(table["id"]) == [f"P{number}" for number in range(5)]
    assert list(table["length"]) == [3, 4, 5, 6, 7] and list(table["Nucleus"]) == [0.75] * 5
    assert not (tmp_path / f"out.{ending}.parts").exists()
    assert serving.stub.asked[0][:2] == ("application/jsonlines", "application/jsonlines")


def test_odd_accessions_of_a_table_in_s3_survive(transformer, serving, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PROTEINS", 2)
    names = [("a b", "two\nlines"), (">c", ""), ("d", "tab\there, \"quoted\" 'é'"), ("e;|", ">f")]
    lines = [json.dumps({"id": name, "description": about, "sequence": "mkt"}) + "\n" for name, about in names]
    source = serving.cloud.put("data/proteins.jsonl", "".join(lines).encode())
    done = transformer(image_uri="stub").transform(source, str(tmp_path / "out.jsonl"))
    assert done.classified == 4 and len(serving.stub.asked) == 2
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().split("\n") if line]
    assert [(row["id"], row["description"]) for row in rows] == names
    assert not (tmp_path / "out.jsonl.rejected.csv").exists()


def test_a_job_need_not_be_waited_for(transformer, nothing_left, serving, session, few, tmp_path):
    models, serving.stays = serving.there()[2], "InProgress"
    transformer(image_uri="stub").transform(few, str(tmp_path / "out.csv"), wait=False)
    assert len(serving.there()[2]) == len(models) + 1
    with refused(OptionError, "out.csv was begun before"):
        transformer(image_uri="stub").transform(few, str(tmp_path / "out.csv"))
    serving.stays = None
    done = collect_transform(str(tmp_path / "out.csv"), session)
    assert done[:4] == (5, 1, str(tmp_path / "out.csv.rejected.csv"), True)
    assert len(read(tmp_path / "out.csv")) == 5
    assert [row["id"] for row in read(tmp_path / "out.csv.rejected.csv")] == ["bad"]


def test_a_job_goes_on_where_aws_cannot_be_reached_and_another_process_fetches_the_table(
    transformer, serving, session, few, tmp_path
):
    output = str(tmp_path / "out.csv")
    transformer(image_uri="stub").transform(few, output, wait=False)
    away = SimpleNamespace(sagemaker_client=unreachable())
    with refused(ProteinClassifierError, "not look up the transform job "):
        collect_transform(output, away)
    assert serving.cloud.made("StopTransformJob") == []
    assert collect_transform(output, session)[:2] == (5, 1)
    assert len(read(output)) == 5
    with pytest.raises(OptionError, match="no transform job makes it"):
        collect_transform(output, session)


def unreachable():
    """A client of an AWS that nobody answers for."""
    import boto3
    from botocore.config import Config

    options = Config(retries={"total_max_attempts": 1})
    return boto3.client("sagemaker", endpoint_url="http://127.0.0.1:9", config=options)


def test_a_job_that_fails_says_why_and_leaves_nothing(transformer, nothing_left, serving, few, tmp_path):
    stubbed(serving, (400, "no\nmemory"))
    reason = "ClientError: 400: no memory; its log: CloudWatch, /aws/sagemaker/TransformJobs"
    with refused(ProteinClassifierError, text=reason):
        transformer(image_uri="stub").transform(few, str(tmp_path / "out.csv"))
    assert not list(tmp_path.glob("out*"))


def test_after_ctrl_c_the_job_continues_and_its_table_can_be_fetched(
    transformer, serving, session, few, tmp_path, monkeypatch
):
    output, serving.stays = str(tmp_path / "out.csv"), "InProgress"

    with (
        monkeypatch.context() as patch,
        pytest.raises(KeyboardInterrupt, match="continues, .* --resume' with the same"),
    ):
        asleep(patch, interrupt)
        transformer(image_uri="stub").transform(few, output)
    assert serving.cloud.made("StopTransformJob") == []
    serving.stays = None
    assert collect_transform(output, session)[:2] == (5, 1)


def test_strict_refuses_the_file_before_anything_is_created(transformer, serving, few, tmp_path):
    with refused(SequenceError, r"record 3 \(bad\): '1' at position 3"):
        transformer(image_uri="stub").transform(few, str(tmp_path / "out.csv"), strict=True)
    assert serving.cloud.requests == [] and not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "options, source, output, kind, complaint",
    [
        ({"model": "s3://proteins/none.tar.gz"}, "good", "out.csv", InputError, "nothing at s3://proteins/none.tar.gz"),
        ({"model": "/nowhere"}, "good", "out.csv", InputError, "no model there"),
        ({}, "none.fasta", "out.csv", DataError, "no such file"),
        ({}, "bad", "out.csv", DataError, "none of its 1 records can be classified"),
        ({}, "good", "out.txt", OptionError, "expected a name that ends in"),
        ({}, f"s3://{BUCKET}/none.fasta", "out.csv", InputError, "could not download s3://proteins/none.fasta"),
    ],
)
def test_a_model_or_a_file_that_cannot_be_used_is_refused(
    transformer, serving, write_fasta, tmp_path, options, source, output, kind, complaint
):
    files = {"good": write_fasta([("P1", "MKT")]), "bad": write_fasta([("bad", "MK1")], "bad.fasta")}
    with refused(kind, text=complaint):
        transformer(**{"image_uri": "stub", **options}).transform(files.get(source, source), str(tmp_path / output))
    assert serving.cloud.made("CreateModel") == [] and not list(tmp_path.glob("out*"))


def test_the_requests_of_a_job_with_everything(transformer, serving, few, tmp_path):
    instances = {"instance_type": "ml.m5.2xlarge", "instance_count": 3}
    container = {
        "role": ROLE,
        "image_uri": "stub",
        **GUARDED,
        "tags": {"team": "membranes"},
        "environment": {"OMP_NUM_THREADS": "4"},
    }
    transformer(**instances, **container).transform(few, str(tmp_path / "out.csv"))
    sent = {name: body for name, body in serving.cloud.requests if name.startswith("Create")}
    assert sent["CreateTransformJob"]["TransformResources"]["InstanceCount"] == 1, "of one part, others have nothing"
    same_as_snapshot("transform_secured", sent)


def test_an_instance_whose_disks_encrypt_themselves_gets_no_key_for_them(transformer):
    def resources(instance_type):
        request = transformer(instance_type=instance_type, kms_key=KEY)._request("job", "s3://b", 1)
        assert request["TransformOutput"]["KmsKeyId"] == KEY
        return request["TransformResources"]

    assert resources("ml.g4dn.xlarge")["VolumeKmsKeyId"] is None
    assert resources("ml.m5.xlarge")["VolumeKmsKeyId"] == KEY
