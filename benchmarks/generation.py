"""How fast a model writes: pieces a second, greedily and with a beam of 4, beside transformers and CTranslate2.

    python benchmarks/generation.py                one thread, three minutes of it; prints a table

The network has 6 + 6 layers of H 384 with drawn weights; the peers have a MarianMT of the same shape, unshared,
with an output of hidden size x pieces. 32 texts of 16 pieces get 32 pieces each: shortest and longest length are the
same, so that all do equal work. All arms take turns, and the median counts. Seconds are those of the processor, since
other work on the machine would count in the others. A peer that is not installed is left out (`pip install .[peers]`).

FLOP are those of products and attention, twice the multiplications, by target piece: a beam computes each piece four
times, and the encoder's are divided among the target's pieces.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from albert.compute.writing import fast_writing
from albert.config import AlbertConfig, DecoderConfig
from albert.generation import Alphabet, GenerationOptions, begin
from albert.model import AlbertForText2Text

HIDDEN, EMBEDDING, INNER, HEADS, LAYERS, PIECES = 384, 128, 1536, 6, 6, 8000
TEXTS, SOURCE, TARGET = 32, 16, 32
END = 3
BEAMS = (1, 4)


@dataclass(frozen=True)
class Arm:
    """`write` writes all texts with a beam; `flop` are those of a target piece with it, in millions."""

    name: str
    write: Callable[[int], object]
    flop: Callable[[int], float]


def flop_of(beam: int, *, output: int, mapping: int, cross_blocks: int) -> float:
    """`output` and `mapping`: the multiplications behind and before the blocks; `cross_blocks` distinct ones read."""
    block = 4 * HIDDEN**2 + 2 * HIDDEN * INNER
    source = LAYERS * (block + 2 * SOURCE * HIDDEN) + mapping + cross_blocks * 2 * HIDDEN**2
    reading = 2 * HIDDEN * (SOURCE + (TARGET + 1) / 2)
    target = LAYERS * (block + 2 * HIDDEN**2 + reading) + mapping + output
    return 2 * (beam * target + source * SOURCE / TARGET) / 1e6


def ours_flop(beam: int) -> float:
    return flop_of(beam, output=EMBEDDING * (HIDDEN + PIECES), mapping=EMBEDDING * HIDDEN, cross_blocks=1)


def marian_flop(beam: int) -> float:
    return flop_of(beam, output=HIDDEN * PIECES, mapping=0, cross_blocks=LAYERS)


def ours(ids: torch.Tensor) -> list[Arm]:
    config = AlbertConfig(
        hidden_size=HIDDEN, embedding_size=EMBEDDING, intermediate_size=INNER, num_attention_heads=HEADS,
        num_hidden_layers=LAYERS, vocab_size=PIECES, max_position_embeddings=128, decoder=DecoderConfig(),
    )  # fmt: skip
    model = AlbertForText2Text(config, generator=torch.Generator().manual_seed(0)).eval()
    mask, types = torch.ones_like(ids), torch.zeros_like(ids)

    def arm(name: str, network: Any) -> Arm:
        def write(beam: int) -> object:
            options = GenerationOptions(beam=beam, min_length=TARGET, max_length=TARGET)
            return begin(network, ids, mask, types, alphabet=Alphabet(2, END, (0, 1, 2, 4)), options=options).run()

        return Arm(f"albert {name}", write, ours_flop)

    forms = {name: fast_writing(model, name) for name in ("fp32", "bf16", "int8")}  # type: ignore[arg-type]
    return [arm("without kernels", model), *(arm(name, form) for name, form in forms.items())]


def marian() -> Any:
    from transformers import MarianConfig, MarianMTModel

    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=PIECES, d_model=HIDDEN, encoder_layers=LAYERS, decoder_layers=LAYERS, encoder_ffn_dim=INNER,
        decoder_ffn_dim=INNER, encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, eos_token_id=END,
        pad_token_id=PIECES - 1, decoder_start_token_id=PIECES - 1, forced_eos_token_id=None,
        max_position_embeddings=128,
    )  # fmt: skip
    return MarianMTModel(config).eval()


def of_transformers(ids: torch.Tensor, precision: str) -> Arm:
    model = marian().to({"fp32": torch.float32, "bf16": torch.bfloat16}[precision])

    @torch.inference_mode()
    def write(beam: int) -> object:
        return model.generate(ids, attention_mask=torch.ones_like(ids), num_beams=beam, do_sample=False,
                              min_new_tokens=TARGET, max_new_tokens=TARGET)  # fmt: skip

    return Arm(f"transformers {precision}", write, marian_flop)


def of_ctranslate2(ids: torch.Tensor, precision: str) -> Arm:
    import ctranslate2
    from ctranslate2.converters.transformers import MarianMTLoader

    names = [f"piece{number}" for number in range(PIECES - 1)]  # its converter leaves the padding out
    spec = MarianMTLoader().get_model_spec(marian())
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.config.unk_token, spec.config.eos_token, spec.config.decoder_start_token = names[1], names[END], names[END]
    spec.validate()
    spec.optimize()
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        translator = ctranslate2.Translator(folder, compute_type=precision, intra_threads=torch.get_num_threads())
    rows = [[names[piece] for piece in row] for row in ids.tolist()]

    def write(beam: int) -> object:
        found = translator.translate_batch(rows, beam_size=beam, min_decoding_length=TARGET, max_decoding_length=TARGET)
        assert all(len(one.hypotheses[0]) == TARGET for one in found)
        return found

    return Arm(f"CTranslate2 {precision}", write, marian_flop)


def medians(arms: list[Arm], beam: int, *, rounds: int) -> list[float]:
    """The median seconds of each arm over interleaved rounds, after one that does not count."""
    seconds: list[list[float]] = [[] for _ in arms]
    for number in range(rounds + 1):
        for arm, own in zip(arms, seconds, strict=True):
            start = time.process_time()
            arm.write(beam)
            if number:
                own.append(time.process_time() - start)
    return [statistics.median(own) for own in seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ids = torch.randint(5, PIECES - 1, (TEXTS, SOURCE), generator=torch.Generator().manual_seed(1))
    arms = ours(ids)
    if find_spec("transformers"):
        arms += [of_transformers(ids, precision) for precision in ("fp32", "bf16")]
    if find_spec("transformers") and find_spec("ctranslate2"):
        arms += [of_ctranslate2(ids, precision) for precision in ("float32", "int8")]
    print("| | beam | pieces/s | MFLOP a piece | GFLOP/s |\n|---|---|---|---|---|")
    for beam in BEAMS:
        for arm, seconds in zip(arms, medians(arms, beam, rounds=arguments.rounds), strict=True):
            pieces, flop = TEXTS * TARGET / seconds, arm.flop(beam)
            print(f"| {arm.name} | {beam} | {pieces:,.0f} | {flop:.1f} | {pieces * flop / 1e3:.1f} |", flush=True)


if __name__ == "__main__":
    main()
