"""vLLM for a run: loads a model, samples, takes new weights, says log-probabilities.

    .venv/bin/python worker.py --listen HOST:PORT      a server, which has a worker for each run (server.py)
    worker.py --descriptor N --folder F                the worker, as a run or a server starts it

Its environment is this folder's own, so nothing of selfplay is imported here; the other end of the connection, which is
descriptor N, is selfplay/engine/vllm/. One request is answered at a time. The worker makes the folder F, in which it
looks for files, and holds its lock. It ends with `stop`, with the connection, or with the process that started it, and
removes the folder.

Messages are those of messages.py. Arrays of ids and counts are int32, those of log-probabilities float32,
little-endian. A folder in a message is one in F, by its name.

    do            fields, arrays                                      answer
    put           folder, file; bytes to append to that file          -
    load          folder, dtype, context, block, kv_cache_bytes;      -
                  rank and adapted (layers) of adapters to come;
                  transfer: ipc, nccl, "" for weights in files
    weights       folder, with *.safetensors                          -
    join          what vLLM's transfer is begun with                  -
    begin         -                                                   -
    receive       names, dtype_names, shapes; by ipc also             -
                  tensor_sizes and memory (transfers.py)
    finish        -                                                   -
    adapter       folder, name, number, none of them used before      -
    held          columns, by the width of matrices                   digests of weights by name (tensors.py)
    generate      params, salt, stops, supports; of each row          cached: tokens that were not run again; adapters;
                  stop_of, seeds, max_tokens; lengths, ids            counts, ids, log-probabilities; with supports:
                                                                      sizes and ids of what each could be drawn from
    logprobs      lengths, ids                                        log-probability of each row's tokens but the first
    stop          -                                                   -

Between `begin` and `finish` come all weights anew, by vLLM's own transfer (transfers.py), in place of `weights`. The
first message is the worker's: that it is ready, and its device, cpu or cuda. What fails is answered by
{"error": one line}.
"""

import argparse
import fcntl
import importlib.metadata
import os
import re
import select
import shutil
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import messages
import numpy as np
import server
import shortcuts
import tensors
import transfers

EVERYTHING = -1  # of vLLM's `logprobs`: all tokens of the vocabulary
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM makes room for
PARENT_SECONDS = 1.0  # between two looks at whether the process that started this one is still there
SPARE_BYTES = 1 << 28  # of room that files of a run leave
PLAIN_NAME = re.compile(r"[\w-][\w.-]*", re.ASCII)
ENVIRONMENT = {  # of vLLM and what it stands on, to be there before they are imported
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process, which can be ended as one
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}
ENVIRONMENT_ON_CPU = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # it would take cores that others work on too
    "TORCH_COMPILE_DISABLE": "1",  # half a minute at start, for nothing on a CPU
}
GPU_SPARE_BYTES = 3 << 30  # that vLLM may take on a GPU beside weights, keys and values: activations, CUDA graphs


def is_on_cpu() -> bool:
    """Whether this environment has vLLM's build for CPUs, which is a package of another name."""
    return any(importlib.metadata.distributions(name="vllm-cpu"))


def rows_of(lengths: bytes, ids: bytes) -> list[list[int]]:
    ends = np.cumsum(np.frombuffer(lengths, "<i4"))[:-1]
    return [row.tolist() for row in np.split(np.frombuffer(ids, "<i4"), ends)]


class Engine:
    """vLLM's engine, in this process. `folder`: where the run's files are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._llm: Any = None
        self._rank = 0  # of adapters
        self._adapters: Any = None  # the LoRARequest that everything is sampled with

    def put(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Part of a file, from a run on another machine."""
        path = self._folder / plain(message["folder"]) / plain(message["file"])
        if shutil.disk_usage(self._folder).free < len(blobs[0]) + SPARE_BYTES:
            raise OSError(f"no room for {path.name} in {self._folder}: TMPDIR names another folder")
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            file.write(blobs[0])
        return {}, []

    def load(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Weights and configuration of a transformers folder. No tokenizer: ids go in, ids come out."""
        import vllm

        shortcuts.leave_out_what_cannot_be_drawn()
        if is_on_cpu():
            shortcuts.multiply_adapters_once()
        self._rank = message["rank"]
        with self._read(message) as folder:
            self._llm = vllm.LLM(
                model=folder, skip_tokenizer_init=True, generation_config="vllm",
                logprobs_mode="processed_logprobs", max_logprobs=EVERYTHING, enable_prefix_caching=True,
                disable_log_stats=True, dtype=message["dtype"], max_model_len=message["context"],
                block_size=message["block"], kv_cache_memory_bytes=message["kv_cache_bytes"],
                **device_settings(Path(folder), message["kv_cache_bytes"]),
                **adapter_settings(message["rank"], message["adapted"]),
                **transfers.settings(message.get("transfer", "")),
            )  # fmt: skip
        return {}, []

    def weights(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """All weights anew. Keys and values that were cached by the old ones are dropped."""
        with self._read(message) as folder:
            self._llm.collective_rpc(tensors.reload, args=(folder,))
        self._drop_keys()
        return {}, []

    def join(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Meets the trainer, to be given weights by vLLM's own transfer."""
        transfers.join(self._llm, message)
        return {}, []

    def begin(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        self._llm.start_weight_update()
        return {}, []

    def receive(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Some of the weights, or all."""
        transfers.receive(self._llm, message)
        return {}, []

    def finish(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Keys and values that were cached by the old weights are dropped."""
        transfers.finish(self._llm)
        self._drop_keys()
        return {}, []

    def adapter(self, message: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Adapters in place of those before, under a name and a number that were never used."""
        from vllm.lora.request import LoRARequest

        engine, before = self._llm.llm_engine, self._adapters
        if before is not None:
            engine.remove_lora(before.lora_int_id)
        with self._read(message) as folder:
            self._adapters = LoRARequest(message["name"], message["number"], folder)
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

    @contextmanager
    def _read(self, message: dict[str, Any]) -> Iterator[str]:
        """The folder that a message names; removed once it is read."""
        folder = self._folder / plain(message["folder"])
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _drop_keys(self) -> None:
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("the prefix cache could not be emptied, so it holds keys of older weights")

    def _params(self, values: dict[str, Any]) -> Any:
        import vllm

        return vllm.SamplingParams(**values, detokenize=False, ignore_eos=True, flat_logprobs=True)


def device_settings(folder: Path, kv_cache_bytes: int) -> dict[str, Any]:
    """Of vllm.LLM. On a CPU a pass runs prompts whole: for one that it begins only, vLLM draws a token and then sets
    the generator back, which those of a CPU cannot. On a GPU it runs CUDA graphs, and is told the share of the memory
    that it will take: it refuses to start where less is free, and would ask for nine tenths, beside a trainer that has
    its own."""
    if is_on_cpu():
        return {"enforce_eager": True, "enable_chunked_prefill": False}
    import torch

    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    wanted, total = weights + kv_cache_bytes + GPU_SPARE_BYTES, torch.cuda.get_device_properties(0).total_memory
    return {"gpu_memory_utilization": min(0.95, wanted / total)}


def adapter_settings(rank: int, layers: list[str]) -> dict[str, Any]:
    """Of vllm.LLM, for adapters of that rank on layers of those names, one set of them at a time."""
    if not rank:
        return {}
    return {
        "enable_lora": True, "max_loras": 1, "max_lora_rank": min(most for most in LORA_RANKS if most >= rank),
        "lora_target_modules": layers,
    }  # fmt: skip


def plain(name: str) -> str:
    """A name that stays in its folder. Raises ValueError."""
    if not PLAIN_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no plain name")
    return name


def supports_of(logprobs: Any) -> Iterator[np.ndarray]:
    """Of each token of a completion: the ids that could have been drawn in its place, ascending."""
    ids, values = np.asarray(logprobs.token_ids), np.asarray(logprobs.logprobs)
    for start, end in zip(logprobs.start_indices, logprobs.end_indices, strict=True):
        # the token itself stands in front, and once more in its place
        yield np.unique(ids[start:end][np.isfinite(values[start:end])])


def make_folder(folder: Path) -> None:
    """Whoever finds the folder and can take its lock knows that its worker is gone."""
    folder.mkdir(mode=0o700)
    lock = os.open(folder / "lock", os.O_CREAT | os.O_WRONLY, 0o600)  # held until this process ends
    fcntl.flock(lock, fcntl.LOCK_EX)


def end_with(parent: int, connection: socket.socket, folder: Path) -> None:
    """Ends this process as soon as `parent` no longer is its parent or the other end of the connection is gone,
    whatever it is doing."""
    watched = select.poll()
    watched.register(connection, select.POLLRDHUP)
    while os.getppid() == parent and not watched.poll(PARENT_SECONDS * 1000):
        pass
    end(folder)


def end(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)  # vLLM's own end takes seconds, and nothing of it is kept


def serve(connection: socket.socket, folder: Path) -> None:
    engine = Engine(folder)
    answers = {
        "put": engine.put, "load": engine.load, "weights": engine.weights, "join": engine.join, "begin": engine.begin,
        "receive": engine.receive, "finish": engine.finish, "adapter": engine.adapter, "held": engine.held,
        "generate": engine.generate, "logprobs": engine.logprobs,
    }  # fmt: skip
    messages.send(connection, {"ready": True, "device": "cpu" if is_on_cpu() else "cuda"}, [])
    while True:
        message, blobs = messages.receive(connection)
        what = message.pop("do")
        if what == "stop":
            return
        try:
            answer, arrays = answers[what](message, blobs)
        except Exception as error:  # whatever vLLM raises is for the other end to judge
            traceback.print_exc()
            answer, arrays = {"error": " ".join(f"{type(error).__name__}: {error}".split())}, []
        messages.send(connection, answer, arrays)


def work(descriptor: int, folder: Path) -> None:
    connection = socket.socket(fileno=descriptor)
    threading.Thread(target=end_with, args=(os.getppid(), connection, folder), daemon=True).start()
    try:
        make_folder(folder)
        with suppress(EOFError, ConnectionError):
            serve(connection, folder)
    except Exception:
        traceback.print_exc()
    end(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="vLLM for a run of selfplay.")
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="serve runs that name it in engine.url, one after another"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch, on a CPU")
    parser.add_argument("--descriptor", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.listen:
        server.listen(asked.listen, Path(__file__), asked.threads)
    elif asked.descriptor is None:
        parser.error("--listen HOST:PORT is wanted")
    else:
        os.environ.update(ENVIRONMENT | (ENVIRONMENT_ON_CPU if is_on_cpu() else {}))
        os.environ["OMP_NUM_THREADS"] = str(asked.threads)
        work(asked.descriptor, asked.folder)


if __name__ == "__main__":
    main()
