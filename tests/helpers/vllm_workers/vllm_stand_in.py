"""A worker that speaks as engines/vllm/worker.py does: a small model in numpy in place of vLLM, and faults on demand.

    python vllm_stand_in.py FAULTS worker.py --descriptor N --folder F

FAULTS is a folder; a file in it, named as a fault, makes the fault happen: `crash` and `hang` once, in the next
`generate` (the file is taken away first); `always` crashes in each; `stale` drops weights that come, `layer` those of
one layer; `keys` has a cache that keeps its keys; `odds` says
other log-probabilities; `plain` samples without adapters; `refuses` answers `logprobs` with an error; `missing` answers
`load` as a Python without vLLM.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import socket
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[bytes]]:
    def exactly(size: int) -> bytes:
        part = connection.recv(size, socket.MSG_WAITALL)
        if len(part) < size:
            os._exit(0)
        return part

    message = json.loads(exactly(struct.unpack(">I", exactly(4))[0]))
    return message, [exactly(size) if size else b"" for size in message["blobs"]]


def send(connection: socket.socket, blobs: list[bytes], **fields: Any) -> None:
    head = json.dumps(fields | {"blobs": [len(blob) for blob in blobs]}).encode()
    connection.sendall(struct.pack(">I", len(head)) + head + b"".join(blobs))


def rows_of(lengths: bytes, ids: bytes) -> list[list[int]]:
    parts = np.split(np.frombuffer(ids, "<i4"), np.cumsum(np.frombuffer(lengths, "<i4"))[:-1])
    return [part.tolist() for part in parts]


class Llama:
    """A Llama with tied embeddings out of a folder of transformers, in numpy: there in a blink."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        self.heads, self.groups = config["num_attention_heads"], config["num_key_value_heads"]
        self.layers, self.eps = config["num_hidden_layers"], config["rms_norm_eps"]
        self.theta = config["rope_parameters"]["rope_theta"]
        self.weights = load_file(folder / "model.safetensors")
        self.adapters: dict[str, np.ndarray] = {}  # by peft's names
        self.adapters_name = ""

    def take_adapters(self, folder: Path, name: str) -> None:
        tensors = load_file(folder / "adapter_model.safetensors")
        self.adapters = {each.removeprefix("base_model.model."): tensor for each, tensor in tensors.items()}
        self.adapters_name = name

    def logprobs(self, row: list[int]) -> np.ndarray:
        """[L, V] of the token behind each of a row's."""
        x = self.weights["model.embed_tokens.weight"][row]
        for layer in range(self.layers):
            name = f"model.layers.{layer}"
            x = x + self._attention(f"{name}.self_attn", self._norm(f"{name}.input_layernorm", x))
            inner = self._norm(f"{name}.post_attention_layernorm", x)
            gate, up = (self._linear(f"{name}.mlp.{part}_proj", inner) for part in ("gate", "up"))
            x = x + self._linear(f"{name}.mlp.down_proj", gate / (1 + np.exp(-gate)) * up)
        return log_softmax(self._norm("model.norm", x) @ self.weights["model.embed_tokens.weight"].T)

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        whole = x @ self.weights[f"{name}.weight"].T
        if f"{name}.lora_A.weight" not in self.adapters:
            return whole
        return whole + x @ self.adapters[f"{name}.lora_A.weight"].T @ self.adapters[f"{name}.lora_B.weight"].T

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.weights[f"{name}.weight"]

    def _attention(self, name: str, x: np.ndarray) -> np.ndarray:
        length = len(x)
        q, k, v = (self._linear(f"{name}.{part}_proj", x).reshape(length, -1, self._width(name)) for part in "qkv")
        q, k = self._turned(q), np.repeat(self._turned(k), self.heads // self.groups, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1])
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
        mixed = np.einsum("hqk,khd->qhd", np.exp(log_softmax(scores)), np.repeat(v, self.heads // self.groups, 1))
        return self._linear(f"{name}.o_proj", mixed.reshape(length, -1))

    def _width(self, name: str) -> int:
        return len(self.weights[f"{name}.q_proj.weight"]) // self.heads

    def _turned(self, x: np.ndarray) -> np.ndarray:
        half = x.shape[-1] // 2
        angles = np.arange(len(x))[:, None, None] / self.theta ** (np.arange(half) / half)
        left, right = x[..., :half], x[..., half:]
        sin, cos = np.sin(angles), np.cos(angles)
        return np.concatenate([left * cos - right * sin, right * cos + left * sin], -1)


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def generated(model: Llama, message: dict[str, Any], rows: list[list[int]]) -> list[bytes]:
    """Draws by a generator of each row's seed; a truncation is top_k alone."""
    temperature, top_k = message["params"]["temperature"], message["params"]["top_k"]
    counts, ids, logprobs, sizes, drawable = [], [], [], [], []
    for row, seed, most, which in zip(rows, message["seeds"], message["max_tokens"], message["stop_of"], strict=True):
        random = np.random.Generator(np.random.Philox(seed))
        said: list[int] = []
        while len(said) < most and not (said and said[-1] in message["stops"][which]):
            every = log_softmax(model.logprobs(row + said)[-1] / (temperature or 1.0))
            if message["supports"]:
                kept = np.sort(np.argsort(every)[-top_k:])
                every = log_softmax(np.where(np.isin(np.arange(len(every)), kept), every, -np.inf))
                sizes.append(len(kept))
                drawable += kept.tolist()
            odds = np.exp(every)
            said.append(int(random.choice(len(every), p=odds / odds.sum()) if temperature else every.argmax()))
            logprobs.append(float(every[said[-1]]))
        counts.append(len(said))
        ids += said
    found = [np.array(counts, "<i4"), np.array(ids, "<i4"), np.array(logprobs, "<f4")]
    if message["supports"]:
        found += [np.array(sizes, "<i4"), np.array(drawable, "<i4")]
    return [each.tobytes() for each in found]


def scored(model: Llama, rows: list[list[int]]) -> bytes:
    found = [model.logprobs(row)[np.arange(len(row) - 1), row[1:]] for row in rows]
    return np.concatenate(found).astype("<f4").tobytes()


def digests(model: Llama, columns: dict[str, list[int]]) -> dict[str, str]:
    """As engines/vllm/tensors.py makes them."""
    found = {}
    head = {"lm_head.weight": model.weights["model.embed_tokens.weight"]}
    for name, weight in (model.weights | head | model.adapters).items():
        values = weight if weight.ndim == 1 else weight[:, columns[str(weight.shape[1])]].T
        values = np.where(np.abs(values) < 2.0**-126, 0.0, values).astype("<f4")
        found[name] = hashlib.sha256(values.tobytes()).hexdigest()
    return found


def received(message: dict[str, Any]) -> dict[str, np.ndarray]:
    """Weights in a file that both processes map: what memory of a GPU is to vLLM."""
    place = bytes.fromhex(message["memory"]["handle"]).decode()
    whole, at, found = np.fromfile(place, np.uint8), 0, {}
    for name, shape, size in zip(message["names"], message["shapes"], message["tensor_sizes"], strict=True):
        found[name] = whole[at : at + size].view("<f4").reshape(shape)
        at += size
    return found


def fail(faults: Path) -> None:
    if (faults / "always").exists():
        os._exit(3)
    for name in ("crash", "hang"):
        if (faults / name).exists():
            (faults / name).unlink()
            if name == "hang":
                time.sleep(60)
            os._exit(3)


def ready(descriptor: int, folder: Path) -> socket.socket:
    connection = socket.socket(fileno=descriptor)
    folder.mkdir(mode=0o700)
    fcntl.flock(os.open(folder / "lock", os.O_CREAT | os.O_WRONLY), fcntl.LOCK_EX)
    send(connection, [], ready=True)
    return connection


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("faults", type=Path)
    parser.add_argument("--descriptor", type=int)
    parser.add_argument("--folder", type=Path)
    asked, _ = parser.parse_known_args()
    faults = asked.faults
    model: Llama
    connection = ready(asked.descriptor, asked.folder)
    while True:
        message, blobs = receive(connection)
        folder = asked.folder / message.get("folder", "")
        match message["do"]:
            case "put":
                folder.mkdir(exist_ok=True)
                with (folder / message["file"]).open("ab") as file:
                    file.write(blobs[0])
                send(connection, [])
            case "load" if (faults / "missing").exists():
                send(connection, [], error="ModuleNotFoundError: No module named 'vllm'")
            case "load":
                model = Llama(folder)
                shutil.rmtree(folder)
                send(connection, [])
            case "weights":
                if not (faults / "stale").exists():
                    old, model = model, Llama(folder)
                shutil.rmtree(folder)
                if (faults / "layer").exists():
                    model.weights |= {name: old.weights[name] for name in old.weights if ".layers.1." in name}
                send(connection, [])
            case "adapter":
                if not (faults / "stale").exists():
                    model.take_adapters(folder, message["name"])
                shutil.rmtree(folder)
                send(connection, [])
            case "join" | "begin" | "finish":
                send(connection, [])
            case "receive":
                model.weights |= received(message)
                send(connection, [])
            case "held":
                send(connection, [], digests=digests(model, message["columns"]))
            case "generate":
                fail(faults)
                cached = 64 if (faults / "keys").exists() and message["max_tokens"] == [1] else 0
                adapters = "" if (faults / "plain").exists() else model.adapters_name
                said = generated(model, message, rows_of(*blobs))
                send(connection, said, cached=cached, adapters=[adapters])
            case "logprobs" if (faults / "refuses").exists():
                send(connection, [], error="RuntimeError: heads of 16")
            case "logprobs":
                wrong = np.float32(0.5 if (faults / "odds").exists() else 0.0)
                send(connection, [(np.frombuffer(scored(model, rows_of(*blobs)), "<f4") + wrong).tobytes()])
            case "stop":
                os._exit(0)


if __name__ == "__main__":
    main()
