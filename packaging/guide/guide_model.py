"""The guide's network: a llama as llama.cpp's architecture `llama` computes it, in plain torch.

Rotary positions are interleaved (pairs x[0::2], x[1::2]), so query and key weights are exported as they are.
The output layer is the token embedding, which llama.cpp uses when a file has no `output.weight`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Shape:
    """The network's dimensions. Rows of every matrix are multiples of 32, as q8_0 needs; head_dim is 32."""

    vocab: int = 1280
    context: int = 512
    width: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 2
    feed_forward: int = 448
    rope_base: float = 10_000.0
    epsilon: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


class Layer(nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """One block: grouped-query attention, then a gated feed-forward, each behind an RMS norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_dim
        self.attn_norm = nn.Parameter(torch.ones(shape.width))
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_v = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = nn.Parameter(torch.ones(shape.width))
        self.ffn_gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape = self.shape
        h = nnf.rms_norm(x, (width,), self.attn_norm, shape.epsilon)
        q = self.attn_q(h).view(batch, length, shape.heads, shape.head_dim).transpose(1, 2)
        k = self.attn_k(h).view(batch, length, shape.kv_heads, shape.head_dim).transpose(1, 2)
        v = self.attn_v(h).view(batch, length, shape.kv_heads, shape.head_dim).transpose(1, 2)
        groups = shape.heads // shape.kv_heads
        k = _rotated(k, cos, sin).repeat_interleave(groups, 1)
        h = nnf.scaled_dot_product_attention(
            _rotated(q, cos, sin), k, v.repeat_interleave(groups, 1), is_causal=True
        )
        x = x + self.attn_output(h.transpose(1, 2).reshape(batch, length, width))
        h = nnf.rms_norm(x, (width,), self.ffn_norm, shape.epsilon)
        out: Tensor = x + self.ffn_down(nnf.silu(self.ffn_gate(h)) * self.ffn_up(h))
        return out


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Guide(nn.Module):  # type: ignore[misc]
    """The whole network. `forward` gives the logits at the chosen positions only."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        self.blk = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.output_norm = nn.Parameter(torch.ones(shape.width))
        frequencies = shape.rope_base ** (-torch.arange(0, shape.head_dim, 2) / shape.head_dim)
        angles = torch.outer(torch.arange(shape.context), frequencies)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.05 / (2 * shape.layers) ** 0.5 if deep else 0.05)

    def forward(self, tokens: Tensor, at: Tensor) -> Tensor:
        """`tokens` is (batch, length); `at` a boolean mask of it. Logits are (number of True, vocab)."""
        x = self.token_embd(tokens)
        length = tokens.shape[1]
        for layer in self.blk:
            x = layer(x, self.cos[:length], self.sin[:length])
        x = nnf.rms_norm(x[at], (self.shape.width,), self.output_norm, self.shape.epsilon)
        return x @ self.token_embd.weight.T

    @property
    def parameter_count(self) -> int:
        return sum(weight.numel() for weight in self.parameters())
