"""`albert index`, `search`, `ask`, `chat` and `mcp`: documents in one file, searched and asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from albert.documents import Answer, Hit

_SHOWN = 20  # problems told one by one
_MAGIC = b"SQLite format 3\0"

IndexFile = Annotated[Path, typer.Argument(help="The index, a file that `albert index` made.")]
Paths = Annotated[str | None, typer.Option("--filter", help="Only files whose name matches, such as 'policies/*'.")]
TopK = Annotated[int, typer.Option("--top-k", min=1, max=1000, help="Passages at most.")]
Rerank = Annotated[str | None, typer.Option(help="Model of pairs that reads the first 20 passages with the query.")]
Reader = Annotated[str, typer.Option(help="Model for question answering, by default our own; none for FAQs alone.")]
Threshold = Annotated[float, typer.Option(min=0, max=1, help="Only an answer whose score is above this is given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Results as JSON.")]


def index(
    places: Annotated[list[Path], typer.Argument(help="Folders and files; with --status or --remove the index.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The index, made or brought up to date.")] = None,
    vectors: Annotated[
        str, typer.Option(help="Model whose vectors find what other words say, or none; kept from then on.")
    ] = "none",
    faq: Annotated[list[Path] | None, typer.Option(help="Table with the columns question and answer.")] = None,
    status: Annotated[bool, typer.Option("--status", help="Tell what the index holds.")] = False,
    remove: Annotated[str | None, typer.Option(help="Remove this file, folder or pattern from the index.")] = None,
    json: AsJson = False,
) -> None:
    """Put the documents of a folder into an index: new and changed files are read, deleted ones are removed."""
    from albert.documents import Index
    from albert.documents.files import files_below
    from albert.errors import AlbertError, ErrorKind
    from albert.storage.files import require_output

    if status or remove is not None:
        if len(places) != 1 or out is not None:
            raise AlbertError(ErrorKind.USAGE, "albert index", expected="one index with --status or --remove")
        with Index(existing(places[0])) as found:
            removed = None if remove is None else found.remove(remove)
            _print({**({} if removed is None else {"removed": removed}), **_status(found)}, as_json=json)
        return
    if out is None:
        raise AlbertError(ErrorKind.USAGE, "albert index", expected="where to write", hint="-o kb.db")
    sources = [*places, *(faq or [])]
    require_output(out, inputs=sources)
    for source in sources:
        next(files_below(source), None)  # refuses what is not there
    new = not out.exists()
    with Index(out, vectors=None if vectors == "none" else vectors) as made:
        added = made.add(*sources, tell=lambda done: print(_line(done), file=sys.stderr))
        for problem in added.problems[:_SHOWN]:
            print(f"skipped {problem}", file=sys.stderr)
        if len(added.problems) > _SHOWN:
            print(f"… and more: albert index {out} --status", file=sys.stderr)
        if made.status().passages:
            changes = {name: getattr(added, name) for name in ("added", "changed", "removed", "same")}
            _print({**changes, "skipped": len(added.problems), **_status(made)}, as_json=json)
        empty = not made.status().passages
    if empty:
        for name in ("", "-wal", "-shm") if new else ():
            Path(f"{out}{name}").unlink(missing_ok=True)
        raise AlbertError(
            ErrorKind.DATA, ", ".join(map(str, places)), expected="documents with text", got="none that can be read"
        )


def search(
    file: IndexFile,
    query: Annotated[str, typer.Argument(help="Words or a question.")],
    top_k: TopK = 10,
    filter: Paths = None,
    rerank: Rerank = None,
    json: AsJson = False,
) -> None:
    """Find the passages that answer a query best, with their places."""
    from albert.documents import Index

    existing(file)  # before a model is loaded
    model = _model(rerank)
    with Index(file) as found:
        hits = found.search(query, top_k=top_k, path=filter, rerank=model)
    if json:
        _print_json([_hit(hit) for hit in hits])
    elif not hits:
        print("nothing found", file=sys.stderr)
    else:
        for number, hit in enumerate(hits, 1):
            print(_of_hit(number, hit))


def ask(
    file: IndexFile,
    question: Annotated[str, typer.Argument(help="A question.")],
    reader: Reader = "reader",
    threshold: Threshold = 0.5,
    top_k: Annotated[int, typer.Option("--top-k", min=1, max=100, help="Passages that are read.")] = 10,
    filter: Paths = None,
    rerank: Rerank = None,
    json: AsJson = False,
) -> None:
    """Answer a question with a part of a document and its place, or say that there is no answer."""
    from albert.documents import Index

    existing(file)  # before a model is loaded
    model, second = _model(reader), _model(rerank)
    with Index(file) as found:
        answer = found.ask(question, reader=model, threshold=threshold, passages=top_k, path=filter, rerank=second)
    if json:
        _print_json(_answer(answer))
    else:
        print(_of_answer(answer))


def chat(
    file: IndexFile,
    reader: Reader = "reader",
    intents: Annotated[
        str | None, typer.Option(help="Classifier of what people want, with a fallback that leads to the documents.")
    ] = None,
    threshold: Threshold = 0.5,
) -> None:
    """Talk with an assistant that quotes the documents; an empty line or the end of the input ends it."""
    from albert.documents import Index
    from albert.documents.chat import Assistant

    existing(file)
    models = [_model(name) for name in (reader, intents)]
    with Index(file) as found:
        assistant = Assistant(found, reader=models[0], intents=models[1], threshold=threshold)
        while text := _asked():
            reply = assistant(text)
            print(reply.text)
            if reply.answer is not None and reply.answer.hit is not None:
                found_there = "" if reply.answer.found else "The nearest passage: "
                print(f"  {found_there}{reply.answer.hit.place}")
            sys.stdout.flush()


def _asked() -> str:
    """The next line; "" at the end."""
    if sys.stdin.isatty():
        print("> ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def mcp(
    file: IndexFile,
    reader: Reader = "reader",
) -> None:
    """Offer an index to programs that speak the Model Context Protocol, on standard input and output."""
    from albert.documents import Index
    from albert.documents.tools import serve

    existing(file)
    model = _model(reader)
    with Index(file) as found:
        serve(found, model)


def _model(name: str | None) -> Any:
    """A fine-tuned model; None where none was asked for."""
    from albert.predict.predictor import Predictor

    return None if name in (None, "none") else Predictor.load(name)


def existing(path: Path) -> Path:
    """An index that exists: a typing mistake, or an empty file, makes no new one."""
    from albert.errors import AlbertError, ErrorKind

    got = "a folder" if path.is_dir() else "none"
    if path.is_file():
        try:
            with path.open("rb") as file:
                if file.read(len(_MAGIC)) == _MAGIC:
                    return path
            got = "another kind of file"
        except OSError as error:
            got = error.strerror or str(error)
    raise AlbertError(
        ErrorKind.DATA, str(path), expected="an index of documents", got=got,
        hint="make one: albert index FOLDER -o kb.db",
    )  # fmt: skip


# --- what is printed -------------------------------------------------------------------------------------


def _line(done: Any) -> str:
    return f"{done.added:,} added, {done.changed:,} changed, {done.removed:,} removed, {done.same:,} as before"


def _status(found: Any) -> dict[str, Any]:
    status = found.status()
    return {
        "files": status.files, "documents": status.documents, "passages": status.passages, "vectors": status.vectors,
        "problems": list(status.problems),
    }  # fmt: skip


def _print(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(values)
        return
    for name, value in values.items():
        if isinstance(value, list):
            for line in value:
                print(f"{name:10} {line}")
        else:
            print(f"{name:10} {value:,}" if isinstance(value, int) else f"{name:10} {value or 'none'}")


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, ensure_ascii=False))


def _hit(hit: Hit) -> dict[str, Any]:
    import dataclasses

    return {**dataclasses.asdict(hit), "place": hit.place}


def _answer(answer: Answer) -> dict[str, Any]:
    place = _hit(answer.hit) if answer.hit is not None else None
    return {
        "question": answer.question, "answer": answer.text or None, "score": answer.score, "start": answer.start,
        "end": answer.end, "passage": place, "others": [_hit(hit) for hit in answer.others],
    }  # fmt: skip


def _of_hit(number: int, hit: Hit) -> str:
    ranks = ", ".join(
        f"{name} {rank}" for name in ("words", "vectors", "reranked") if (rank := getattr(hit, name)) is not None
    )
    heading = f"  {hit.heading}" if hit.heading else ""
    text = " ".join((hit.text if hit.answer is None else f"{hit.text} {hit.answer}").split())
    return f"{number}. {hit.place}{heading}  ({ranks})\n   {text}"


def _of_answer(answer: Answer) -> str:
    if answer.found and answer.hit is not None:
        return f"{answer.text}  ({answer.score:.2f})\n{answer.hit.place}"
    nearest = [hit for hit in (answer.hit, *answer.others) if hit is not None][:3]
    lines = "\n".join(_of_hit(number, hit) for number, hit in enumerate(nearest, 1))
    return "no answer" + (f"; nearest passages:\n{lines}" if nearest else "")
