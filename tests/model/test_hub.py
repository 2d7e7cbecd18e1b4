"""Models that are no folder here: what the hub's answer comes to, from a server on this machine."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from odd_models import bytewise

from selfplay.machine.errors import ModelError
from selfplay.model.weights import hub
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.tiny import tiny_model

ANSWERS = {
    "nope": (401, "RepoNotFound"),
    "mine/gated": (403, "GatedRepo"),
    "mine/data": (404, "EntryNotFound"),
    "mine/broken": (500, ""),
}


class _Hub(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012  # emptied by each test

    def do_HEAD(self) -> None:
        name = self.path.removeprefix("/").partition("/resolve/")[0]
        self.asked.append(name)
        if name == "mine/silent":
            time.sleep(1.0)
        code, reason = ANSWERS.get(name, (500, ""))
        self.send_response(code)
        self.send_header("X-Error-Code", reason)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names that the server was asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(hub, "hf_hub_url", lambda name, file: huggingface_hub.hf_hub_url(name, file, endpoint=address))
    monkeypatch.setattr(hub, "SECONDS", 0.3)
    _Hub.asked.clear()
    yield _Hub.asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nope", "there is no such folder here and no such model at the hub"),
        ("mine/gated", "accepted its terms"),
        ("mine/data", "at the hub it has no config.json"),
        ("mine/broken", "its hub gives no answer (500); offline, fetch it elsewhere"),
        ("mine/silent", "its hub gives no answer (ReadTimeout); offline, fetch it elsewhere"),
    ],
)
def test_a_model_that_the_hub_does_not_give_is_one_line_after_one_request(
    name: str, said: str, asked: list[str]
) -> None:
    """transformers asked for 41 seconds."""
    with pytest.raises(ModelError) as caught:
        load_model(name, "float32")
    assert str(caught.value).startswith(f"model.name={name}: ") and said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert asked == [name]


@pytest.mark.parametrize("name", ["a b", "mine/..", "mine/x/y", "-x", "ä/b"])
def test_what_cannot_be_an_id_is_not_asked_for(name: str, asked: list[str]) -> None:
    with pytest.raises(ModelError, match="there is no such folder"):
        load_model(name, "float32")
    assert asked == []


def test_a_cached_model_is_read_where_the_hub_gives_no_answer(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    kept = tmp_path / "models--mine--broken"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    snapshot = kept / "snapshots" / ("0" * 40)
    model = tiny_model("tiny-llama")
    model.save_pretrained(snapshot)
    bytewise(["<eos>"], "<eos>").save_pretrained(snapshot)
    lines: list[str] = []
    loaded = load_model("mine/broken", "float32", lines.append)
    assert lines[-1] == "mine/broken: the hub gives no answer; reading the copy in the Hugging Face cache"
    assert loaded.model.model.norm.weight.equal(model.model.norm.weight)
    assert json.loads((snapshot / "config.json").read_text())["model_type"] == "llama"
    assert asked == ["mine/broken"]
