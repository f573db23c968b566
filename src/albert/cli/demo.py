"""`albert demo`: the whole main job on the messages that the package ships."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from albert.data.reading import DataSource

EXAMPLES = (
    "The courier was friendly and the parcel came a day early, thank you!",
    "Could you tell me which payment methods you accept?",
    "Third time the app crashed at checkout. I am really disappointed.",
    "What a terrible answer, nobody reads my messages.",
    "My order number is on the invoice you sent on Monday.",
    "Works perfectly and looks great in the kitchen.",
)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model.")] = Path("demo-model"),
    seed: Annotated[int, typer.Option(help="Seed of order, weights and the held-out part.")] = 0,
) -> None:
    """Train on the bundled customer messages, compare with the majority baseline, predict a few lines."""
    from importlib import resources

    from albert.finetuning.dataset import FinetuneConfig
    from albert.finetuning.finetune import finetune
    from albert.predict.predictor import Predictor
    from albert.storage.files import require_folder
    from albert.training.progress import ConsoleProgress, duration

    require_folder(out)
    start = time.monotonic()
    bundled = resources.files("albert") / "assets" / "messages.csv"
    with resources.as_file(bundled) as messages:
        source = DataSource(str(messages), label="sentiment")
        config = FinetuneConfig(train=source, out=out, settings={"seed": seed})
        result = finetune(config, overwrite=True, progress=ConsoleProgress())
    predictor = Predictor.load(out)
    print(f"\nheld-out accuracy {result.scores['accuracy']:.3f}, majority baseline {result.baseline:.3f}\n")
    for text, best in zip(EXAMPLES, predictor(list(EXAMPLES)), strict=True):
        print(f"{best['label']:>9} {best['score']:.2f}  {text}")
    print(
        f"\nDone in {duration(time.monotonic() - start)}. The model is in {out}; next:\n"
        f"  echo 'thanks, that was quick' | albert predict {out}\n"
        f"  albert train your.csv -o your-model"
    )
