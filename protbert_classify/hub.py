"""Publishes on the Hugging Face Hub: a trained model with its card, or proteins as a dataset.

Tokens come from HF_TOKEN or `hf auth login`; none is printed or written here.
"""

import glob
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from datasets import DatasetDict
from huggingface_hub import CommitInfo, DatasetCard, HfApi, ModelCard, get_token
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open

from .data.fingerprint import fingerprint
from .errors import ModelError, OptionError, ProteinClassifierError, first_line
from .inference.merged_folder import merged_folder
from .model import ProteinClassifierConfig
from .model.publishing import CARD, CONFIG, Files, commit_files, open_repository, repository_files
from .model_source import resolve_model_path
from .reporting.card import Licences
from .reporting.dataset_card import answers_of, dataset_card
from .reporting.model_card import draw_card_pictures, model_card
from .runs.files import MODEL, RECORD, SETTINGS
from .runs.finished_run import Run, read_run

logger = logging.getLogger(__name__)

INDEX = "model.safetensors.index.json"


def push_model(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool | None = True,
    licences: Licences = Licences(),
    token: str | bool | None = None,
    revision: str | None = None,
    **kwargs: Any,
) -> CommitInfo:
    """Publish what a training wrote: weights, configuration, tokenizer, the code to load it anywhere, and a card.

    The folder stays as it is. Of a run's folder (or its `model/`) the card tells data, results and training; of the
    folder of a model alone, its classes and how to load it.

    Args:
        folder: Of a finished run, or of a saved model.
        repo_id: `owner/name`, or a name in the user's own namespace.
        private: Whether a new repository is; None for what the account has set.
        licences: For the card; what is not given is not guessed.
        token: In place of HF_TOKEN or the one that `hf auth login` saved.
        revision: The branch; main if None.
        kwargs: `commit_message`, `commit_description`, `create_pr`.

    Returns:
        The commit; its `repo_url` is where the model is.

    Raises:
        InputError: No finished run and no model there, a wrong `repo_id` or licence; nothing was sent.
        ProteinClassifierError: The Hub cannot be reached, or does not let the user write.
    """
    model, run = find_model(folder)
    return push_saved(model, run, repo_id, private=private, licences=licences, token=token, revision=revision, **kwargs)


def push_saved(
    model: str,
    run: Run | None,
    repo_id: str,
    *,
    private: bool | None = True,
    licences: Licences = Licences(),
    token: str | bool | None = None,
    revision: str | None = None,
    **kwargs: Any,
) -> CommitInfo:
    """[`push_model`] for the folder of a model and, if there is one, the run that it comes from.

    An adapter is merged into the weights: readers have neither its base model nor peft.
    """
    check_repo_id(repo_id)
    check_model(model)
    with merged_folder(model) as whole, hub_errors(repo_id, token), tempfile.TemporaryDirectory() as pictures:
        api = HfApi(token=token)
        repo_id = _with_owner(api, repo_id)
        card, files = describe_model(whole, run, repo_id, licences, pictures)
        _validate(ModelCard(card))
        open_repository(api, repo_id, private, revision)
        _tell_visibility(api, repo_id, private, "model")
        return commit_files(api, repo_id, {**files, CARD: card.encode()}, revision=revision, **kwargs)


def describe_model(model: str, run: Run | None, repo_id: str, licences: Licences, pictures: str) -> tuple[str, Files]:
    """The card of a model, and the other files to publish: name in the repository -> path, or content.

    Args:
        model: Folder of the saved model.
        run: The training that it comes from.
        repo_id: `owner/name`.
        licences: For the card.
        pictures: Folder in which those of the card are drawn.
    """
    card = model_card(ProteinClassifierConfig.from_pretrained(model), repo_id, run, licences)
    return card, {**repository_files(model), **draw_card_pictures(run, pictures)}


def push_dataset(
    proteins: DatasetDict,
    repo_id: str,
    *,
    source: str | None = None,
    private: bool | None = True,
    licence: str | None = None,
    token: str | None = None,
    label_columns: Sequence[str] | None = None,
) -> CommitInfo:
    """Publish labelled proteins as Parquet with a card; `load_dataset` and `--data owner/name` read them again.

    Args:
        proteins: Splits as `load_deeploc` or `load_proteins` gives them.
        repo_id: `owner/name`, or a name in the user's own namespace.
        source: The file or Hub dataset they were read from, for the card; None to leave it out.
        private: Whether a new repository is; None for what the account has set.
        licence: As the Hub names it (`cc-by-4.0`, ...).
        token: In place of HF_TOKEN or the one that `hf auth login` saved.
        label_columns: What is to be predicted, and what the fingerprints of the card cover; the first column with
            answers if None.

    Raises:
        InputError: A wrong `repo_id` or licence; nothing was sent.
        ProteinClassifierError: The Hub cannot be reached, or does not let the user write.
    """
    check_repo_id(repo_id)
    labels = label_columns or answers_of(proteins)[:1]
    fingerprints = {name: fingerprint(part, labels) for name, part in proteins.items()}
    with hub_errors(repo_id, token):
        api = HfApi(token=token)
        repo_id = _with_owner(api, repo_id)
        _validate(DatasetCard(dataset_card(proteins, repo_id, source, fingerprints, licence, None, labels)))
        proteins.push_to_hub(repo_id, private=private, token=token)
        _tell_visibility(api, repo_id, private, "dataset")
        # which columns and files there are stands in the card that came with the Parquet files
        described = DatasetCard.load(repo_id, token=token).data.to_dict()
        generated = {name: described[name] for name in ("configs", "dataset_info") if name in described}
        card = dataset_card(proteins, repo_id, source, fingerprints, licence, generated, labels)
        return api.upload_file(
            path_or_fileobj=card.encode(),
            path_in_repo=CARD,
            repo_id=repo_id,
            repo_type="dataset",
            commit_message="Describe the data",
        )


def find_model(folder: str | os.PathLike[str]) -> tuple[str, Run | None]:
    """The folder of the model, and the finished run that it comes from, if any.

    Raises:
        ModelError: No model there.
        OptionError: A run that is not finished.
        DataError: A run with a damaged file.
    """
    name = os.path.normpath(os.fspath(folder))
    if not os.path.isdir(name):
        raise ModelError(f"{name}: no such folder; expected the output_dir of a training, or the folder of a model")
    run = name
    if os.path.basename(name) == MODEL and os.path.isfile(os.path.join(os.path.dirname(name), RECORD)):
        run = os.path.dirname(name)
    if os.path.isfile(os.path.join(run, RECORD)) or _is_unfinished(run):
        found = read_run(run)
        return resolve_model_path(run), found
    return resolve_model_path(name), None


def _is_unfinished(folder: str) -> bool:
    """Whether a training of ours began there; one by a script of the user's may have its model beside checkpoints."""
    begun = os.path.isfile(os.path.join(folder, SETTINGS)) or glob.glob("checkpoint-*", root_dir=folder)
    return bool(begun) and not os.path.isfile(os.path.join(folder, CONFIG))


def check_model(folder: str) -> None:
    """Raise ModelError unless a whole `ProteinClassifier` and its tokenizer are there."""
    with open(os.path.join(folder, CONFIG), encoding="utf-8") as file:
        try:
            kind = json.load(file).get("model_type")
        except (ValueError, AttributeError):
            raise ModelError(f"{folder}: its {CONFIG} is damaged; expected a saved ProteinClassifier") from None
    if kind != ProteinClassifierConfig.model_type:
        found = f"a {kind}" if kind else "a model of an unknown kind"
        raise ModelError(f"{folder}: {found}, not a classifier of this package; fine-tune it first (train)")
    if not os.path.isfile(os.path.join(folder, "tokenizer.json")):
        raise ModelError(f"{folder}: the tokenizer is missing (no tokenizer.json); save it beside the model")
    for name in _weights(folder):
        path = os.path.join(folder, name)
        try:
            with safe_open(path, framework="np"):  # reads the header and compares it with the size of the file
                pass
        except FileNotFoundError:
            raise ModelError(f"{path}: no such file; the weights of the model are not all there") from None
        except SafetensorError as error:
            raise ModelError(f"{path}: damaged weights ({first_line(error)}); save or copy them again") from None


def _weights(folder: str) -> list[str]:
    """Names of the files that hold the weights: one, or those of an index."""
    path = os.path.join(folder, INDEX)
    if os.path.isfile(os.path.join(folder, "model.safetensors")) or not os.path.isfile(path):
        return ["model.safetensors"]
    with open(path, encoding="utf-8") as file:
        return sorted(set(json.load(file)["weight_map"].values()))


def check_repo_id(repo_id: str) -> None:
    """Raise OptionError for a name that a repository cannot have."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise OptionError(f"repo_id {repo_id!r}: expected owner/name; {first_line(error)}") from None


def _with_owner(api: HfApi, repo_id: str) -> str:
    return repo_id if "/" in repo_id else f"{api.whoami()['name']}/{repo_id}"


def _validate(card: ModelCard | DatasetCard) -> None:
    """Ask the Hub whether it takes the card, before anything is made there: it knows the licences."""
    try:
        card.validate()
    except ValueError as error:
        raise OptionError(f"the Hub refuses the card: {_reasons(str(error))}") from None


def _reasons(answer: str) -> str:
    """What the Hub has against a card; it answers in JSON or in words."""
    with suppress(KeyError, TypeError, ValueError):
        answer = "; ".join(error["message"] for error in json.loads(answer)["errors"])
    return " ".join(answer.split())[:300]


def _tell_visibility(api: HfApi, repo_id: str, private: bool | None, kind: str) -> None:
    """A repository that was there before keeps being public or private, whatever was asked for."""
    found = api.repo_info(repo_id, repo_type=kind).private
    if private is not None and found is not None and bool(found) != private:
        state = "private" if found else "public"
        logger.warning("%s was there before and stays %s; its settings on the Hub change that", repo_id, state)


@contextmanager
def hub_errors(repo_id: str, token: str | bool | None = None) -> Iterator[None]:
    """What the Hub and the way to it answer, in one line without a token.

    Raises:
        OptionError: What the Hub refuses or does not have.
        ProteinClassifierError: No network, a connection that was cut, no permission.
    """
    try:
        yield
    except Exception as error:
        # an upload that failed in a thread comes wrapped
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error
        plain = _plain_error(cause, repo_id, token)
        if plain is None:
            raise
        raise plain from None  # what is chained to it may hold the headers of the request


def _plain_error(error: BaseException, repo_id: str, token: str | bool | None) -> ProteinClassifierError | None:
    if isinstance(error, HfHubHTTPError):
        return _answer(error, repo_id, token)
    if isinstance(error, LocalTokenNotFoundError):
        return ProteinClassifierError(f"{repo_id}: {LOGIN}")
    if isinstance(error, OfflineModeIsEnabled):
        return ProteinClassifierError(f"{repo_id}: HF_HUB_OFFLINE is set; unset it to publish")
    if isinstance(error, (HTTPError, ConnectionError, TimeoutError)):
        if "LocalProtocol" in type(error).__name__:  # its text has the header with the token
            return ProteinClassifierError(f"{repo_id}: the token has characters that no token has; {LOGIN}")
        return ProteinClassifierError(
            f"{repo_id}: no connection to {ENDPOINT}, or it was cut ({type(error).__name__}); nothing changed here: "
            "check the network and push again"
        )
    if type(error) is RuntimeError or "Xet" in type(error).__name__:  # of hf_xet, which uploads what is large
        return ProteinClassifierError(f"{repo_id}: the upload failed ({_safe(str(error), token)}); push again")
    return None


LOGIN = "log in with 'hf auth login', or set HF_TOKEN to a token that may write"


def _answer(error: HfHubHTTPError, repo_id: str, token: str | bool | None) -> ProteinClassifierError:
    """The error for a status other than 200."""
    status = error.response.status_code
    said = f": {_safe(error.server_message, token)}" if error.server_message else ""
    if status == 401:
        known = isinstance(token, str) or (token is not False and get_token() is not None)
        reason = "the Hub does not accept the token" if known else "no token"
        return ProteinClassifierError(f"{repo_id}: {reason}; {LOGIN}")
    if status == 403:
        return ProteinClassifierError(
            f"{repo_id}: the token may not write there; expected one with write permission, and a repository of yours "
            "or of your organization"
        )
    if status == 404:
        return OptionError(f"{repo_id}: no such repository or owner on {ENDPOINT}, or not visible to you")
    if status in (400, 409, 422):
        return OptionError(f"{repo_id}: the Hub refuses it ({status}{said})")
    return ProteinClassifierError(f"{repo_id}: the Hub cannot do it now ({status}{said}); push again later")


def _safe(text: str, token: str | bool | None) -> str:
    """What a server said, in one line; no answer brings a token to the screen."""
    for secret in (token, get_token()):
        if isinstance(secret, str) and secret:
            text = text.replace(secret, "***")
    return re.sub(r"hf_\w+", "hf_***", " ".join(text.split()))[:200]
