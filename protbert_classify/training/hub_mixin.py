"""Trainer's own hooks for the Hub, which publish through `protbert_classify.hub`."""

import os
from functools import partial
from typing import Any

from accelerate.utils import broadcast_object_list
from huggingface_hub import HfApi
from transformers import Trainer

from ..hub import hub_errors, push_saved
from ..model.four_bits import count_parameters
from ..runs.files import MODEL
from ..runs.finished_run import Run, finished_run, unfinished_run


class HubMixin(Trainer):
    """Overrides Trainer's hooks for the Hub: a model is published once it is finished, with a card and nothing else."""

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Publish the model as [`push_model`] does; Trainer would send all of `output_dir` with a stock card.

        The card of a finished run has everything; of any other training it has the arguments and the last evaluation.

        Args:
            commit_message: The message of the commit.
            blocking: Wait until everything is sent.
            token: In place of `hub_token`, HF_TOKEN or the one that `hf auth login` saved.
            revision: The branch; `hub_revision` if None.
            private: Whether a new repository is private; `hub_private_repo` if None, and private if that is None, too.
            kwargs: `licences`, `create_pr`, `commit_description`.

        Returns:
            The commit, or a `Future` of it if not `blocking`; None on all processes but the main one.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        token = token if token is not None else self.args.hub_token
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        folder = str(self.args.output_dir)
        run, model = finished_run(folder, self.state.log_history), os.path.join(folder, MODEL)
        if not broadcast_object_list([run is not None])[0]:
            self.save_model(model, _internal_call=True)  # on all processes: FSDP gathers the weights here
        if not self.is_world_process_zero():
            return None
        self._finish_current_push()
        options = {
            "private": self._is_private(private),
            "token": token,
            "revision": revision if revision is not None else self.args.hub_revision,
            "commit_message": commit_message,
            **kwargs,
        }
        send = partial(push_saved, model, run or self._unfinished_run(), self.hub_model_id, **options)
        return send() if blocking else HfApi().run_as_future(send)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """As in `Trainer`, but private unless `hub_private_repo` says otherwise."""
        name = self.args.hub_model_id or os.path.basename(os.path.abspath(self.args.output_dir))
        with hub_errors(name, token or self.args.hub_token):
            super().init_hf_repo(token=token, private=self._is_private(private))

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Do nothing: a model is published once it is finished. Trainer would send all of `output_dir`."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        token, self.args.hub_token = self.args.hub_token, None  # Trainer pickles the arguments beside the weights
        try:
            super()._save(output_dir, state_dict=state_dict)
        finally:
            self.args.hub_token = token

    def _is_private(self, private: bool | None) -> bool:
        return next((given for given in (private, self.args.hub_private_repo) if given is not None), True)

    def _unfinished_run(self) -> Run:
        """What is known of a training that wrote no `run.json`."""
        arguments = {"training_arguments": self.args.to_dict(), "world_size": self.args.world_size}
        log, parameters = self.state.log_history, count_parameters(self.model)
        return unfinished_run(str(self.args.output_dir), self.model.config.tasks, arguments, log, parameters)
