"""One of several processes that a launcher started: whether it is the first, and how it ends."""

import gc
import os
import sys


def is_distributed() -> bool:
    """Whether a launcher (torchrun, Accelerate) started more processes than this."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def is_first_process() -> bool:
    """Whether this is the first of the processes, or the only one."""
    return not is_distributed() or int(os.environ.get("RANK", 0)) == 0


def leave_process_group() -> None:
    """Leave the group of processes, if there is one, so that this process can end.

    Gloo's threads hold tensors of the last exchange for a moment. If Python ends meanwhile they abort it ("terminate
    called without an active exception", https://github.com/pytorch/pytorch/issues/190489), and the launcher then stops
    the processes that still run. Here they end first: nothing may hold the group any more, so models go, too.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        gc.collect()
        distributed.destroy_process_group()
