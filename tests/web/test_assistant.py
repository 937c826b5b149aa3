"""`vecstore mcp`, asked by the SDK's own client over standard input and output."""

import base64
import io
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import paint
from tests.programs import command, environment
from vecstore.store import Store

mcp = pytest.importorskip("mcp")

READING = ["find", "similar", "clusters", "members", "facts", "list_pictures", "thumbnails", "selections", "selected"]
READING += ["info"]
WRITING = ["name_cluster", "select", "undo"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assistant")
    for seed in range(6):
        paint(folder / f"pictures/{seed}.png", seed)
    with Store.open(folder / "store", embedder="hsv", create=True) as opened:
        opened.add(folder / "pictures")
        opened.cluster(2, restarts=1)
    return folder / "store"


def ask(store: Path, questions: Callable[[Any], Awaitable[Any]], *options: str) -> Any:
    """Start the program as an assistant's does, and return what the questions return."""
    program, *arguments = command("mcp", "--store", store, *options)
    parameters = mcp.StdioServerParameters(command=program, args=arguments, env=environment())

    async def session() -> Any:
        async with mcp.Client(mcp.stdio_client(parameters, errlog=sys.__stderr__)) as client:
            return await questions(client)

    return anyio.run(session)


def answer(result: Any) -> Any:
    assert not result.is_error, result.content
    return json.loads(result.content[0].text)


def test_reading_tools_answer_as_the_library_does(store: Path) -> None:
    async def questions(client: Any) -> dict[str, Any]:
        async def call(tool: str, **arguments: Any) -> Any:
            return await client.call_tool(tool, arguments)

        return {
            "tools": (await client.list_tools()).tools,
            "similar": answer(await call("similar", images=["@2"], k=3)),
            "file": answer(await call("similar", images=[str(store.parent / "pictures/4.png")], k=1)),
            "clusters": answer(await call("clusters")),
            "members": answer(await call("members", cluster="0", k=1)),
            "facts": answer(await call("facts", images=["@1"])),
            "list": answer(await call("list_pictures", where="width = 32", k=2)),
            "info": answer(await call("info")),
            "thumbnails": await call("thumbnails", images=["@0", "@5"]),
            "unknown": await call("facts", images=["@99"]),
            "words": await call("find", text="dog"),
        }

    found = ask(store, questions)
    assert [tool.name for tool in found["tools"]] == READING
    assert all(tool.annotations.read_only_hint and tool.description for tool in found["tools"])
    with Store.open(store) as opened:
        assert [hit["id"] for hit in found["similar"]] == [hit.id for hit in opened.similar(2, k=3)]
        assert [one["size"] for one in found["clusters"]] == [one.size for one in opened.clusters()]
    assert (found["file"][0]["id"], found["info"]["images"], found["facts"][0]["id"]) == (4, 6, 1)
    assert (len(found["members"]), [one["id"] for one in found["list"]]) == (1, [0, 1])
    texts, pictures = found["thumbnails"].content[::2], found["thumbnails"].content[1::2]
    assert [json.loads(text.text)["id"] for text in texts] == [0, 5]
    assert [Image.open(io.BytesIO(base64.b64decode(one.data))).size for one in pictures] == [(32, 24)] * 2
    assert (found["unknown"].is_error, found["words"].is_error) == (True, True)
    assert "no image @99" in found["unknown"].content[0].text


def test_writing_tools_are_there_only_when_allowed_and_undo_their_own_alone(store: Path) -> None:
    async def questions(client: Any) -> list[Any]:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        refused = await client.call_tool("undo", {})  # of the clustering
        await client.call_tool("select", {"name": "best", "images": ["@1", "@2"]})
        selected = answer(await client.call_tool("selected", {"name": "best"}))
        undone = answer(await client.call_tool("undo", {}))
        return [tools, refused, selected, undone]

    tools, refused, selected, undone = ask(store, questions, "--allow-write")
    assert tools == READING + WRITING
    assert (refused.is_error, "left to people" in refused.content[0].text) == (True, True)
    assert ([one["id"] for one in selected], undone["kind"]) == ([1, 2], "select")


def test_numbers_are_taken_as_answers_give_them(store: Path) -> None:
    async def questions(client: Any) -> list[Any]:
        cluster = answer(await client.call_tool("clusters", {}))[0]["cluster"]
        members = answer(await client.call_tool("members", {"cluster": cluster}))
        return [members, answer(await client.call_tool("facts", {"images": [members[0]["id"]]}))]

    members, facts = ask(store, questions)
    assert facts[0]["id"] == members[0]["id"]


def test_arguments_that_no_tool_takes_are_one_line(store: Path) -> None:
    refused = [
        ("similar", {}, "similar cannot take this: images: Field required"),
        (
            "facts",
            {"images": [True]},
            "facts cannot take this: images.0.int: Input should be a valid integer; "
            "images.0.str: Input should be a valid string",
        ),
        ("members", {"cluster": 0, "k": 0}, "members cannot take this: k: Input should be greater than or equal to 1"),
        ("info", {"k": 1}, "info takes no k; it takes nothing"),
        ("selected", {"name": "a", "limit": 1}, "selected takes no limit; it takes name, k"),
    ]

    async def questions(client: Any) -> list[Any]:
        return [await client.call_tool(tool, arguments) for tool, arguments, _said in refused]

    answers = [(answered.is_error, [one.text for one in answered.content]) for answered in ask(store, questions)]
    assert answers == [(True, [said]) for _tool, _arguments, said in refused]


def test_what_people_selected_is_not_undone(store: Path) -> None:
    with Store.open(store) as opened:
        opened.select("theirs", 3)

    async def questions(client: Any) -> list[Any]:
        await client.call_tool("select", {"name": "mine", "images": [1]})
        return [await client.call_tool("undo", {}), await client.call_tool("undo", {})]

    own, theirs = ask(store, questions, "--allow-write")
    assert (answer(own)["what"], theirs.is_error) == ("mine: @1", True)
    assert "the last operation is select theirs: @3, which is left to people" in theirs.content[0].text


def test_a_store_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["mcp", "--store", str(tmp_path / "none")])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: no store at {tmp_path}/none")


def test_a_missing_sdk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    done = CliRunner().invoke(app, ["mcp", "--store", str(tmp_path)])
    assert (done.exit_code, "pip install 'vecstore[mcp]'" in done.stderr) == (2, True)
