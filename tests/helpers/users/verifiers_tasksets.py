"""Tasksets of the verifiers package: one that can be played, and one of each kind that is refused."""

import asyncio
import urllib.request

import verifiers.v1 as vf


class Data(vf.TaskData):
    answer: str = ""


class Doubled(vf.Task[Data]):
    @vf.reward(weight=0.75)
    async def is_right(self, trace: vf.Trace) -> float:
        await asyncio.sleep(0)
        if "network" in trace.last_reply:
            urllib.request.urlopen("http://127.0.0.1:9")
        if "for ever" in trace.last_reply:
            await asyncio.sleep(3600)
        return float(f"\\boxed{{{self.data.answer}}}" in trace.last_reply)

    @vf.reward(weight=0.25)
    async def is_boxed(self, trace: vf.Trace) -> float:
        assert trace.num_turns == 1 and trace.messages[0].role == "user"
        return float("\\boxed{" in trace.last_reply)


class Config(vf.TasksetConfig):
    split: str = "train"


class Doubling(vf.Taskset[Doubled, Config]):
    def load(self) -> list[Doubled]:
        numbers = range(10, 30) if self.config.split == "train" else range(28, 34)
        return [Doubled(Data(prompt=f"Double {n}.", answer=str(2 * n)), self.config.task) for n in numbers]


def one(task: type[vf.Task], **data: object) -> type[vf.Taskset]:
    class One(vf.Taskset[task, vf.TasksetConfig]):  # type: ignore[valid-type]
        def load(self) -> list[vf.Task]:
            return [task(Data(**({"prompt": "Double 2.", "answer": "4"} | data)), self.config.task)]

    return One


class Prepared(Doubled):
    async def setup(self, trace: vf.Trace, runtime: vf.Runtime) -> None:
        await runtime.write("hint", b"4")


class LooksIntoARuntime(Doubled):
    @vf.reward
    async def wrote_a_file(self, trace: vf.Trace, runtime: vf.Runtime) -> float:
        return float(await runtime.read("answer") == b"4")


class Tools(vf.Toolset[vf.ToolsetConfig]):
    @vf.tool
    def double(self, number: int) -> int:
        return 2 * number


class WithTools(Doubled):
    @classmethod
    def toolsets(cls, config: vf.TaskConfig) -> list[vf.Toolset]:
        return [Tools(vf.ToolsetConfig())]


class Counter(vf.State):
    turns: int = 0


class Stateful(vf.Task[Data, Counter]):
    @vf.reward
    async def counted(self, trace: vf.Trace) -> float:
        return float(trace.state.turns)


class Stopping(Doubled):
    @vf.stop
    def said_enough(self, trace: vf.Trace) -> bool:
        return "enough" in trace.last_reply


class Unrewarded(vf.Task[Data]):
    pass


OfPrepared, OfRuntime, OfTools = one(Prepared), one(LooksIntoARuntime), one(WithTools)
OfStateful, OfStopping, OfUnrewarded = one(Stateful), one(Stopping), one(Unrewarded)
OfContainer, OfNoPrompt = one(Doubled, image="python:3.12"), one(Doubled, prompt=None)
OfTurns = one(
    Doubled,
    prompt=[{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "?"}],
)
