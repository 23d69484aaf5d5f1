"""transformers' own tests of tokenizers, run on ours."""

import tempfile
import unittest

import pytest
from tokenizers import decoders
from transformers import BertTokenizer, EsmcTokenizer, EsmTokenizer, PreTrainedTokenizerFast, T5Tokenizer

from protbert_classify.data.tokenizer import PROTBERT_VOCABULARY, protein_tokenizer

from .intended import TokenizerDifferences
from .source import mixins

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
TokenizerTesterMixin = mixins("test_tokenization_common").TokenizerTesterMixin
TokenizersBackendTesterMixin = mixins("test_tokenizers_backend_mixin").TokenizersBackendTesterMixin

ESM_VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]


def protbert():
    return BertTokenizer(vocab={token: i for i, token in enumerate(PROTBERT_VOCABULARY)}, do_lower_case=False)


def esm2():
    with tempfile.NamedTemporaryFile("w", suffix="vocab.txt") as file:
        file.write("\n".join(ESM_VOCABULARY))
        file.flush()
        return EsmTokenizer(file.name)


def prott5():
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("▁" + letter, -float(i)) for i, letter in enumerate("ALGVSREDTIPKFQNYMHWCXBOUZ", 3)]
    return T5Tokenizer(vocab=pieces, extra_ids=2)


class ProteinTokenizerTest:
    """A folder with a tokenizer of ours, which the mixins load."""

    tokenizer_class = rust_tokenizer_class = PreTrainedTokenizerFast
    source = None  # makes the tokenizer of the backbone

    @classmethod
    def setUpClass(cls):
        cls.tmpdirname = tempfile.mkdtemp()  # removed by the mixin
        protein_tokenizer(cls.source()).save_pretrained(cls.tmpdirname)
        cls.from_pretrained_id = [cls.tmpdirname]
        cls.tokenizers_list = [(PreTrainedTokenizerFast, cls.tmpdirname, {})]
        cls._data = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV"


class TestProtBert(ProteinTokenizerTest, TokenizerTesterMixin, unittest.TestCase):
    source = staticmethod(protbert)


class TestEsm2(ProteinTokenizerTest, TokenizerTesterMixin, unittest.TestCase):
    source = staticmethod(esm2)


class TestEsmc(ProteinTokenizerTest, TokenizerTesterMixin, unittest.TestCase):
    source = staticmethod(EsmcTokenizer)


class TestProtT5(ProteinTokenizerTest, TokenizerTesterMixin, unittest.TestCase):
    source = staticmethod(prott5)


class TestBackend(TokenizerDifferences, ProteinTokenizerTest, TokenizersBackendTesterMixin, unittest.TestCase):
    """What does not depend on the vocabulary; transformers runs it once, too."""

    source = staticmethod(protbert)

    @classmethod
    def get_rust_tokenizer(cls, pretrained_name=None, **kwargs):
        """Decoding puts a space between residues, as ProtBERT's does; the mixin compares text without spaces."""
        tokenizer = super().get_rust_tokenizer(pretrained_name, **kwargs)
        tokenizer.backend_tokenizer.decoder = decoders.Fuse()
        return tokenizer
