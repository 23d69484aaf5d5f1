import gzip
import random
import zlib

import pytest

from protbert_classify.errors import DataError
from protbert_classify.serving.decoding import PIECE, Decoder, decoded, is_compressed
from protbert_classify.serving.http_errors import TooLarge, UnsupportedContent

FASTA = b"".join(b">P%d\n%b\n" % (number, b"MKT" * (number % 90 + 1)) for number in range(3000))


def through(decoder, chunks):
    return b"".join(piece for chunk in chunks for piece in decoder.feed(chunk)) + decoder.finish()


def cut(data, longest, seed=0):
    generator, start = random.Random(seed), 0
    while start < len(data):
        end = start + generator.randint(1, longest)
        yield data[start:end]
        start = end


@pytest.mark.parametrize("longest", [1, 2, 1000, 10**6])
def test_a_gzip_body_is_read_in_whatever_chunks_it_comes(longest):
    packed = gzip.compress(FASTA, mtime=0)
    assert through(Decoder(compressed=True), cut(packed, longest)) == FASTA
    assert through(Decoder(), cut(packed, longest)) == FASTA  # known by how it begins
    assert through(Decoder(), cut(FASTA, longest)) == FASTA


def test_a_file_of_several_members_as_bgzip_writes_is_read_to_its_end():
    members = b"".join(gzip.compress(FASTA[start : start + 10_000], mtime=0) for start in range(0, len(FASTA), 10_000))
    assert through(Decoder(), cut(members + b"\0" * 100, 777)) == FASTA
    assert decoded(members, len(FASTA)) == FASTA


def test_pieces_are_small_however_much_they_were_compressed():
    zeros = bytes(10 * PIECE + 7)
    pieces = list(Decoder(compressed=True).feed(gzip.compress(zeros, mtime=0)))
    assert max(map(len, pieces)) <= PIECE
    assert b"".join(pieces) == zeros


@pytest.mark.parametrize("body", [b"", b"\x1f", b">", b">P1\nMKT\n"])
def test_what_is_not_compressed_stays_as_it_is(body):
    assert through(Decoder(), [body]) == body
    assert decoded(body, 100) == body


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([b">P1\nMKT\n"], "request: not valid gzip data"),
        ([gzip.compress(FASTA, mtime=0)[:-20]], "request: the gzip data is incomplete"),
        ([b""], "request: the gzip data is incomplete"),
        ([gzip.compress(FASTA, mtime=0), b"MKT"], "request: not valid gzip data"),
        ([gzip.compress(FASTA, mtime=0)[:-8] + bytes(8)], "request: not valid gzip data"),
        ([zlib.compress(FASTA)], "request: not valid gzip data"),
    ],
)
def test_damaged_data_is_named(chunks, words):
    with pytest.raises(DataError, match=words):
        through(Decoder(compressed=True), chunks)


def test_a_whole_body_is_not_decompressed_further_than_the_limit():
    packed = gzip.compress(bytes(10**8), mtime=0)
    with pytest.raises(TooLarge, match="more than 1,000 bytes"):
        decoded(packed, 1000)


@pytest.mark.parametrize(("header", "compressed"), [("", False), ("identity", False), ("gzip", True), ("X-GZip", True)])
def test_the_encodings_of_a_body(header, compressed):
    assert is_compressed(header) is compressed


@pytest.mark.parametrize("header", ["br", "gzip, gzip", "deflate", "gzip;q=1"])
def test_other_encodings_are_refused(header):
    with pytest.raises(UnsupportedContent, match="expected gzip or identity"):
        is_compressed(header)
