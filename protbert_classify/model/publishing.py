"""A saved classifier to a repository of the Hub, with the code that loads it where this package is not installed."""

import glob
import json
import os
from collections.abc import Mapping, Sequence

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, ModelCardData, RepoUrl
from transformers.dynamic_module_utils import get_relative_import_files

CARD = "README.md"
CONFIG = "config.json"
WEIGHTS = "*.safetensors"
# the other files of a saved model; whatever else is in its folder (a log, training_args.bin) is not published
SAVED = (WEIGHTS, "*.safetensors.index.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
# Only a published config.json has it: in a local one, AutoTokenizer would ask whether to run the code beside it.
AUTO_MAP = {
    "AutoConfig": "configuration.ProteinClassifierConfig",
    "AutoModel": "modeling.ProteinBackbone",
    "AutoModelForSequenceClassification": "modeling.ProteinClassifier",
}
TAGS = ("biology", "protein", "protein-classification")
TASK = "text-classification"  # the Hub's task whose pipeline works with the published code

Files = dict[str, str | bytes]  # name in the repository -> path here, or content


def code_files() -> list[str]:
    """Paths of `modeling.py` and the siblings it needs, as transformers finds them again in the repository."""
    modeling = os.path.join(os.path.dirname(__file__), "modeling.py")
    return sorted({modeling, *get_relative_import_files(modeling)})


def repository_files(folder: str) -> Files:
    """What a repository holds of a saved model: weights, tokenizer, code, and the configuration that names the code.

    Args:
        folder: Of the saved model; it stays as it is.
    """
    saved = sorted(name for pattern in SAVED for name in glob.glob(pattern, root_dir=glob.escape(folder)))
    files: Files = {name: os.path.join(folder, name) for name in saved}
    files.update((os.path.basename(path), path) for path in code_files())
    with open(os.path.join(folder, CONFIG), encoding="utf-8") as file:
        config = {**json.load(file), "auto_map": AUTO_MAP}
    files[CONFIG] = f"{json.dumps(config, indent=2, sort_keys=True)}\n".encode()
    return files


def open_repository(api: HfApi, repo_id: str, private: bool | None = True, revision: str | None = None) -> RepoUrl:
    """The repository, made if it is not there, and the branch `revision` in it; its `repo_id` has the owner.

    Args:
        api: The client.
        repo_id: `owner/name`, or a name in the user's own namespace.
        private: Whether a new repository is; None for what the account has set. One that is there stays as it is.
        revision: A branch; None for main.
    """
    url = api.create_repo(repo_id, private=private, exist_ok=True)
    if revision is not None and not revision.startswith("refs/pr"):
        api.create_branch(url.repo_id, branch=revision, exist_ok=True)
    return url


def commit_files(
    api: HfApi,
    repo_id: str,
    files: Mapping[str, str | bytes],
    *,
    commit_message: str | None = None,
    commit_description: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> CommitInfo:
    """Send files in one commit; weights of a former commit that are none of them go with it.

    A model that was in one file and now comes in several would else still be loaded from the one.
    """
    there = api.list_repo_files(repo_id, revision=revision)
    stale = [name for name in there if _is_weights(name) and name not in files]
    return api.create_commit(
        repo_id,
        [
            *(CommitOperationAdd(name, content) for name, content in files.items()),
            *(CommitOperationDelete(name) for name in stale),
        ],
        commit_message=commit_message or "Upload model",
        commit_description=commit_description,
        revision=revision,
        create_pr=create_pr,
    )


def _is_weights(name: str) -> bool:
    return "/" not in name and name.startswith("model") and name.endswith((".safetensors", ".safetensors.index.json"))


def short_card(repo_id: str, labels: Sequence[str], tags: Sequence[str] | None = None, members: int = 1) -> str:
    """A card for a model of which nothing is known but itself: its classes, and the code to load it.

    Args:
        repo_id: `owner/name`.
        labels: Of its classes.
        tags: Beside those of every card.
        members: Models in an ensemble; 1 for a single model.
    """
    kind = f"an ensemble of {members} models, " if members > 1 else ""
    own = ["ensemble"] if members > 1 else []
    data = ModelCardData(library_name="transformers", pipeline_tag=TASK, tags=[*TAGS, *own, *(tags or ())])
    text = SHORT_CARD.format(repo_id=repo_id, labels="\n".join(labels), kind=kind)
    return f"---\n{data.to_yaml()}\n---\n{text}"


SHORT_CARD = """
# {repo_id}

Classifies a protein by its sequence, {kind}with [transformers](https://huggingface.co/docs/transformers). Its classes:

```text
{labels}
```

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{repo_id}", trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained("{repo_id}", trust_remote_code=True)
```

With `protbert_classify` installed and imported, the same works without `trust_remote_code`.

On what it was trained, and how good it is, was not recorded when it was published.
"""
