"""How a trainer publishes its model: finished, with a card, never all that lies in `output_dir`."""

import os
from functools import partial
from typing import Any

from accelerate.utils import broadcast_object_list
from huggingface_hub import HfApi
from transformers import Trainer

from ..hub import hub_errors, push_saved
from ..runs.files import RECORD
from ..runs.reader import Run, read_run


class HubMixin(Trainer):
    """Replaces what `Trainer` does with the Hub; see `protbert_classify.hub`."""

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Publish the model as [`push_model`] does, in place of Trainer's folder of everything and its stock card.

        Of a run that was written to its end the card has everything; else what the trainer knows: the arguments, and
        the last evaluation.

        Args:
            commit_message: Of the commit.
            blocking: Wait until it is sent.
            token: In place of `hub_token`, HF_TOKEN or the one that `hf auth login` saved.
            revision: The branch; `hub_revision` if None.
            private: Whether a new repository is; `hub_private_repo` if None, and private if that is None, too.
            kwargs: `licences`, `create_pr`, `commit_description`.

        Returns:
            The commit, or a `Future` of it if not `blocking`; None on other processes than the first.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        token = token if token is not None else self.args.hub_token
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        run, model = self._recorded_run(), os.path.join(str(self.args.output_dir), "model")
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
        send = partial(push_saved, model, run or self._unrecorded_run(), self.hub_model_id, **options)
        return send() if blocking else HfApi().run_as_future(send)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """As in `Trainer`, but private unless `hub_private_repo` says otherwise."""
        name = self.args.hub_model_id or os.path.basename(os.path.abspath(self.args.output_dir))
        with hub_errors(name, token or self.args.hub_token):
            super().init_hf_repo(token=token, private=self._is_private(private))

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Nothing: a model is published when it is finished. Trainer would send all that lies in `output_dir`."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        token, self.args.hub_token = self.args.hub_token, None  # the arguments are pickled beside the weights
        try:
            super()._save(output_dir, state_dict=state_dict)
        finally:
            self.args.hub_token = token

    def _is_private(self, private: bool | None) -> bool:
        return next((given for given in (private, self.args.hub_private_repo) if given is not None), True)

    def _recorded_run(self) -> Run | None:
        """The run in `output_dir`, if it is the one that this trainer went through, and finished."""
        folder = str(self.args.output_dir)
        if not os.path.isfile(os.path.join(folder, RECORD)):
            return None
        run = read_run(folder)
        return run if run.log and self.state.log_history[: len(run.log)] == run.log else None

    def _unrecorded_run(self) -> Run:
        """What is known of a training that wrote no run: its arguments and its log."""
        ends = [entry for entry in self.state.log_history if "train_runtime" in entry]
        return Run(
            folder=str(self.args.output_dir),
            tasks=self.model.config.tasks,
            metrics={**ends[-1], "parameters": self.model.num_parameters()} if ends else {},
            record={"training_arguments": self.args.to_dict(), "world_size": self.args.world_size},
            log=self.state.log_history,
            data=None,
            predictions=None,
        )
