"""ESM's token dropout: masked residues are zeroed, and what is left is scaled by their share of the protein.

ESM-1b, ESM-1v and ESM-2 were pretrained with 15% of the residues chosen and 80% of those masked, so a protein is scaled
by (1 - 0.15 * 0.8) / (1 - share of its tokens that are masked): 0.88 if none is. `EsmEmbeddings` of transformers does
it, but takes the share of a row, which is not that of each packed protein, and `EsmModel` skips its embeddings, factor
included, if it is given `inputs_embeds`. Both are mended here.

Shapes: B rows, T tokens, H hidden size of the backbone, N packed proteins.
"""

import torch
from torch.nn import functional
from transformers import PreTrainedModel

UNMASKED_IN_PRETRAINING = 1 - 0.15 * 0.8


def backbone_inputs(
    backbone: PreTrainedModel,
    input_ids: torch.Tensor | None,
    inputs_embeds: torch.Tensor | None,
    attention_mask: torch.Tensor | None = None,
    position_ids: torch.Tensor | None = None,
    cu_seq_lens: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """What to give a backbone for token ids or token embeddings, padded or packed: `input_ids` or `inputs_embeds`.

    An ESM's own embedding layer is called as a whole, as it may be sharded over processes.

    Args:
        backbone: The encoder; any but ESM takes what is given.
        input_ids: (B, T), or (1, T) packed.
        inputs_embeds: (B, T, H) or (1, T, H), rows of the table of token embeddings, in place of `input_ids`. They are
            taken for residues that are not masked.
        attention_mask: (B, T), 1 for tokens; none packed.
        position_ids: (B, T), or (1, T) packed.
        cu_seq_lens: (N + 1,), where each packed protein begins and, last, T; None for padded proteins.

    Raises:
        ValueError: No input, or `inputs_embeds` for an ESM C, which does not take them.
    """
    is_esm = backbone.config.model_type == "esm"
    if input_ids is not None:
        if is_esm and backbone.config.token_dropout and cu_seq_lens is not None:
            embedded = backbone.embeddings(input_ids=input_ids, position_ids=position_ids)
            correction = _of_each_protein(input_ids[0] == backbone.config.mask_token_id, cu_seq_lens)
            return {"inputs_embeds": (embedded * correction[None, :, None]).to(embedded.dtype)}
        return {"input_ids": input_ids}
    if inputs_embeds is None:
        raise ValueError("give input_ids or inputs_embeds")
    if backbone.config.model_type == "esmc":
        raise ValueError("an esmc takes input_ids alone; its token embeddings are the output of get_input_embeddings()")
    if is_esm:
        scaled = inputs_embeds * UNMASKED_IN_PRETRAINING if backbone.config.token_dropout else inputs_embeds
        around = {"attention_mask": attention_mask, "position_ids": position_ids}
        return {"inputs_embeds": backbone.embeddings(inputs_embeds=scaled, **around)}
    return {"inputs_embeds": inputs_embeds}


def _of_each_protein(masked: torch.Tensor, cu_seq_lens: torch.Tensor) -> torch.Tensor:
    """What makes of the factor of a packed row the one of each protein, (T,): 1 where nothing is masked."""
    lengths = cu_seq_lens.diff()
    before = functional.pad(masked.cumsum(0), (1, 0))  # (T + 1,)
    share = before[cu_seq_lens.long()].diff() / lengths  # (N,)
    correction = (1 - masked.float().mean()) / (1 - share)
    return torch.repeat_interleave(correction, lengths, output_size=len(masked))
