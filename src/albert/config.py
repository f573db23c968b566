"""The shape of a network: `AlbertConfig`, the published sizes and our own, to and from `config.json`."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

from albert.errors import AlbertError, ErrorKind
from albert.sizes import BERT_NETWORK, SIZES, DecoderConfig
from albert.storage.files import read_vouched
from albert.storage.stored import parse, typed

Sharing = Literal["all", "attention", "ffn", "none"]
Activation = Literal["gelu", "gelu_new", "relu"]
Pooling = Literal["cls", "mean"]
ModelType = Literal["albert", "bert"]

PAD_ID, UNK_ID, CLS_ID, SEP_ID, MASK_ID = range(5)

# Far beyond every published model, yet small enough that a hostile config.json cannot exhaust memory.
_RANGES: dict[str, tuple[int, int]] = {
    "vocab_size": (8, 1_000_000),
    "embedding_size": (1, 16_384),
    "hidden_size": (1, 16_384),
    "num_hidden_layers": (1, 512),
    "num_hidden_groups": (1, 512),
    "inner_group_num": (1, 64),
    "num_attention_heads": (1, 512),
    "intermediate_size": (1, 131_072),
    "max_position_embeddings": (8, 65_536),
    "type_vocab_size": (1, 64),
    "pad_token_id": (0, 1_000_000),
    "global_tokens": (0, 65_536),
}
_MAX_PARAMETERS = 20_000_000_000
_RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout_prob")


@dataclass(frozen=True, kw_only=True)
class AlbertConfig:
    """The hyperparameters of one network, named as in Hugging Face's config.json.

    `sharing` is the paper's ablation (section 4.5). "all" shares whole blocks within a group. "attention" and "ffn"
    share that part across all layers and keep the other per layer. "none" shares nothing. The last three need
    `num_hidden_groups == num_hidden_layers`.

    `embedding_projection=False` leaves out the mapping from E to H, as BERT does (needs E == H). `pooling` is what the
    pooler reads: the first position (published) or the mean of all real positions (ours). `model_type` is the family of
    transformers whose layout is used for saving; "bert" needs a network that shares nothing and has no mapping.

    With an `attention_window` w, an even number (Longformer, Beltagy et al. 2020), a position reads the w / 2 positions
    to either side and the global ones. Global positions read all positions, and all positions read them. They are the
    first `global_tokens` and, with `global_question`, the whole first text of a pair. None is full attention.

    A `decoder` makes a network that reads a text and writes another one; None is the encoder alone.

    Raises `AlbertError` (bad-config) for values out of range or in conflict with each other.
    """

    vocab_size: int = 30_000
    embedding_size: int = 128
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_hidden_groups: int = 1
    inner_group_num: int = 1
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: Activation = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float = 0.1  # paper, Table 14: 0.1 throughout
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    pad_token_id: int = PAD_ID
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    sharing: Sharing = "all"
    embedding_projection: bool = True
    pooling: Pooling = "cls"
    attention_window: int | None = None
    global_tokens: int = 1
    global_question: bool = True
    decoder: DecoderConfig | None = None
    model_type: ModelType = "albert"
    id2label: tuple[str, ...] = ()
    problem_type: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)  # a task's own settings, JSON values only

    def __post_init__(self) -> None:
        self._check()

    @property
    def num_labels(self) -> int:
        return len(self.id2label)

    @property
    def decoder_layers(self) -> int:
        """How often the decoder's blocks are run; 0 without a decoder."""
        return 0 if self.decoder is None else self.decoder.decoder_layers or self.num_hidden_layers

    @property
    def decoder_groups(self) -> int:
        """How many groups of blocks the decoder has; 0 without a decoder."""
        wanted = 0 if self.decoder is None else self.decoder.decoder_groups
        return wanted or min(self.num_hidden_groups, self.decoder_layers)

    @classmethod
    def named(cls, size: str, **overrides: Any) -> Self:
        """The configuration of a published size or one of our own, e.g. "base", "base-v1", "tiny", "bert-base"."""
        if size not in SIZES:
            raise AlbertError(
                ErrorKind.CONFIG,
                f"size {size!r}",
                expected="one of " + ", ".join(SIZES),
                hint=_nearest(size, SIZES),
            )
        values: dict[str, Any] = {**SIZES[size], **overrides}
        layers = values.get("num_hidden_layers", cls.num_hidden_layers)
        if values.get("sharing", "all") != "all" and "num_hidden_groups" not in overrides:
            values["num_hidden_groups"] = layers
        return cls(**values)

    def with_(self, **overrides: Any) -> Self:
        """A copy with some values changed; unknown names raise `AlbertError`."""
        names = {f.name for f in fields(self)}
        for name in overrides:
            if name not in names:
                raise AlbertError(ErrorKind.CONFIG, f"unknown setting {name!r}", hint=_nearest(name, names))
        return replace(self, **overrides)

    # --- config.json ---------------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, raw: dict[str, Any], *, source: str = "config.json") -> Self:
        """Reads Hugging Face's keys. Missing keys get transformers' class defaults (for ALBERT those of xxlarge)."""
        family = raw.get("model_type", "albert")
        writes = isinstance(family, str) and family.endswith(_WRITING)
        family = family.removesuffix(_WRITING) if writes else family
        windowed = isinstance(family, str) and family.endswith(_WINDOWED)
        family = family.removesuffix(_WINDOWED) if windowed else family
        if family not in list(_TRANSFORMERS_DEFAULTS):
            raise AlbertError(
                ErrorKind.CONFIG,
                f"{source}: model_type",
                expected="albert or bert",
                got=repr(family),
                hint="other families are other networks, which do not load here",
            )
        _refuse_variants(raw, source)
        own = typed(_Stored, raw, source, kind=ErrorKind.CONFIG).albert or {}
        known = {f.name for f in fields(cls)}
        values = dict(_TRANSFORMERS_DEFAULTS[family])
        for key, value in (_from_bert(raw) if family == "bert" else raw).items():
            if key in known:
                values[key] = value
            elif key not in _IGNORED_KEYS:
                suggestion = difflib.get_close_matches(key, known, n=1, cutoff=0.85)
                if suggestion:
                    raise AlbertError(
                        ErrorKind.CONFIG,
                        f"{source}: unknown key {key!r}",
                        hint=f"did you mean {suggestion[0]!r}?",
                    )
        values |= {key: own[key] for key in _OWN if key in own}
        values["decoder"] = _stored_decoder(raw, writes, source)
        if windowed != (values.get("attention_window") is not None):
            window = "an attention_window" if windowed else "none"
            raise AlbertError(
                ErrorKind.CONFIG, f"{source}: model_type {raw['model_type']!r}", expected=f"{window} under albert",
                got=repr(values.get("attention_window")),
            )  # fmt: skip
        values["model_type"] = family
        values["id2label"] = _labels(raw, source)
        if values.get("pad_token_id", 0) is None:
            values["pad_token_id"] = PAD_ID
        try:
            return cls(**values)
        except AlbertError as error:
            raise AlbertError(
                error.kind, f"{source}: {error.what}", expected=error.expected, got=error.got, hint=error.hint
            ) from None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads `folder/config.json`."""
        return cls.from_dict(cls.stored(folder), source=str(folder / "config.json"))

    @staticmethod
    def stored(folder: Path) -> dict[str, Any]:
        """The content of `folder/config.json`. Raises `AlbertError`: bad-model without the file, bad-config for no JSON
        object.
        """
        path = folder / "config.json"
        if not path.exists():
            raise AlbertError(
                ErrorKind.MODEL, str(path), expected="a model folder with a config.json", got="no such file"
            )
        raw = parse(read_vouched(folder, path.name), str(path), kind=ErrorKind.CONFIG)
        if not isinstance(raw, dict):
            raise AlbertError(ErrorKind.CONFIG, str(path), expected="a JSON object", got=type(raw).__name__)
        return raw

    def to_dict(self, *, architecture: str | None = None, labelled: bool = True) -> dict[str, Any]:
        """Every key that transformers reads, and ours under "albert"; the inverse of `from_dict`.

        `labelled=False` leaves the labels out: transformers sizes its SOP and QA heads by their number.
        """
        own_names = {*_OWN, "decoder", "model_type", "id2label", "problem_type"}
        network = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in own_names}
        labels: dict[str, Any] = {}
        if labelled and self.id2label:
            labels["id2label"] = {str(i): label for i, label in enumerate(self.id2label)}
            labels["label2id"] = {label: i for i, label in enumerate(self.id2label)}
        if labelled and self.problem_type:
            labels["problem_type"] = self.problem_type
        windowed = self.attention_window is not None
        own = {name: getattr(self, name) for name in _OWN if windowed or name not in _WINDOW}
        if self.model_type == "bert":
            own = {name: value for name, value in own.items() if name not in BERT_NETWORK}
            network["classifier_dropout"] = network.pop("classifier_dropout_prob")
            network = {name: value for name, value in network.items() if name not in _OF_ALBERT}
        else:
            network |= {"bos_token_id": CLS_ID, "eos_token_id": SEP_ID}
        decoder = {"decoder": asdict(self.decoder)} if self.decoder is not None else {}
        return {
            "model_type": self.model_type + (_WINDOWED if windowed else "") + (_WRITING if decoder else ""),
            "architectures": [architecture or f"{self.model_type.capitalize()}Model"],
            **network,
            "tie_word_embeddings": True,
            **labels,
            **decoder,
            "albert": own,
        }

    # --- checks ----------------------------------------------------------------------------------------

    def _check(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise _bad(name, f"a whole number from {low:,} to {high:,}", value)
        for name in _RATES:
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
                raise _bad(name, "a rate in [0, 1)", value)
        for name in ("initializer_range", "layer_norm_eps"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= 1:
                raise _bad(name, "a number in (0, 1]", value)
        for name, allowed in (
            ("hidden_act", Activation),
            ("sharing", Sharing),
            ("pooling", Pooling),
            ("model_type", ModelType),
        ):
            if getattr(self, name) not in allowed.__args__:  # type: ignore[attr-defined]
                raise _bad(name, "one of " + ", ".join(allowed.__args__), getattr(self, name))  # type: ignore[attr-defined]
        kinds = {"embedding_projection": bool, "global_question": bool, "extra": dict, "problem_type": str | None}
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise _bad(name, "another kind of value", getattr(self, name))
        if self.hidden_size % self.num_attention_heads:
            raise _bad("hidden_size", f"a multiple of {self.num_attention_heads} heads", self.hidden_size)
        if self.num_hidden_groups > self.num_hidden_layers:
            raise _bad("num_hidden_groups", f"at most {self.num_hidden_layers} layers", self.num_hidden_groups)
        if self.sharing != "all" and self.num_hidden_groups != self.num_hidden_layers:
            raise _bad(
                "num_hidden_groups",
                f"{self.num_hidden_layers}, one a layer, with sharing={self.sharing!r}",
                self.num_hidden_groups,
            )
        if not self.embedding_projection and self.embedding_size != self.hidden_size:
            raise _bad(
                "embedding_size",
                f"{self.hidden_size} like hidden_size without embedding_projection",
                self.embedding_size,
            )
        if self.model_type == "bert":
            for name, wanted in {**BERT_NETWORK, "inner_group_num": 1}.items():
                if getattr(self, name) != wanted:
                    raise _bad(name, f"{wanted!r} in the layout of BERT", getattr(self, name))
        window = self.attention_window
        if window is not None and (type(window) is not int or not 2 <= window <= 65_536 or window % 2):
            raise _bad("attention_window", "an even number of positions from 2 to 65,536", window)
        if self.global_tokens > self.max_position_embeddings:
            raise _bad("global_tokens", f"at most the {self.max_position_embeddings:,} positions", self.global_tokens)
        if self.decoder is not None:
            self._check_decoder(self.decoder)
        if self.pad_token_id >= self.vocab_size:
            raise _bad("pad_token_id", f"an id below vocab_size {self.vocab_size:,}", self.pad_token_id)
        if len(set(self.id2label)) != len(self.id2label):
            raise _bad("id2label", "distinct labels", list(self.id2label)[:10])
        if (count := self.approximate_parameters()) > _MAX_PARAMETERS:
            raise _bad("the whole", f"at most {_MAX_PARAMETERS:,} parameters", f"{count:,}")

    def _check_decoder(self, decoder: DecoderConfig) -> None:
        if self.sharing in ("attention", "ffn"):
            raise _bad("sharing", "all or none beside a decoder", self.sharing)
        if self.decoder_groups > self.decoder_layers:
            raise _bad("decoder_groups", f"at most {self.decoder_layers} decoder layers", self.decoder_groups)
        if decoder.share_with_encoder and self.decoder_groups != self.num_hidden_groups:
            expected = f"{self.num_hidden_groups}, the encoder's, with share_with_encoder"
            raise _bad("decoder_groups", expected, self.decoder_groups)

    def approximate_parameters(self) -> int:
        """The number of weights in embeddings and blocks, without biases: for refusing absurd sizes."""
        embeddings = self.embedding_size * (self.vocab_size + self.max_position_embeddings + self.hidden_size)
        block = self.hidden_size * (4 * self.hidden_size + 2 * self.intermediate_size)
        cross = 4 * self.hidden_size**2
        blocks = block * self.num_hidden_groups + (block + cross) * self.decoder_groups
        return embeddings + blocks * self.inner_group_num


@dataclass(frozen=True)
class _Stored:
    """The types of the keys of config.json that are used without a range check."""

    albert: dict[str, Any] | None = None
    architectures: list[str] | None = None
    tie_word_embeddings: bool | None = None


_WINDOW = ("attention_window", "global_tokens", "global_question")
_OWN = ("sharing", "embedding_projection", "pooling", *_WINDOW, "extra")  # under "albert" in config.json
_WINDOWED = "-windowed"  # behind the model type: transformers would leave the windows out, and so refuses the folder
_WRITING = "-text2text"  # behind it, where there is a decoder: transformers refuses the folder for the same reason
# transformers' AlbertConfig() has the shape of xxlarge-v1, its BertConfig() that of base.
_TRANSFORMERS_DEFAULTS: dict[str, dict[str, Any]] = {
    "albert": {"hidden_size": 4096, "num_attention_heads": 64, "intermediate_size": 16_384},
    "bert": {
        "vocab_size": 30_522, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    },
}  # fmt: skip
_OF_ALBERT = {"embedding_size", "num_hidden_groups", "inner_group_num"}  # keys that BERT's config.json lacks
# Keys that change the network, and the only value that is supported.
_VARIANTS: dict[str, Any] = {
    "position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False,
}  # fmt: skip
_IGNORED_KEYS = {
    "architectures", "albert", "label2id", "bos_token_id", "eos_token_id",
    "tie_word_embeddings", "transformers_version", "dtype", "torch_dtype", "position_embedding_type",
    "output_past", "gap_size", "net_structure_type", "num_memory_blocks", "down_scale_factor",
    "finetuning_task", "_name_or_path", "use_cache", "num_labels", "language", "is_decoder", "add_cross_attention",
    "classifier_dropout", "decoder",
}  # fmt: skip


def _refuse_variants(raw: dict[str, Any], source: str) -> None:
    for key, ours in _VARIANTS.items():
        if raw.get(key, ours) not in (ours, None):
            raise AlbertError(ErrorKind.CONFIG, f"{source}: {key}", expected=repr(ours), got=repr(raw[key]))


def _stored_decoder(raw: dict[str, Any], writes: bool, source: str) -> DecoderConfig | None:
    """The section "decoder", which stands there exactly where the model type says so."""
    section = raw.get("decoder")
    if writes != (section is not None):
        raise AlbertError(
            ErrorKind.CONFIG, f"{source}: model_type {raw.get('model_type')!r}",
            expected='a section "decoder"' if writes else 'no section "decoder"', got=f"{section!r:.100}",
        )  # fmt: skip
    return None if section is None else typed(DecoderConfig, section, f"{source}: decoder", kind=ErrorKind.CONFIG)


def _from_bert(raw: dict[str, Any]) -> dict[str, Any]:
    """BERT's keys under ALBERT's names, and those that BERT does not have."""
    defaults = _TRANSFORMERS_DEFAULTS["bert"]
    hidden, layers = raw.get("hidden_size", 768), raw.get("num_hidden_layers", 12)
    dropout = raw.get("classifier_dropout")
    if dropout is None:  # transformers takes the hidden layers' then
        dropout = raw.get("hidden_dropout_prob", defaults["hidden_dropout_prob"])
    made = {"embedding_size": hidden, "num_hidden_groups": layers, "classifier_dropout_prob": dropout, **BERT_NETWORK}
    return {**raw, **made, "hidden_size": hidden, "num_hidden_layers": layers}


def _labels(raw: dict[str, Any], source: str) -> tuple[str, ...]:
    table = raw.get("id2label") or {}
    right = isinstance(table, dict) and all(
        key.isascii() and key.isdecimal() and len(key) < 10 and isinstance(label, (str, int, float))
        for key, label in table.items()
    )
    by_id = {int(key): str(label) for key, label in table.items()} if right else {}
    if not right or len(by_id) < len(table):
        raise AlbertError(ErrorKind.CONFIG, f"{source}: id2label", expected='{"0": "label", …}', got=f"{table!r:.100}")
    if sorted(by_id) != list(range(len(by_id))):
        raise AlbertError(
            ErrorKind.CONFIG, f"{source}: id2label", expected="ids 0, 1, 2, …", got=str(sorted(by_id))[:100]
        )
    return tuple(by_id[i] for i in range(len(by_id)))


def _bad(name: str, expected: str, got: object) -> AlbertError:
    return AlbertError(ErrorKind.CONFIG, name, expected=expected, got=f"{got!r:.200}")


def _nearest(name: str, known: Any) -> str | None:
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {found[0]!r}?" if found else "known: " + ", ".join(sorted(known))
