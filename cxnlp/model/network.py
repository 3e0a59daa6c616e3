"""The network: one CamemBERT-shaped encoder, read once, with a head for every answer.

The encoder is RoBERTa's (Liu et al. 2019, arXiv:1907.11692; CamemBERT: Martin et al. 2020,
arXiv:1911.03894) with the weight names of Hugging Face's `CamembertModel`, so that such a
checkpoint can be loaded. Beside this deep part lies a wide one (Cheng et al. 2016,
arXiv:1606.07792; hashed n-grams as in fastText, Joulin et al. 2016, arXiv:1607.01759): n-grams
of token ids, which learn set phrases from few examples. Both are pooled over the whole window
and over each piece; all comment labels come from one matrix, all piece labels from another.
The last `shared_outputs` of a comment (touchpoints, levers) are also the first of its pieces:
the strongest piece lifts the comment, so that a comment speaks of what one of its clauses does.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone gives it)

PAD = 1
_PRIMES = (1_000_003, 998_244_353)


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a network; the encoder's have the names of a Hugging Face `config.json`."""

    vocab_size: int
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    max_position_embeddings: int = 258
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 1
    bos_token_id: int = 0
    eos_token_id: int = 2
    wide_buckets: int = 65536
    wide_size: int = 64
    head_size: int = 256
    cues: int = 0
    comment_outputs: int = 0
    piece_outputs: int = 0
    shared_outputs: int = 0

    @property
    def max_tokens(self) -> int:
        """Longest window, `<s>` and `</s>` included; positions count from after the pad's id."""
        return self.max_position_embeddings - self.pad_token_id - 1

    def to_dict(self) -> dict[str, int | float]:
        return asdict(self)


class _Layer(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        size, inner = shape.hidden_size, shape.intermediate_size
        self.heads = shape.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))
        self.attention_output = nn.Linear(size, size)
        self.attention_norm = nn.LayerNorm(size, eps=shape.layer_norm_eps)
        self.up, self.down = nn.Linear(size, inner), nn.Linear(inner, size)
        self.norm = nn.LayerNorm(size, eps=shape.layer_norm_eps)

    def forward(self, x: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
        rows, length, size = x.shape
        split = (rows, length, self.heads, size // self.heads)
        q, k, v = (f(x).view(split).transpose(1, 2) for f in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        mixed = self.attention_output(mixed.transpose(1, 2).reshape(rows, length, size))
        x = self.attention_norm(x + F.dropout(mixed, dropout, self.training))
        inner = self.down(F.gelu(self.up(x)))
        return self.norm(x + F.dropout(inner, dropout, self.training))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Token ids [rows, length] → hidden states [rows, length, hidden_size]."""

    def __init__(self, shape: Shape, dropout: float = 0.1):
        super().__init__()
        self.dropout, self.pad = dropout, shape.pad_token_id
        self.words = nn.Embedding(shape.vocab_size, shape.hidden_size, padding_idx=self.pad)
        self.positions = nn.Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.types = nn.Embedding(1, shape.hidden_size)
        self.norm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.num_hidden_layers))
        self.apply(_initialise)

    def forward(self, ids: Tensor, shift: int = 0) -> Tensor:
        """Return the hidden states; `shift` moves all positions, so that training sees all."""
        keep = ids != self.pad
        positions = torch.arange(ids.shape[1], device=ids.device) + self.pad + 1 + shift
        x = self.words(ids) + self.positions(positions) + self.types.weight[0]
        x = F.dropout(self.norm(x), self.dropout, self.training)
        mask = None if bool(keep.all()) else keep[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask, self.dropout)
        return x  # type: ignore[no-any-return]


class Network(nn.Module):
    """Windows and their pieces → logits of every comment head and piece head."""

    def __init__(self, shape: Shape, dropout: float = 0.1, encoder: Encoder | None = None):
        super().__init__()
        self.shape, self.dropout = shape, dropout
        self.encoder = encoder or Encoder(shape, dropout)
        self.wide = nn.Embedding(shape.wide_buckets, shape.wide_size)
        nn.init.normal_(self.wide.weight, std=0.02)
        deep, wide, cues = shape.hidden_size, shape.wide_size, shape.cues
        self.comment_hidden = nn.Linear(2 * deep, shape.head_size)
        self.piece_hidden = nn.Linear(3 * deep, shape.head_size)
        self.comment_heads = nn.Linear(shape.head_size + wide + cues, shape.comment_outputs)
        self.piece_heads = nn.Linear(shape.head_size + 2 * wide + cues, shape.piece_outputs)
        self.lift = nn.Parameter(torch.full((shape.shared_outputs,), 0.5))

    @property
    def own(self) -> bool:
        """Whether the encoder is ours, not one of transformers (`hub.py`)."""
        return isinstance(self.encoder, Encoder)

    def forward(
        self, ids: Tensor, token_piece: Tensor, piece_window: Tensor, cues: Tensor, shift: int = 0,
        shown: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return comment logits, piece logits and hidden states.

        `ids` [rows, length] starts each row with `<s>` and is padded. `token_piece` of the same
        size numbers the piece each token belongs to and is −1 elsewhere. `piece_window` [pieces]
        is the row a piece lies in. `cues` [pieces, cues] counts the trigger hits of each piece.
        In training the encoder may be `shown` other ids, some of them masked.
        """
        hidden = self.encoder(ids if shown is None else shown, shift)
        wide = self.wide(ngrams(ids, self.shape.wide_buckets)).sum(2)
        inside = token_piece >= 0
        window = torch.arange(len(ids), device=ids.device)[:, None].expand_as(ids)[inside]
        states = hidden[inside], wide[inside]
        owners = window, token_piece[inside], piece_window
        return *self.answers(states, owners, cues, len(ids)), hidden

    def answers(
        self, states: tuple[Tensor, Tensor], owners: tuple[Tensor, Tensor, Tensor], cues: Tensor,
        rows: int,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Return comment logits [rows] and piece logits of what the encoder made of tokens.

        `states` are deep [tokens, hidden_size] and wide [tokens, wide_size]; `owners` are the
        window and the piece of each token, and the window of each piece.
        """
        window, token_piece, piece_window = owners
        comment_mean, comment_max, comment_wide = _pool(*states, window, rows)
        piece_mean, piece_max, piece_wide = _pool(*states, token_piece, len(piece_window))
        heard = cues.clamp(max=1)
        comment_cues = heard.new_zeros(rows, cues.shape[1]).index_add(0, piece_window, heard)
        deep = torch.cat([comment_mean, comment_max], 1)
        comment = self.comment_heads(self._head(self.comment_hidden(deep), comment_wide,
                                                comment_cues.clamp(max=1)))  # fmt: skip
        deep = torch.cat([piece_mean, piece_max, comment_mean[piece_window]], 1)
        wides = torch.cat([piece_wide, comment_wide[piece_window]], 1)
        piece = self.piece_heads(self._head(self.piece_hidden(deep), wides, heard))
        return self._lifted(comment, piece, piece_window), piece

    def _lifted(self, comment: Tensor, piece: Tensor, piece_window: Tensor) -> Tensor:
        shared = self.shape.shared_outputs
        index = piece_window[:, None].expand(-1, shared)
        strongest = piece.new_zeros(len(comment), shared).scatter_reduce(
            0, index, piece[:, :shared], "amax", include_self=False
        )
        own = comment.shape[1] - shared
        return torch.cat([comment[:, :own], comment[:, own:] + self.lift * strongest], 1)

    def _head(self, deep: Tensor, wide: Tensor, cues: Tensor) -> Tensor:
        x = torch.cat([F.gelu(deep), wide], 1)
        return torch.cat([F.dropout(x, self.dropout, self.training), cues], 1)


class LanguageHead(nn.Module):
    """Hidden states [n, hidden_size] → logits of the vocabulary, for masked-language training.

    RoBERTa's: a dense layer, and the transposed embedding table as the output matrix.
    """

    def __init__(self, shape: Shape):
        super().__init__()
        self.dense = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.norm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(shape.vocab_size))

    def forward(self, hidden: Tensor, words: Tensor) -> Tensor:
        return F.linear(self.norm(F.gelu(self.dense(hidden))), words, self.bias)


def ngrams(ids: Tensor, buckets: int) -> Tensor:
    """Return the buckets [rows, length, 3] of the 1-, 2- and 3-gram that end at each token.

    The first 1-gram of the vocabulary has the bucket of its id, so common words do not collide
    with each other.
    """
    before = F.pad(ids, (1, 0), value=PAD)[:, :-1]
    before2 = F.pad(ids, (2, 0), value=PAD)[:, :-2]
    return hashed(ids, before, before2, buckets)


def hashed(ids: Tensor, before: Tensor, before2: Tensor, buckets: int) -> Tensor:
    """Return the buckets, in one dimension more, of the n-grams of ids and of the two before."""
    two = (ids * _PRIMES[0] + before * 8191 + 17) % _PRIMES[1]
    three = (two * 31 + before2 * 131_071 + 29) % _PRIMES[1]
    return torch.stack([ids, two, three], -1) % buckets


def _pool(deep: Tensor, broad: Tensor, owner: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and maximum of `deep` and mean of `broad` over the tokens of each owner."""
    count = deep.new_zeros(rows).index_add(0, owner, deep.new_ones(len(owner))).clamp(min=1)
    mean = deep.new_zeros(rows, deep.shape[1]).index_add(0, owner, deep) / count[:, None]
    wide_mean = broad.new_zeros(rows, broad.shape[1]).index_add(0, owner, broad) / count[:, None]
    index = owner[:, None].expand_as(deep)
    largest = deep.new_zeros(rows, deep.shape[1]).scatter_reduce(
        0, index, deep, "amax", include_self=False
    )
    return mean, largest, wide_mean


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
