"""A picture model in an ONNX file: what it takes and makes, and the network made of it for `runtimes`.

The model is run once as it is. Around it comes what every network here has: pixels in, one vector a picture out, any
number of pictures at a time. What came out is then compared with the model alone. This module knows no store.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecstore.embedders import runtimes
from vecstore.embedders.embedder import unit_rows
from vecstore.embedders.onnx_description import IMAGENET_MEAN, IMAGENET_STD, Description, description_path
from vecstore.embedders.preprocessing import Preprocessing
from vecstore.errors import BadInput, VecstoreError
from vecstore.storage.durable_files import move_into_place

# Types of numbers that a model may take, by what ONNX Runtime calls them.
TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
# Before it, Sub and Div did not stretch a row of three over a picture.
OLDEST_OPSET = 7
# A protobuf, and so an ONNX file, holds no more.
MOST_BYTES = 2**31 - 1
# Least cosine between a picture's vector made by the network and by the model alone; float16 makes 0.99999.
ALIKE = 0.9999


@dataclass(frozen=True)
class Tensor:
    """name, type (ONNX Runtime's word) and shape of an input; a dimension that the file leaves open is None."""

    name: str
    type: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class PictureModel:
    """An ONNX file that makes vectors of pictures, and how.

    preprocessing: up to the pixels, with mean and std; divide: what pixels are divided by before these. layout: "NCHW"
    or "NHWC". output: which one; pool: of an output that is a vector for each place; on_a_plane: these places stand in
    rows and columns, behind the vector's numbers. dim: length of a vector.
    """

    path: Path
    input: Tensor
    preprocessing: Preprocessing
    divide: float
    channels: str
    layout: str
    output: str
    pool: str | None
    on_a_plane: bool
    dim: int

    @property
    def in_words(self) -> str:
        """All that a vector depends on beside the file."""
        pool = f", {self.pool} of its places" if self.pool else ""
        return (
            f"{self.preprocessing.in_words} of {self.channels} / {self.divide:g}, {self.layout}, "
            f"output {self.output}{pool}"
        )


def read_model(path: Path, description: Description) -> PictureModel:
    """Return what a file and its description say together.

    Raises BadInput for a file that is no ONNX model of pictures, for one that ONNX Runtime cannot run, and for what the
    description leaves open or says otherwise than the file.
    """
    session = _session(path)
    taken = _picture_input(session, path, description)
    layout = _layout(taken, path, description)
    size = _size(taken, layout, path, description)
    preprocessing, divide = _preprocessing(taken, size, path, description)
    made = _run(session, taken, layout, np.zeros((1, *size, 3), np.float32), path)
    output = _output(made, path, description)
    pool = _pool(made[output], output, path, description)
    return PictureModel(
        path,
        taken,
        preprocessing,
        divide,
        description.channels,
        layout,
        output,
        pool,
        made[output].ndim == 4,
        _pooled(made[output], pool).shape[1],
    )


def write_network(model: PictureModel, to: Path) -> None:
    """Write the network made of a model, whole or not at all, after comparing it with the model alone.

    Raises BadInput where it takes pictures one by one only, or its vectors are not finite.
    """
    size = model.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    alone = _session(model.path)
    truth = np.concatenate([_vector(alone, model, picture[None]) for picture in pixels])
    if not np.isfinite(truth).all():
        raise BadInput(f"{model.path} makes numbers that are not finite of a picture; use another model")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=".export-") as folder:
        draft = Path(folder) / to.name
        _save(_with_pixels_in(model), model.path, draft)
        if not _alike(draft, pixels, truth) and model.input.shape[0] == 1:
            _save(_one_by_one(model), model.path, draft)
        if not _alike(draft, pixels, truth):
            raise BadInput(
                f"{model.path} does not take several pictures at a time: with two its vectors are others than with "
                "one; export it with a batch axis of any length"
            )
        move_into_place(draft, to)


def _session(path: Path) -> Any:
    try:
        return runtimes.open_session(path)
    except Exception as error:  # onnxruntime has a dozen ways to say so
        if type(error).__name__ == "InvalidProtobuf":
            raise BadInput(f"{path} is not an ONNX file; export the model with its library's ONNX export") from error
        raise BadInput(f"ONNX Runtime cannot run {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the first line of an error of ONNX Runtime, without its codes."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rpartition("[ONNXRuntimeError] : ")[2][:300]


def _picture_input(session: Any, path: Path, description: Description) -> Tensor:
    inputs = [Tensor(found.name, found.type, _shape(found.shape)) for found in session.get_inputs()]
    names = ", ".join(tensor.name for tensor in inputs) or "none"
    if description.input is not None and description.input not in [tensor.name for tensor in inputs]:
        raise BadInput(f"{description_path(path)} names the input {description.input!r}; {path} has {names}")
    if len(inputs) != 1:
        raise BadInput(f"{path} takes {len(inputs)} inputs ({names}), not a picture alone; export its picture part")
    taken = inputs[0]
    if taken.type not in TYPES:
        raise BadInput(f"{path} takes {taken.type}, which no picture is; one of {', '.join(TYPES)} is needed")
    if len(taken.shape) != 4:
        raise BadInput(f"{path} takes the shape {_shown(taken)}; pictures have four: n, 3, height, width in some order")
    return taken


def _shape(shape: Any) -> tuple[int | None, ...]:
    return tuple(side if isinstance(side, int) else None for side in shape)


def _shown(tensor: Tensor) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in tensor.shape)})"


def _layout(taken: Tensor, path: Path, description: Description) -> str:
    _, second, _, last = taken.shape
    possible = [layout for layout, side in (("NCHW", second), ("NHWC", last)) if side in (3, None)]
    if not possible:
        raise BadInput(f"{path} takes the shape {_shown(taken)}: no pictures of three channels; use another model")
    if description.layout is not None:
        if description.layout not in possible:
            raise BadInput(f"{description_path(path)} says {description.layout}; {path} takes {_shown(taken)}")
        return description.layout
    sure = [layout for layout, side in (("NCHW", second), ("NHWC", last)) if side == 3]
    if len(sure) != 1:
        raise BadInput(
            f'{path} takes the shape {_shown(taken)}, which may be either; say layout = "NCHW" or "NHWC" in '
            f"{description_path(path)}"
        )
    return sure[0]


def _size(taken: Tensor, layout: str, path: Path, description: Description) -> tuple[int, int]:
    own = taken.shape[2:] if layout == "NCHW" else taken.shape[1:3]
    if description.size is not None:
        for side, wanted in zip(own, description.size, strict=True):
            if side not in (None, wanted):
                raise BadInput(
                    f"{description_path(path)} says size = {list(description.size)}; {path} takes {_shown(taken)}"
                )
        return description.size
    height, width = own
    if height is None or width is None:
        raise BadInput(
            f"{path} takes pictures of any size; say which it was trained on in {description_path(path)}, such as "
            "size = 224"
        )
    return height, width


def _preprocessing(
    taken: Tensor, size: tuple[int, int], path: Path, description: Description
) -> tuple[Preprocessing, float]:
    mean, std, divide = IMAGENET_MEAN, IMAGENET_STD, 255.0
    if TYPES[taken.type] is np.uint8:
        if (description.mean, description.std, description.divide) != (None, None, None):
            raise BadInput(
                f"{path} takes pixels as they are (uint8); take mean, std and divide out of {description_path(path)}"
            )
        mean, std, divide = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0
    scaled = description.scaled or size
    if description.mode == "shortest" and (scaled[0] < size[0] or scaled[1] < size[1]):
        raise BadInput(f"{description_path(path)} says scaled = {list(scaled)}, less than the size {list(size)}")
    found = Preprocessing(
        size,
        scaled,
        description.mode,
        description.interpolation,
        description.mean or mean,
        description.std or std,
        description.fill,
    )
    return found, description.divide or divide


def _run(
    session: Any, taken: Tensor, layout: str, values: NDArray[np.float32], path: Path
) -> dict[str, NDArray[np.float32]]:
    """Return each output of one picture, (1, height, width, 3) as the model wants its values."""
    batch = taken.shape[0] or 1
    values = np.repeat(values, batch, axis=0).astype(TYPES[taken.type])
    fed = np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if layout == "NCHW" else values
    names = [output.name for output in session.get_outputs()]
    try:
        made = session.run(None, {taken.name: fed})
    except Exception as error:  # onnxruntime has a dozen ways to say so
        raise BadInput(
            f"{path} cannot make anything of a picture of {fed.shape[-2 if layout == 'NCHW' else 1]}x"
            f"{fed.shape[-1 if layout == 'NCHW' else 2]}: {_reason(error)}"
        ) from error
    arrays = zip(names, made, strict=True)
    return {name: found[: len(found) // batch] for name, found in arrays if _is_feature(found, batch)}


def _is_feature(found: Any, batch: int) -> bool:
    """Whether an output is real numbers for each picture."""
    return isinstance(found, np.ndarray) and found.dtype.kind == "f" and found.ndim >= 2 and len(found) == batch


def _output(made: dict[str, NDArray[np.float32]], path: Path, description: Description) -> str:
    described = ", ".join(f"{name} {found.shape}" for name, found in made.items())
    if not made:
        raise BadInput(f"{path} has no output of real numbers with a row for each picture; use another model")
    if description.output is not None:
        if description.output not in made:
            raise BadInput(f"{description_path(path)} names the output {description.output!r}; {path} has {described}")
        return description.output
    vectors = [name for name, found in made.items() if found.ndim == 2]
    if len(made) == 1 or len(vectors) == 1:
        return vectors[0] if vectors else next(iter(made))
    raise BadInput(f'{path} has the outputs {described}; say output = "NAME" in {description_path(path)}')


def _pool(found: NDArray[np.float32], name: str, path: Path, description: Description) -> str | None:
    """Return how an output becomes one vector a picture; None where it is one, or has one place only."""
    if found.ndim == 2:
        if description.pool is not None:
            raise BadInput(f"the output {name} of {path} is one vector; take pool out of {description_path(path)}")
        return None
    if found.ndim == 4 and found.shape[2:] == (1, 1):
        return "mean"
    if found.ndim == 3 and description.pool is not None:
        return description.pool
    if found.ndim == 4 and description.pool == "mean":
        return "mean"
    if found.ndim in (3, 4):
        words = 'pool = "mean"' if found.ndim == 4 else 'pool = "mean" or pool = "first"'
        raise BadInput(
            f"the output {name} of {path} has the shape {found.shape}, a vector for each place; say {words} in "
            f"{description_path(path)}, or name another output there"
        )
    raise BadInput(f"the output {name} of {path} has the shape {found.shape}, which is no vector; name another output")


def _pooled(found: NDArray[np.float32], pool: str | None) -> NDArray[np.float32]:
    if pool == "first":
        found = found[:, 0]
    elif pool == "mean":
        found = found.mean(axis=1 if found.ndim == 3 else (2, 3))
    return np.asarray(found, np.float32)


def _vector(session: Any, model: PictureModel, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the model's own vector of one picture, normalised here."""
    mean, std = (np.array(values, np.float32) for values in (model.preprocessing.mean, model.preprocessing.std))
    values = ((pixels / np.float32(model.divide) - mean) / std).astype(np.float32)
    if model.channels == "BGR":
        values = values[..., ::-1]
    return _pooled(_run(session, model.input, model.layout, values, model.path)[model.output], model.pool)


def _alike(network: Path, pixels: NDArray[np.uint8], truth: NDArray[np.float32]) -> bool:
    """Say whether a network makes these vectors of these pictures at once."""
    try:
        found = runtimes.run_session(runtimes.open_session(network), pixels)
    except Exception:  # a model that was made for one picture fails in its own way
        return False
    return found.shape == truth.shape and float(np.min(np.sum(unit_rows(found) * unit_rows(truth), axis=1))) >= ALIKE


def _with_pixels_in(model: PictureModel, start: str = "pixels", end: str = "features") -> Any:
    """Return the ONNX model from pixels, (n, height, width, 3) uint8, to features, (n, dim) float32, by their names."""
    import onnx
    from onnx import TensorProto, helper

    try:
        found = onnx.load(str(model.path))
    except Exception as error:  # protobuf's, and the checker's where weights are kept in other files
        raise BadInput(f"{model.path} cannot be read: {str(error).strip().splitlines()[0]}") from error
    opset = max((one.version for one in found.opset_import if one.domain in ("", "ai.onnx")), default=0)
    if opset < OLDEST_OPSET:
        raise BadInput(
            f"{model.path} is written in ONNX's operators of version {opset}; {OLDEST_OPSET} or newer is needed: "
            "export it again, or convert it with onnx.version_converter"
        )
    found = onnx.compose.add_prefix(found, "model/", inplace=True)
    graph, inner = found.graph, f"model/{model.input.name}"
    (taken,) = [one for one in graph.input if one.name == inner]
    before = _before(helper, model, taken.type.tensor_type.elem_type, start, inner)
    (made,) = [one for one in graph.output if one.name == f"model/{model.output}"]
    after = _after(helper, model, made.name, end, TensorProto)
    nodes = [*before, *graph.node, *after]
    found.ir_version = max(found.ir_version, 4)  # since then weights need not be inputs too
    height, width = model.preprocessing.size
    for field in ("node", "input", "output", "value_info"):
        graph.ClearField(field)
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(start, TensorProto.UINT8, ["n", height, width, 3]))
    graph.output.append(helper.make_tensor_value_info(end, TensorProto.FLOAT, ["n", model.dim]))
    graph.initializer.extend(_numbers(model))
    return found


def _one_by_one(model: PictureModel) -> Any:
    """Return the same for a model that takes one picture: it is run for each in turn (ONNX's Scan)."""
    from onnx import TensorProto, helper, numpy_helper

    network = _with_pixels_in(model, "picture", "vector")
    height, width = model.preprocessing.size
    shapes = [
        numpy_helper.from_array(np.array(shape, np.int64), f"vecstore/{name}")
        for name, shape in (("batch", [1, height, width, 3]), ("row", [model.dim]))
    ]
    first = helper.make_node("Reshape", ["alone", "vecstore/batch"], ["picture"])
    last = helper.make_node("Reshape", ["vector", "vecstore/row"], ["result"])
    body = helper.make_graph(
        [first, *network.graph.node, last],
        "one picture",
        [helper.make_tensor_value_info("alone", TensorProto.UINT8, [height, width, 3])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, [model.dim])],
        [*network.graph.initializer, *shapes],
    )
    network.graph.CopyFrom(
        helper.make_graph(
            [helper.make_node("Scan", ["pixels"], ["features"], num_scan_inputs=1, body=body)],
            "pictures",
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", height, width, 3])],
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", model.dim])],
        )
    )
    return network


def _numbers(model: PictureModel) -> list[Any]:
    from onnx import numpy_helper

    plane = (1, 1, 1, 3)
    return [
        numpy_helper.from_array(np.array(values, np.float32).reshape(shape), f"vecstore/{name}")
        for name, values, shape in (
            ("divide", [model.divide], (1,)),
            ("mean", model.preprocessing.mean, plane),
            ("std", model.preprocessing.std, plane),
        )
    ] + [
        numpy_helper.from_array(np.array([2, 1, 0], np.int64), "vecstore/reversed"),
        numpy_helper.from_array(np.array(0, np.int64), "vecstore/zero"),
    ]


def _before(helper: Any, model: PictureModel, element_type: int, start: str, inner: str) -> list[Any]:
    """Return the nodes from the pixels to the model's own input."""
    steps: list[tuple[str, list[str], dict[str, Any]]] = [("Cast", [], {"to": 1})]  # to float32
    if TYPES[model.input.type] is not np.uint8:
        steps += [("Div", ["divide"], {}), ("Sub", ["mean"], {}), ("Div", ["std"], {})]
    if model.channels == "BGR":
        steps += [("Gather", ["reversed"], {"axis": 3})]
    if model.layout == "NCHW":
        steps += [("Transpose", [], {"perm": [0, 3, 1, 2]})]
    return _chain(helper, start, [*steps, ("Cast", [], {"to": element_type})], inner)


def _after(helper: Any, model: PictureModel, made: str, end: str, types: Any) -> list[Any]:
    """Return the nodes from the model's own output to one vector a picture."""
    steps: list[tuple[str, list[str], dict[str, Any]]] = [("Cast", [], {"to": types.FLOAT})]
    if model.pool == "first":
        steps += [("Gather", ["zero"], {"axis": 1})]
    elif model.pool == "mean" and model.on_a_plane:
        steps += [("GlobalAveragePool", [], {}), ("Flatten", [], {"axis": 1})]
    elif model.pool == "mean":
        steps += [("Transpose", [], {"perm": [0, 2, 1]}), ("GlobalAveragePool", [], {}), ("Flatten", [], {"axis": 1})]
    return _chain(helper, made, [*steps, ("Identity", [], {})], end)


def _chain(helper: Any, start: str, steps: list[tuple[str, list[str], dict[str, Any]]], end: str) -> list[Any]:
    nodes = []
    for number, (operator, constants, attributes) in enumerate(steps):
        to = end if number == len(steps) - 1 else f"vecstore/{end}/{number}"
        inputs = [start, *(f"vecstore/{name}" for name in constants)]
        nodes.append(helper.make_node(operator, inputs, [to], f"vecstore/{end}/{operator}/{number}", **attributes))
        start = to
    return nodes


def _save(network: Any, path: Path, draft: Path) -> None:
    if network.ByteSize() > MOST_BYTES:
        raise BadInput(f"{path} has more than 2 GiB of weights, which one network cannot hold here; use a smaller one")
    try:
        draft.write_bytes(network.SerializeToString())
    except OSError as error:
        raise VecstoreError(f"the network of {path} cannot be kept in {draft.parent}: {error.strerror}") from error
