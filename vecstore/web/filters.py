"""What all questions to the API take to say which images are meant."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vecstore.search.filters import Filter

MOST_NAME = 200
ClusterRef: TypeAlias = (
    Annotated[int, Field(ge=0, lt=1 << 63)] | Annotated[str, Field(min_length=1, max_length=MOST_NAME)]
)


class ImageFilters(BaseModel):
    """Which images are meant, as the options of `vecstore facts` say it."""

    model_config = ConfigDict(extra="forbid")

    cluster: ClusterRef | None = None
    not_cluster: ClusterRef | None = None
    in_selection: str | None = Field(None, max_length=200)
    not_in_selection: str | None = Field(None, max_length=200)
    path: list[Annotated[str, Field(max_length=4096)]] | None = Field(None, max_length=20)
    added_after: str | None = Field(None, max_length=64)
    taken_after: str | None = Field(None, max_length=64)
    taken_before: str | None = Field(None, max_length=64)
    camera: str | None = Field(None, max_length=200)
    place: str | None = Field(None, max_length=200)
    near: str | None = Field(None, max_length=100)
    where: str | None = Field(None, max_length=4000)

    @field_validator("path", mode="before")
    @classmethod
    def _several(cls, path: object) -> object:
        return [path] if isinstance(path, str) else path

    def as_filter(self) -> Filter:
        return Filter.of(**{name: getattr(self, name) for name in ImageFilters.model_fields})
