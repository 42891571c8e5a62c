"""The session's data: which samples are loaded, from where, and with which options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.data.options import DEFAULT_OPTIONS, DataOptions, Preprocessing
from core.errors import FeatherweightError
from gui.loading import read_samples

if TYPE_CHECKING:
    from core.data.samples import Samples
    from gui.session import Session

DATA = "data"
"""Key of the task that loads."""


class DataState:
    """Loads samples on behalf of the session, and holds them. Part of Session, which says what changed.

    samples, path   None without data
    options         how they were read, and the metric; of the open model also while there is no data
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.clear()

    def clear(self) -> None:
        """Another model, or none."""
        self.samples: Samples | None = None
        self.path: Path | None = None
        self.options: DataOptions = DEFAULT_OPTIONS

    @property
    def read_as(self) -> tuple[Path, Preprocessing] | None:
        """What decides which numbers the model gets, as a key: what was measured with another key is out of date."""
        return None if self.path is None else (self.path, self.options.preprocessing)

    def load(self, path: str | Path, options: DataOptions | None = None) -> None:
        """Load samples (.npz, .npy or a folder of images) in the background and check them against the inputs.

        options   None: the pictures are read as those before, and the metric is what fits
        """
        session, path = self._session, Path(path)
        if session.model is None:
            session.failed.emit(FeatherweightError("data needs a model", where=path.name, do="open its model first"))
            return
        chosen = options or DataOptions(self.options.preprocessing)

        def loaded(samples: Samples) -> None:
            self.take(samples, path)

        session.tasks.thread(DATA, read_samples, path, session.model.inputs, chosen, title=f"Loading {path.name}",
                             done=loaded)

    def take(self, samples: Samples, path: Path) -> None:
        """Hold samples that were loaded for the open model."""
        current = self._session.result_current
        self.samples, self.path, self.options = samples, path, samples.options
        self._session.data_taken(was_current=current)
