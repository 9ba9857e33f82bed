"""The base class of all encoders."""

from pydantic import BaseModel, ConfigDict


class Fitted(BaseModel):
    """Immutable statistics of train. They survive a round trip through JSON bit for bit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
