"""How fast a model writes: pieces a second, greedily and with a beam of 4, beside transformers and CTranslate2.

    python benchmarks/generation.py                one thread, three minutes of it; prints a table
    python benchmarks/generation.py --threads 2    needs two cores without other work

The network has 6 + 6 layers of H 384 with drawn weights; the peers have a MarianMT of the same shape, unshared,
with an output of hidden size x pieces. 32 texts of 16 pieces get 32 pieces each: shortest and longest length are the
same, so that all do equal work. Arms have processes of their own and take turns; the median counts. Seconds of one
thread are those of the processor, since other work on the machine would count in the others; several threads need those
of a clock. A peer that is not installed is left out (`pip install .[peers]`).

FLOP are those of products and attention, twice the multiplications, by target piece: a beam computes each piece four
times, and the encoder's are divided among the target's pieces.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch

from albert.compute.precision import has_bf16
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


def network(pieces: int, **settings: Any) -> AlbertForText2Text:
    """Ours, with drawn weights."""
    config = AlbertConfig(
        hidden_size=HIDDEN, embedding_size=EMBEDDING, intermediate_size=INNER, num_attention_heads=HEADS,
        num_hidden_layers=LAYERS, vocab_size=pieces, max_position_embeddings=128, decoder=DecoderConfig(), **settings,
    )  # fmt: skip
    return AlbertForText2Text(config, generator=torch.Generator().manual_seed(0)).eval()


def ours(ids: torch.Tensor, precision: str) -> Arm:
    """`precision` may be "reference": the network without kernels."""
    model = network(PIECES)
    form: Any = model if precision == "reference" else fast_writing(model, precision)  # type: ignore[arg-type]
    mask, types = torch.ones_like(ids), torch.zeros_like(ids)

    def write(beam: int) -> object:
        options = GenerationOptions(beam=beam, min_length=TARGET, max_length=TARGET)
        return begin(form, ids, mask, types, alphabet=Alphabet(2, END, (0, 1, 2, 4)), options=options).run()

    return Arm(write, ours_flop)


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

    return Arm(write, marian_flop)


def of_ctranslate2(ids: torch.Tensor, precision: str) -> Arm:
    import ctranslate2
    from ctranslate2.converters.transformers import MarianMTLoader

    threads = torch.get_num_threads()  # each takes a part of the texts: several for one batch gain little
    torch.set_num_threads(1)  # more of torch's beside would slow them (docs/log.md)
    names = [f"piece{number}" for number in range(PIECES - 1)]  # its converter leaves the padding out
    spec = MarianMTLoader().get_model_spec(marian())
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.config.unk_token, spec.config.eos_token, spec.config.decoder_start_token = names[1], names[END], names[END]
    spec.validate()
    spec.optimize()
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        translator = ctranslate2.Translator(folder, compute_type=precision, inter_threads=threads, intra_threads=1)
    rows = [[names[piece] for piece in row] for row in ids.tolist()]

    def write(beam: int) -> object:
        found = translator.translate_batch(rows, beam_size=beam, max_batch_size=len(rows) // threads,
                                           min_decoding_length=TARGET, max_decoding_length=TARGET)  # fmt: skip
        assert all(len(one.hypotheses[0]) == TARGET for one in found)
        return found

    return Arm(write, marian_flop)


ARMS: dict[str, tuple[Callable[[torch.Tensor, str], Arm], list[str], list[str]]] = {  # maker, precisions, modules
    "albert": (ours, ["reference", "fp32", "bf16", "int8"], []),
    "transformers": (of_transformers, ["fp32", "bf16"], ["transformers"]),
    "CTranslate2": (of_ctranslate2, ["float32", "int8"], ["transformers", "ctranslate2"]),
}


def serve(calls: Connection, name: str, precision: str, threads: int) -> None:
    """An arm in a process of its own: gets beams, gives seconds and the FLOP of a piece."""
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    ids = torch.randint(5, PIECES - 1, (TEXTS, SOURCE), generator=torch.Generator().manual_seed(1))
    arm = ARMS[name][0](ids, precision)
    while beam := calls.recv():
        start = clock()
        arm.write(beam)
        calls.send((clock() - start, arm.flop(beam)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    arms: dict[str, Connection] = {}
    processes = get_context("spawn")
    for name, (_, precisions, modules) in ARMS.items():
        if name != "albert":  # peers wait for work as they do without albert: libgomp's defaults
            os.environ["GOMP_SPINCOUNT"] = "300000"
            os.environ.pop("OMP_WAIT_POLICY", None)
        for precision in precisions if all(map(find_spec, modules)) else ():
            if precision == "bf16" and not has_bf16("cpu"):
                continue
            arms[f"{name} {precision}"], own = processes.Pipe()
            processes.Process(target=serve, args=(own, name, precision, arguments.threads), daemon=True).start()
            own.close()  # so that an arm that fails ends the benchmark
    print("| | beam | pieces/s | MFLOP a piece | GFLOP/s |\n|---|---|---|---|---|")
    for beam in BEAMS:
        seconds: dict[str, list[float]] = {name: [] for name in arms}
        flop = dict.fromkeys(arms, 0.0)
        for number in range(arguments.rounds + 1):  # the first one does not count
            for name, calls in arms.items():
                calls.send(beam)
                took, flop[name] = calls.recv()
                if number:
                    seconds[name].append(took)
                if arguments.threads > 1:
                    time.sleep(0.3)  # its threads may still wait for work, busily
        for name, taken in seconds.items():
            pieces = TEXTS * TARGET / statistics.median(taken)
            print(
                f"| {name} | {beam} | {pieces:,.0f} | {flop[name]:.1f} | {pieces * flop[name] / 1e3:.1f} |", flush=True
            )
    for calls in arms.values():
        calls.send(0)


if __name__ == "__main__":
    main()
