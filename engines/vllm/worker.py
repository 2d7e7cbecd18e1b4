"""vLLM behind a Unix socket: loads a model, samples, takes new weights, says log-probabilities.

    .venv/bin/python worker.py SOCKET

Its environment is this folder's own, so nothing of selfplay is imported here; the other end of the socket is
selfplay/engine/vllm/. One request is answered at a time. The process ends with `stop`, with the connection, or with the
process that started it, and then removes the folder of the socket.

A message is four bytes of length (big-endian), so many bytes of JSON, and the arrays whose sizes the JSON names under
"blobs", in bytes. Arrays of ids and counts are int32, those of log-probabilities float32, little-endian.

    do            fields, arrays                                      answer
    load          folder, dtype, context, block, kv_cache_bytes;      -
                  rank and adapted (layers) of adapters to come
    weights       folder, with *.safetensors                          -
    adapter       folder, name, number, none of them used before      -
    held          columns, by the width of matrices                   digests of weights by name (tensors.py)
    generate      params, salt, stops, supports; of each row          cached: tokens that were not run again; adapters;
                  stop_of, seeds, max_tokens; lengths, ids            counts, ids, log-probabilities; with supports:
                                                                      sizes and ids of what each could be drawn from
    logprobs      lengths, ids                                        log-probability of each row's tokens but the first
    stop          -                                                   -

What fails is answered by {"error": one line}.
"""

import json
import os
import shutil
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tensors

EVERYTHING = -1  # of vLLM's `logprobs`: all tokens of the vocabulary
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM makes room for
PARENT_SECONDS = 1.0  # between two looks at whether the process that started this one is still there


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[bytes]]:
    """A message and its arrays. EOFError where the other end is gone."""
    (size,) = struct.unpack(">I", _exactly(connection, 4))
    message = json.loads(_exactly(connection, size))
    return message, [_exactly(connection, each) for each in message.pop("blobs", [])]


def send(connection: socket.socket, message: dict[str, Any], blobs: list[bytes]) -> None:
    head = json.dumps(message | {"blobs": [len(blob) for blob in blobs]}).encode()
    connection.sendall(b"".join([struct.pack(">I", len(head)), head, *blobs]))


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def rows_of(lengths: bytes, ids: bytes) -> list[list[int]]:
    ends = np.cumsum(np.frombuffer(lengths, "<i4"))[:-1]
    return [row.tolist() for row in np.split(np.frombuffer(ids, "<i4"), ends)]


class Engine:
    """vLLM's engine, in this process."""

    def __init__(self) -> None:
        self._llm: Any = None
        self._rank = 0  # of adapters
        self._adapters: Any = None  # the LoRARequest that everything is sampled with

    def load(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Weights and configuration of a transformers folder. No tokenizer: ids go in, ids come out."""
        import vllm

        leave_out_what_cannot_be_drawn()
        self._rank = message["rank"]
        self._llm = vllm.LLM(
            model=message["folder"], skip_tokenizer_init=True, generation_config="vllm",
            logprobs_mode="processed_logprobs", max_logprobs=EVERYTHING, enable_prefix_caching=True,
            disable_log_stats=True, enforce_eager=True, dtype=message["dtype"], max_model_len=message["context"],
            block_size=message["block"], kv_cache_memory_bytes=message["kv_cache_bytes"],
            **adapter_settings(message["rank"], message["adapted"]),
        )  # fmt: skip
        return {}, []

    def weights(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """All weights anew. Keys and values that were cached by the old ones are dropped."""
        self._llm.collective_rpc(tensors.reload, args=(message["folder"],))
        self._drop_keys()
        return {}, []

    def adapter(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Adapters in place of those before, under a name and a number that were never used."""
        from vllm.lora.request import LoRARequest

        engine, before = self._llm.llm_engine, self._adapters
        if before is not None:
            engine.remove_lora(before.lora_int_id)
        self._adapters = LoRARequest(message["name"], message["number"], message["folder"])
        engine.add_lora(self._adapters)
        if engine.list_loras() != {message["number"]}:
            raise RuntimeError(f"vLLM has the adapters {engine.list_loras()}, not {message['number']} alone")
        self._drop_keys()
        return {}, []

    def held(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Digests of what the model computes with."""
        number = None if self._adapters is None else self._adapters.lora_int_id
        [found] = self._llm.collective_rpc(tensors.digests, args=(message["columns"], number, self._rank))
        return {"digests": found}, []

    def generate(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """One completion behind each row."""
        wants_supports = message["supports"]
        common = message["params"] | {"logprobs": EVERYTHING if wants_supports else 0}
        prompts = [{"prompt_token_ids": row, "cache_salt": message["salt"]} for row in rows_of(*blobs)]
        each = [
            self._params(common | {"seed": seed, "max_tokens": most, "stop_token_ids": message["stops"][which]})
            for seed, most, which in zip(message["seeds"], message["max_tokens"], message["stop_of"], strict=True)
        ]
        outputs = self._llm.generate(prompts, each, use_tqdm=False, lora_request=self._adapters)
        said = [output.outputs[0] for output in outputs]
        firsts = [np.asarray(one.logprobs.start_indices) for one in said]
        drawn = [np.asarray(one.logprobs.logprobs)[first] for one, first in zip(said, firsts, strict=True)]
        answer = [
            np.array([len(one.token_ids) for one in said], "<i4").tobytes(),
            np.concatenate([np.asarray(one.token_ids) for one in said]).astype("<i4").tobytes(),
            np.concatenate(drawn).astype("<f4").tobytes(),
        ]
        if wants_supports:
            supports = [support for one in said for support in supports_of(one.logprobs)]
            answer += [
                np.array([len(support) for support in supports], "<i4").tobytes(),
                np.concatenate(supports).astype("<i4").tobytes(),
            ]
        adapters = {output.lora_request.lora_name if output.lora_request else "" for output in outputs}
        cached = sum(output.num_cached_tokens or 0 for output in outputs)
        return {"cached": cached, "adapters": sorted(adapters)}, answer

    def logprobs(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Log-probabilities at temperature 1 of tokens that are given. vLLM runs them without its prefix cache."""
        rows = rows_of(*blobs)
        params = self._params({"temperature": 0.0, "max_tokens": 1, "prompt_logprobs": 0})
        prompts = [{"prompt_token_ids": row} for row in rows]
        outputs = self._llm.generate(prompts, params, use_tqdm=False, lora_request=self._adapters)
        found: list[float] = []
        for output, row in zip(outputs, rows, strict=True):
            told = list(output.prompt_logprobs)
            found += [told[at][row[at]].logprob for at in range(1, len(row))]
        return {}, [np.array(found, "<f4").tobytes()]

    def _drop_keys(self) -> None:
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("the prefix cache could not be emptied, so it holds keys of older weights")

    def _params(self, values: dict[str, Any]) -> Any:
        import vllm

        return vllm.SamplingParams(**values, detokenize=False, ignore_eos=True, flat_logprobs=True)


def adapter_settings(rank: int, layers: list[str]) -> dict[str, Any]:
    """Of vllm.LLM, for adapters of that rank on layers of those names, one set of them at a time."""
    if not rank:
        return {}
    return {
        "enable_lora": True, "max_loras": 1, "max_lora_rank": min(most for most in LORA_RANKS if most >= rank),
        "lora_target_modules": layers,
    }  # fmt: skip


def supports_of(logprobs: Any) -> Iterator[np.ndarray]:
    """Of each token of a completion: the ids that could have been drawn in its place, ascending."""
    ids, values = np.asarray(logprobs.token_ids), np.asarray(logprobs.logprobs)
    for start, end in zip(logprobs.start_indices, logprobs.end_indices, strict=True):
        # the token itself stands in front, and once more in its place
        yield np.unique(ids[start:end][np.isfinite(values[start:end])])


def leave_out_what_cannot_be_drawn() -> None:
    """Where all tokens are asked for, vLLM sends the whole vocabulary for each token, most of it at -inf. Here only as
    many are sent as the largest set of the batch has."""
    from vllm.v1.sample.sampler import Sampler

    whole = Sampler.gather_logprobs

    def gathered(logprobs: Any, num_logprobs: int, token_ids: Any) -> Any:
        if num_logprobs == logprobs.shape[-1]:
            num_logprobs = int(logprobs.isfinite().sum(-1).max())
        return whole(logprobs, num_logprobs, token_ids)

    Sampler.gather_logprobs = staticmethod(gathered)


def end_with(parent: int, folder: Path) -> None:
    """Ends this process as soon as `parent` no longer is its parent, whatever it is doing."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def serve(connection: socket.socket) -> None:
    engine = Engine()
    answers = {
        "load": engine.load, "weights": engine.weights, "adapter": engine.adapter, "held": engine.held,
        "generate": engine.generate, "logprobs": engine.logprobs,
    }  # fmt: skip
    while True:
        message, blobs = receive(connection)
        what = message.pop("do")
        if what == "stop":
            send(connection, {}, [])
            return
        try:
            answer, arrays = answers[what](message, blobs)
        except Exception as error:  # whatever vLLM raises is for the other end to judge
            traceback.print_exc()
            answer, arrays = {"error": " ".join(f"{type(error).__name__}: {error}".split())}, []
        send(connection, answer, arrays)


def main() -> None:
    path = Path(sys.argv[1])
    threading.Thread(target=end_with, args=(os.getppid(), path.parent), daemon=True).start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        with suppress(EOFError, ConnectionError):
            serve(connection)
    shutil.rmtree(path.parent, ignore_errors=True)
    os._exit(0)  # vLLM's own end takes seconds, and nothing of it is kept


if __name__ == "__main__":
    main()
