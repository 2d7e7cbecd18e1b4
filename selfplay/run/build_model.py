"""The model as the configuration has it: its weights, how they run, and who speaks with which."""

import os
from collections.abc import Callable, Iterable
from typing import Literal

import torch

from roles.challenger import LABEL as CHALLENGER_LABEL
from selfplay.config.checking import has_challengers_adapters
from selfplay.config.keys import Config
from selfplay.engine.adapted import AdaptedSampler
from selfplay.engine.flat_engine import FlatEngine
from selfplay.engine.local import LocalSampler
from selfplay.engine.protocol import Sampler
from selfplay.engine.row_decoding import RowDecoding
from selfplay.engine.tree_engine import TreeEngine
from selfplay.engine.vllm.device_transfer import CudaShared, DeviceTransfer, IpcTransfer, NcclTransfer
from selfplay.engine.vllm.nccl import NcclGroup
from selfplay.engine.vllm.process import VISIBLE, Process, only_gpu, worker_python
from selfplay.engine.vllm.sampler import VllmSampler, VllmSettings
from selfplay.engine.vllm.server import Server, server_token
from selfplay.engine.vllm.worker import Worker
from selfplay.engine.voices import Speaks, Voices
from selfplay.learn.batch import TrainBatch
from selfplay.learn.settings import Objective
from selfplay.machine.environment import be_deterministic, device_of, has_bfloat16
from selfplay.machine.errors import USAGE, Refused
from selfplay.model import kernel_probe
from selfplay.model.adapter_layers import make_adapters
from selfplay.model.named_weights import weight_bytes
from selfplay.model.policy import Policy
from selfplay.model.positions import positions
from selfplay.model.probe import Parity, prove
from selfplay.model.weights.loading import LoadedModel, load_model
from selfplay.prompting.codec import Encoder
from selfplay.train.passes import PackPass, pack_hidden, row_supports, row_temperatures
from selfplay.train.trainer import TrainerSettings


def dtype_of(config: Config) -> Literal["bfloat16", "float32"]:
    """The model's precision: model.dtype, or for auto what the device is fast at. Raises Refused for a device that is
    not there."""
    if config.model.dtype != "auto":
        return config.model.dtype
    return "bfloat16" if has_bfloat16(device_of(config.run.device)) else "float32"


def proved_policy(config: Config, say: Callable[[str], None]) -> tuple[Policy, Parity]:
    """The policy, and what was found by comparing it with its own plain arithmetic. Raises ModelError, Refused."""
    torch.set_num_threads(config.run.threads)
    device = device_of(config.run.device)
    be_deterministic(device)
    policy = _policy(config, load_model(config.model.name, dtype_of(config), say), device, say)
    parity = prove(policy, wants_tree=config.train.pass_mode != "flat")
    if not parity.holds:
        say(f"runs as a padded batch, not on the token tree: {parity.reason}")
        return policy, parity
    found = kernel_probe.offered(config.model.attention, policy)
    proved = kernel_probe.proved(found.kernels, policy)
    policy.kernels = proved.kernels
    for note in found.notes + proved.notes:
        say(note)
    return policy, parity


def voices(
    config: Config, policy: Policy, speaker: LocalSampler, start: Policy | None, parity: Parity,
    say: Callable[[str], None],
) -> Voices:  # fmt: skip
    """Who speaks for whom. `speaker` samples from the policy that is trained; `start`: the start weights, where a role
    is frozen or evaluations compare with them."""
    sources: dict[Speaks, str] = {"challenger": config.challenger.source, "solver": config.solver.source}
    frozen = frozenset(role for role, source in sources.items() if source == "frozen")
    adapted: dict[Speaks, Sampler] = {}
    if has_challengers_adapters(config):
        adapted["challenger"] = AdaptedSampler(policy, speaker, CHALLENGER_LABEL)
    return Voices(speaker, None if start is None else sampler(config, start, parity, say), frozen, adapted)


def _policy(config: Config, loaded: LoadedModel, device: torch.device, say: Callable[[str], None]) -> Policy:
    lora = config.policy.lora
    model, adapter = loaded.model, None
    if lora.r > 0:
        others = [CHALLENGER_LABEL] if has_challengers_adapters(config) else []
        base = config.model.name
        adapter = make_adapters(model, lora.r, lora.alpha, lora.target_modules, config.seed, base, say, others)
    policy = Policy(model, loaded.tokenizer, device)
    if adapter is not None:
        policy.adapt(adapter)
    if config.train.gradient_checkpointing:
        policy.enable_gradient_checkpointing()
    return policy


def sampler(config: Config, policy: Policy, parity: Parity, say: Callable[[str], None]) -> LocalSampler:
    """In this process: on the token tree where that is proved to be right, else on padded rows."""
    if not parity.holds:
        return FlatEngine(policy, config.seed)
    is_in_rows = config.engine.decoding == "rows" or (
        config.engine.decoding == "auto" and policy.device.type == "cuda" and config.engine.kind == "local"
    )
    decoding = RowDecoding(policy, config.engine.kv_cache_mib << 20, say) if is_in_rows else None
    return TreeEngine(policy, config.seed, decoding)


def require_engine(config: Config) -> None:
    """Raises Refused where what samples is not there: to be told before a model is loaded."""
    if config.engine.kind == "vllm":
        _require_gpus(config, torch.cuda.device_count())
        _hiring(config, 0, lambda line: None)


def policy_sampler(config: Config, policy: Policy, parity: Parity, say: Callable[[str], None]) -> LocalSampler:
    """What samples from the policy that is trained, by engine.kind. Raises Refused."""
    local = sampler(config, policy, parity, say)
    match config.engine.kind:
        case "local":
            return local
        case "vllm":
            settings = _vllm_settings(config, policy)
            hire = _hiring(config, weight_bytes(policy), say)
            device = _device_transfer(config, policy.device)
            return VllmSampler(policy, local, config.seed, settings, hire, say, device)


def engine_limit(config: Config, policy: Policy) -> int | None:
    """Tokens of the longest context that what samples takes; None where only the model bounds it."""
    if config.engine.kind == "local":
        return None
    bounds = [bound for bound in (positions(policy.model), config.engine.context) if bound]
    return min(bounds, default=None)


def _vllm_settings(config: Config, policy: Policy) -> VllmSettings:
    engine = config.engine
    return VllmSettings(
        dtype=dtype_of(config),
        context=engine_limit(config, policy),
        kv_cache_bytes=engine.kv_cache_mib << 20,
        max_gap=engine.max_logprob_gap,
        restarts=engine.restarts,
    )


def _device_transfer(config: Config, device: torch.device) -> DeviceTransfer | None:
    """How weights come to a vLLM worker without files; None where they come in files."""
    match config.engine.weights:
        case "files":
            return None
        case "ipc":
            return IpcTransfer(lambda size: CudaShared(size, device))
        case "nccl":
            return NcclTransfer(lambda identity: NcclGroup(identity, device))


def _require_gpus(config: Config, num_gpus: int) -> None:
    """Raises Refused where engine.weights or engine.gpu want GPUs that are not there. `num_gpus`: that the run sees."""
    engine = config.engine
    is_on_gpu = device_of(config.run.device).type == "cuda"
    if engine.weights != "files" and not is_on_gpu:
        raise Refused(
            f"engine.weights={engine.weights}: weights go from GPU to GPU, and this run is on a CPU: use "
            "engine.weights=files",
            USAGE,
        )
    if engine.gpu and not (is_on_gpu and engine.gpu < num_gpus):
        there = f"it sees {num_gpus} GPUs, which are counted from 0" if is_on_gpu else "it is on a CPU"
        raise Refused(f"engine.gpu={engine.gpu}: the run has no such GPU for the worker, {there}", USAGE)


def _hiring(config: Config, room: int, say: Callable[[str], None]) -> Callable[[], Worker]:
    """What gives a vLLM worker: a process beside this one, with room for so many bytes of weights, or a server. Raises
    Refused where there can be none."""
    url, seconds = config.engine.url, config.engine.seconds
    if url:
        token = server_token()

        def from_server() -> Worker:
            say(f"asking {url} for a vLLM worker ...")
            return Worker(Server(url, token, seconds), seconds)

        return from_server
    python = worker_python(device_of(config.run.device).type)
    gpus = only_gpu(config.engine.gpu, os.environ.get(VISIBLE)) if config.engine.gpu else None

    def beside() -> Worker:
        say("starting the vLLM worker ...")
        return Worker(Process(python, config.run.threads, room, gpus), seconds)

    return beside


def reference(start: Policy, settings: TrainerSettings) -> Callable[[TrainBatch, PackPass], torch.Tensor]:
    @torch.no_grad()
    def logprobs(batch: TrainBatch, plan: PackPass) -> torch.Tensor:
        targets = torch.from_numpy(batch.ids[batch.targets[plan.pack.targets]]).to(start.device)
        with pack_hidden(start, batch, plan) as hidden:
            temperatures = row_temperatures(batch, plan, settings.temperatures, start.device)
            drawable = row_supports(batch, plan, start.device)
            return start.head.logprobs(hidden, targets, temperatures, settings.logprob_chunk, drawable=drawable)

    return logprobs


def start_policy(config: Config, policy: Policy, objectives: Iterable[Objective]) -> Policy | None:
    """The start weights once more, where something is compared with them or said by them."""
    has_kl = any(weight > 0 for objective in objectives for weight in objective.kl.values())
    is_frozen = "frozen" in (config.challenger.source, config.solver.source)
    if not (has_kl or is_frozen or config.evaluate.mechanism):
        return None
    start = Policy(load_model(config.model.name, dtype_of(config)).model, policy.tokenizer, policy.device)
    start.kernels = policy.kernels
    return start


def encoder(policy: Policy) -> Encoder:
    return Encoder(policy.tokenizer, policy.head.weight.shape[0])
