"""Start models of the lab: at most a million parameters, trained from scratch on executed traces, in a minute.

A trace is what a run would say, spelled by the same prompts: a problem, an answer, a second look with the right answer,
and perhaps a report whose value is drawn at random, which teaches its format and nothing else. A share of the first
answers is wrong by a random digit: synthetic mistakes, not the model's own. Wrong answers are read, never learned.
"""

import hashlib
import json
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from curriculum.domains.abilities import ability
from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Drawable, Statement, problem_of
from curriculum.holdout import HeldOut
from roles.prompts import PromptStyle, ReportKind, few_shot_style
from selfplay.machine.cache import made_once
from selfplay.model.weights.places import cache_folder
from selfplay.model.weights.reading import quiet
from store.records import Completion, Finish, Origin

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
WORDS = ("Recheck: ", "Confidence:", "Right:", " + ", " =")  # of the prompts: one token each, so that traces are short
END = "<eos>"
MAX_PARAMETERS = 1_000_000
POSITIONS = 128
RECENT = 0.05  # what the newest loss counts in the running mean
IGNORED = -100  # a label that the loss leaves out
DIGESTED, DIGESTED_TRACES = 8, 128  # batches, and traces of each, by which the data of a start model is known
Say = Callable[[str], None]
Trace = Sequence[tuple[str, bool]]  # its parts, each with whether the model is to learn to say it


@dataclass(frozen=True, slots=True)
class WarmStart:
    """Size of the model and length of its training. Shares are in [0, 1].

    layers of `width` with `heads` heads; `iterations` of `batch` fresh traces at `learning_rate` (AdamW, warm-up, then
    falling linearly to a tenth). The first `first_share` of the iterations have first tries only: a second look that
    may copy is learned so much faster that nothing else is. After them `corrupted_share` of first answers are wrong,
    and traces end with a report unless it is "none"; `turns` 1 leaves second looks out.
    """

    layers: int = 1
    width: int = 128
    heads: int = 8
    iterations: int = 1000
    batch: int = 128
    learning_rate: float = 3e-3
    turns: int = 2
    first_share: float = 0.75
    corrupted_share: float = 0.5
    report: ReportKind = "none"

    def is_enough(self, loss: float) -> bool:
        """Whether to stop now, by a running mean of the loss: never before the last iteration."""
        return False

    def own_trace(self, domain: Drawable, held_out: HeldOut, style: PromptStyle, rng: random.Random) -> Trace | None:
        """A trace of another kind than those of this file, in the place of one; None: none."""
        return None


@dataclass(frozen=True, slots=True)
class StoppedStart(WarmStart):
    """Training ends when a running mean of the loss, over about 20 iterations, is down to `until_loss`.

    For tasks that are learned late and then at once: after as many iterations one seed may know all, another nothing.
    """

    until_loss: float = 0.0

    def is_enough(self, loss: float) -> bool:
        """Whether the running mean is there."""
        return loss <= self.until_loss


def start_model(
    domain: str, options: Mapping[str, Any], settings: WarmStart, seed: int, holdout_key: str, say: Say
) -> Path:
    """The folder of the start model of a seed, made now if it is not there: an ordinary Hugging Face folder.

    It never sees a problem that `evaluate.holdout_key` keeps for evaluation. It is known by the settings and by the
    traces that it would be trained on today, so that one made before the code of a domain or of the prompts changed is
    not used after it.
    """
    loaded = ability(load_domain(domain, options), Drawable, "a start model")
    traces = traces_digest(loaded, settings, seed, holdout_key)
    said = [domain, dict(options), asdict(settings), seed, holdout_key, traces]
    source = json.dumps(said, sort_keys=True)
    name = hashlib.sha256(source.encode()).hexdigest()[:16]

    def make(folder: Path) -> None:
        warm_start(loaded, settings, seed, holdout_key, folder, say)

    return made_once(cache_folder() / "lab" / name, source, make)


def traces_digest(domain: Drawable, settings: WarmStart, seed: int, holdout_key: str) -> str:
    """16 hex digits of the tokens of some batches, first tries only and whole traces: those of a shorter training.

    Of the data, not of source files, which change without changing it. What alters one trace in thousands and draws no
    other random number for it may go unseen, and so does how the model is trained on them.
    """
    digest = hashlib.sha256()
    shorter = replace(settings, iterations=DIGESTED, first_share=0.5, batch=DIGESTED_TRACES)
    for arrays in _batches(domain, shorter, seed, holdout_key, character_tokenizer()):
        for array in arrays:
            digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.hexdigest()[:16]


def warm_start(domain: Drawable, settings: WarmStart, seed: int, holdout_key: str, folder: Path, say: Say) -> None:
    """Train a start model and save it to `folder`. The same arguments give the same bits on one machine."""
    tokenizer = character_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(_architecture(settings, len(tokenizer)))
    size = sum(p.numel() for p in model.parameters())
    if size > MAX_PARAMETERS:
        raise ValueError(f"a start model has at most {MAX_PARAMETERS:,} parameters, not {size:,}")
    batches = _batches(domain, settings, seed, holdout_key, tokenizer)
    _fit(model, batches, settings, say)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def character_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each of WORDS, for each other character of printable ASCII and the newline, and an end token, which
    also stands for what is none of these."""
    vocabulary = {text: i for i, text in enumerate([*CHARACTERS, *WORDS, END])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token=END))
    pattern = "|".join([*map(re.escape, WORDS), r"[\s\S]"])
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    raw.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END, clean_up_tokenization_spaces=False)


def _architecture(settings: WarmStart, vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=settings.width,
        intermediate_size=4 * settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=vocabulary - 1,
        pad_token_id=None,
    )


def _fit(model: Any, batches: Iterator[tuple[np.ndarray, np.ndarray]], settings: WarmStart, say: Say) -> None:
    """Cross-entropy on what a trace has for the model to say."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    total = settings.iterations
    rise = max(1, total // 20)
    model.train()
    recent = math.inf
    for iteration, (ids, labels) in enumerate(batches):
        share = min(1.0, (iteration + 1) / rise) * max(0.1, 1.0 - iteration / total)
        optimizer.param_groups[0]["lr"] = settings.learning_rate * share
        logits = model(input_ids=torch.from_numpy(ids)).logits[:, :-1]
        wanted = torch.from_numpy(labels)[:, 1:]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent = loss.item() if iteration == 0 else (1 - RECENT) * recent + RECENT * loss.item()
        is_enough = settings.is_enough(recent)
        if is_enough or (iteration + 1) % max(1, total // 10) == 0:
            say(f"warm start {iteration + 1}/{total}  loss {loss.item():.3f}")
        if is_enough:
            break
    model.eval()


def _batches(
    domain: Drawable, settings: WarmStart, seed: int, holdout_key: str, tokenizer: PreTrainedTokenizerFast
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`iterations` pairs (ids, labels), each [batch, L] int64; labels are IGNORED outside of what is to be said."""
    rng = random.Random(f"{seed}/warm start")
    held_out, style = HeldOut(domain, holdout_key), few_shot_style(domain)
    for iteration in range(settings.iterations):
        is_short = iteration < settings.first_share * settings.iterations
        traces = [
            settings.own_trace(domain, held_out, style, rng) or _trace(domain, held_out, style, settings, rng, is_short)
            for _ in range(settings.batch)
        ]
        yield _padded(traces, tokenizer)


def _padded(traces: Sequence[Trace], tokenizer: PreTrainedTokenizerFast) -> tuple[np.ndarray, np.ndarray]:
    said = tokenizer([text for trace in traces for text, _ in trace], add_special_tokens=False)["input_ids"]
    parts = iter(said)
    rows = [[(next(parts), is_said) for _, is_said in trace] for trace in traces]
    longest = max(sum(len(part) for part, _ in row) for row in rows)
    ids = np.full((len(rows), longest), tokenizer.eos_token_id, dtype=np.int64)
    labels = np.full((len(rows), longest), IGNORED, dtype=np.int64)
    for i, row in enumerate(rows):
        at = 0
        for part, is_said in row:
            ids[i, at : at + len(part)] = part
            if is_said:
                labels[i, at : at + len(part)] = part
            at += len(part)
    return ids, labels


def _trace(
    domain: Drawable, held_out: HeldOut, style: PromptStyle, settings: WarmStart, rng: random.Random, is_short: bool
) -> Trace:
    """A short one is a first try only."""
    statement = new_statement(domain, held_out, rng)
    problem = problem_of(statement, domain.name, Origin.PROCEDURAL)
    answer = f" {statement.answer}\n"
    parts = [(style.solver(problem), False)]
    if is_short or settings.turns == 1:
        parts += [(answer, True)]
    else:
        is_wrong = rng.random() < settings.corrupted_share
        first = f" {corrupted(statement.answer, rng)}\n" if is_wrong else answer
        parts += [(first, not is_wrong), (style.recheck(problem, _said(first)), False), (answer, True)]
    if not is_short and settings.report != "none":
        stated = f"{rng.randrange(11) / 10:.1f}" if settings.report == "confidence" else str(rng.randrange(2))
        parts += [(style.report(settings.report, _said(answer)), False), (f" {stated}\n", True)]
    return parts


def new_statement(domain: Drawable, held_out: HeldOut, rng: random.Random) -> Statement:
    """A problem of a random level of the domain that is not held out."""
    return not_held_out(lambda: domain.draw(rng, rng.choice(domain.levels)), held_out)


def not_held_out(draw: Callable[[], Statement], held_out: HeldOut) -> Statement:
    """The first drawn problem that is not held out."""
    while held_out.contains((statement := draw()).canonical):
        pass
    return statement


def corrupted(answer: str, rng: random.Random) -> str:
    """`answer` with one of its digits replaced by another one, the first not by 0."""
    places = [i for i, character in enumerate(answer) if character.isdigit()]
    at = rng.choice(places)
    others = [d for d in "0123456789" if d != answer[at] and (d != "0" or at > 0)]
    return answer[:at] + rng.choice(others) + answer[at + 1 :]


def _said(text: str) -> Completion:
    """`text` as a completion, for prompts that follow one."""
    return Completion((), (), text, Finish.STOP, 0, 0)
