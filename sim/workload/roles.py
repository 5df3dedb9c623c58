"""What a weight matrix does, by the name that GGUF files and the checkpoints of Hugging Face give it."""

from __future__ import annotations

import re

__all__ = ["layer_of", "role_of"]

# Tried in order on the name without ``.weight``; names of several architectures share patterns.
_PATTERNS = tuple(
    (re.compile(pattern), role)
    for pattern, role in (
        # GGUF
        (r"^output$", "lm_head"),
        (r"^(token_embd|position_embd|token_types)$", "embedding"),
        (r"^blk\.\d+\.attn_(q|k|v|qkv)$", r"attn.\1"),
        (r"^blk\.\d+\.attn_output$", "attn.o"),
        (r"^blk\.\d+\.ffn_(gate|up|down)$", r"ffn.\1"),
        (r"^blk\.\d+\.ffn_gate_inp$", "moe.router"),
        (r"^blk\.\d+\.ffn_gate_inp_shexp$", "moe.shared.router"),
        (r"^blk\.\d+\.ffn_(gate|up|down)_exps$", r"moe.expert.\1"),
        (r"^blk\.\d+\.ffn_(gate|up|down)_shexp$", r"moe.shared.\1"),
        # Experts, before the dense networks whose names theirs end in
        (r"\.experts\..*\bw1$", "moe.expert.gate"),
        (r"\.experts\..*\bw3$", "moe.expert.up"),
        (r"\.experts\..*\bw2$", "moe.expert.down"),
        (r"\.experts\.(?:.*\.)?(gate|up|down)_proj$", r"moe.expert.\1"),
        (r"\.shared_experts?\.(gate|up|down)_proj$", r"moe.shared.\1"),
        (r"\.shared_expert_gate$", "moe.shared.router"),
        (r"\.block_sparse_moe\.gate$|\.mlp\.gate$|\.mlp\.router$", "moe.router"),
        # Attention
        (r"\.(?:self_attn|attention)\.(q|k|v|o)_proj$", r"attn.\1"),
        (r"\.attention\.(?:attention|self)\.(q)uery$", r"attn.\1"),
        (r"\.attention\.(?:attention|self)\.(k)ey$", r"attn.\1"),
        (r"\.attention\.(?:attention|self)\.(v)alue$", r"attn.\1"),
        (r"\.(?:self_attention|attention)\.query_key_value$|\.attn\.(?:c_attn|qkv|in_proj)$", "attn.qkv"),
        (r"\.self_attn\.(?:out_proj|dense)$|\.attention\.(?:output\.)?dense$", "attn.o"),
        (r"\.self_attention\.dense$|\.attn\.(?:c_proj|proj)$", "attn.o"),
        # Feed-forward
        (r"\.mlp\.(gate|up|down)_proj$", r"ffn.\1"),
        (r"\.mlp\.(?:fc1|c_fc|dense_h_to_4h)$|\.intermediate\.dense$|\.fc1$", "ffn.up"),
        (r"\.mlp\.(?:fc2|c_proj|dense_4h_to_h)$|\.output\.dense$|\.fc2$", "ffn.down"),
        # Ends
        (r"^(?:lm_head|embed_out)$", "lm_head"),
        (r"(?:^|\.)classifier$", "head"),
        (r"(?:^|\.)pooler\.dense$", "pooler"),
        (r"(?:^|\.)(?:embed_tokens|embed_in|embed_positions|wte|wpe|\w*_embeddings)$", "embedding"),
    )
)

_LAYER = re.compile(r"(?:^|\.)(?:blk|layers?|h|blocks)\.(\d+)\.")


def role_of(name: str) -> str | None:
    """Role of a matrix: ``attn.q`` of ``model.layers.3.self_attn.q_proj.weight``; "embedding" for tables of which rows
    are looked up; None for a name that no pattern knows.
    """
    stem = name.removesuffix(".weight")
    for pattern, role in _PATTERNS:
        match = pattern.search(stem)
        if match is not None:
            return match.expand(role)
    return None


def layer_of(name: str) -> int | None:
    """Number of the layer that a matrix is in; None outside the layers."""
    match = _LAYER.search(name)
    return int(match[1]) if match else None
