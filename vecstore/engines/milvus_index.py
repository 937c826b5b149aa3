"""The index of a Milvus collection: its kind, and how hard a search of it tries."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from vecstore.engines.index_lifecycle import EXACT, KINDS_ELSEWHERE

IVF_SQ8, HNSW = KINDS_ELSEWHERE


@dataclass(frozen=True)
class IndexState:
    """The collection's index. kind: of `IndexSettings`. effort: `nprobe` or `ef` of a search. recall: measured."""

    kind: str = EXACT
    effort: int = 0
    recall: float = 1.0

    @classmethod
    def from_json(cls, text: str | None) -> "IndexState":
        return cls(**json.loads(text)) if text else cls()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def search_parameters(self, limit: int) -> dict[str, Any]:
        # HNSW refuses to keep fewer candidates than it is to return.
        parameters = {HNSW: {"ef": max(self.effort, limit)}, IVF_SQ8: {"nprobe": self.effort}}
        return {"metric_type": "IP", "params": parameters.get(self.kind, {})}
