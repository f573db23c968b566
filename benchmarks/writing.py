"""How fast a model writes: pieces a second, greedily and with a beam of 4, beside transformers.

    python benchmarks/writing.py                one thread; prints a table

Weights are drawn, so texts mean nothing and all run to the limit of 32 pieces; transformers' MarianMT of the same shape
(unshared, post-LN, with 8,000 pieces) writes as many with `generate`, if transformers is installed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from albert.config import AlbertConfig, DecoderConfig
from albert.generation import Alphabet, GenerationOptions, begin
from albert.model import AlbertForText2Text

SHAPE = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "num_hidden_layers": 6}
TEXTS, SOURCE, TARGET, PIECES = 32, 16, 32, 8000


def ours(beam: int, ids: torch.Tensor) -> Callable[[], int]:
    config = AlbertConfig(**SHAPE, vocab_size=PIECES, embedding_size=128, decoder=DecoderConfig())
    model = AlbertForText2Text(config, generator=torch.Generator().manual_seed(0)).eval()
    options = GenerationOptions(beam=beam, min_length=TARGET, max_length=TARGET)
    mask, types = torch.ones_like(ids), torch.zeros_like(ids)

    def write() -> int:
        begin(model, ids, mask, types, alphabet=Alphabet(2, 3, (0, 1, 2, 4)), options=options).run()
        return TEXTS * TARGET

    return write


def marian(beam: int, ids: torch.Tensor) -> Callable[[], int]:
    from transformers import MarianConfig, MarianMTModel

    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=PIECES, d_model=SHAPE["hidden_size"], encoder_layers=SHAPE["num_hidden_layers"],
        decoder_layers=SHAPE["num_hidden_layers"], encoder_ffn_dim=SHAPE["intermediate_size"],
        decoder_ffn_dim=SHAPE["intermediate_size"], encoder_attention_heads=SHAPE["num_attention_heads"],
        decoder_attention_heads=SHAPE["num_attention_heads"], pad_token_id=0, eos_token_id=3,
        decoder_start_token_id=2, forced_eos_token_id=None, max_position_embeddings=512,
    )  # fmt: skip
    model = MarianMTModel(config).eval()

    def write() -> int:
        model.generate(ids, attention_mask=torch.ones_like(ids), num_beams=beam, do_sample=False,
                       min_new_tokens=TARGET, max_new_tokens=TARGET)  # fmt: skip
        return TEXTS * TARGET

    return write


def rate(write: Callable[[], int], *, times: int) -> float:
    """The best of several runs, in pieces a second."""
    write()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        pieces = write()
        seconds.append(time.perf_counter() - start)
    return pieces / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ids = torch.randint(5, PIECES, (TEXTS, SOURCE), generator=torch.Generator().manual_seed(1))
    print("| fp32, pieces a second | greedy | beam 4 |\n|---|---|---|")
    for name, make in (("albert", ours), ("transformers MarianMT", marian)):
        with torch.inference_mode():
            rates = [rate(make(beam, ids), times=arguments.times) for beam in (1, 4)]
        print(f"| {name} | {rates[0]:,.0f} | {rates[1]:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
