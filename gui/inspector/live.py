"""The shown layer, kept up to date while its steps change: one place that the inspector and the lenses read.

All of it is computed by core in threads. A drag does not cancel what runs: the answer on its way is shown, then only
the newest position is computed (`coalesce`), so that the picture follows the hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from core.errors import FeatherweightError, LayerSkipped
from core.progress import Reporter
from gui.tasks import AFTER_PAINT_MS

if TYPE_CHECKING:
    from core.analysis.channels import ChannelRanges
    from core.analysis.preview import LayerPreview, Start
    from core.analysis.spectra import FrequencyEnergy, Spectrum
    from core.analysis.statistics import Statistics
    from core.data.layer_inputs import Need
    from core.encoding.base import Array, Encoding
    from core.methods.base import Memo
    from core.model.layer import Layer
    from core.model.model import Model
    from core.preparing import Prepared
    from core.recipe import Step
    from gui.session import Session

PREVIEW, CHANNELS, SPECTRA = "shown preview", "shown channels", "shown spectra"
"""Keys of the tasks."""
_REST_MS = 120
"""Once the hand has rested this long, what the histogram does not need is computed as well."""
_SELECT_MS = 20
"""Delay of the first preview of a layer, so that the selection is painted before, and while an arrow key is held down
none is computed for the layers passed by."""

_MOST_SPECTRA = 256
"""Layers whose spectra are kept, so that going back to one shows them at once; about 50 kB each."""


@dataclass(frozen=True)
class Spectra:
    """Singular values and frequency energy of a layer, or why there are none."""

    singular: Spectrum | None = None
    frequency: FrequencyEnergy | None = None
    reason: str = ""


@dataclass(frozen=True)
class Shown:
    """What is known of the shown layer so far; None for what has not arrived.

    preview     the newest that arrived; during a drag it may be one position behind `steps`
    channels    ranges of the output channels, before and (None without steps) after
    statistics  of the original weight
    problem     why the weight could not be read, a sentence, or ""
    """

    layer: Layer
    steps: tuple[Step, ...] = ()
    preview: LayerPreview | None = None
    channels: tuple[ChannelRanges, ChannelRanges | None] | None = None
    spectra: Spectra | None = None
    statistics: Statistics | None = None
    problem: str = ""


class LiveLayer(QObject):
    """Follows the session's selection and recipe.

    changed   `shown` is another value
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._shown: Shown | None = None
        self._works: dict[str, _Work] = {}
        self._spectra: dict[str, Spectra] = {}
        self._asked_of: Prepared | None = None  # the preparation that the newest preview is made from
        self._wants_details = False
        self._rest = QTimer(self, singleShot=True, interval=_REST_MS)
        self._rest.timeout.connect(self._ask_channels)
        session.modelChanged.connect(self._start_anew)
        session.selectionChanged.connect(self._start)
        session.recipeChanged.connect(self._take_recipe)
        session.statisticsChanged.connect(self._take_statistics)
        session.preparedChanged.connect(self._take_preparation)
        self._start()

    @classmethod
    def of(cls, session: Session) -> LiveLayer:
        """The session's one live layer, made at the first call."""
        found = session.findChild(cls)
        return found if isinstance(found, cls) else cls(session)

    @property
    def shown(self) -> Shown | None:
        """The first selected layer; None without one."""
        return self._shown

    def want_details(self, wanted: bool) -> None:
        """Whether channel ranges and spectra are on the screen; they are computed only then."""
        self._wants_details = wanted
        if wanted and self._shown is not None:
            if self._shown.channels is None:
                self._ask_channels()
            if self._shown.spectra is None:
                self._ask_spectra()

    # -- following the session ---------------------------------------------------------------------------------------

    def _start_anew(self) -> None:
        self._spectra.clear()
        self._start()

    def _start(self) -> None:
        session = self._session
        self._rest.stop()
        for key in (PREVIEW, CHANNELS, SPECTRA):
            session.tasks.cancel(key)
        self._works = {}
        if session.model is None or not session.selection:
            self._put(None)
            return
        name = session.selection[0]
        layer = session.model.layer(name)
        self._works = {key: _Work(session.model, layer) for key in (PREVIEW, CHANNELS, SPECTRA)}
        known = session.statistics.get(name)
        self._put(Shown(layer, session.steps(name), spectra=self._spectra.get(name), statistics=known))
        self._ask_preview(_SELECT_MS)
        self.want_details(self._wants_details)

    def _take_recipe(self, names: tuple[str, ...]) -> None:
        shown = self._shown
        if shown is None or shown.layer.name not in names:
            return
        steps = self._session.steps(shown.layer.name)
        if steps != shown.steps:
            self._shown = replace(shown, steps=steps)  # `changed` follows with the preview
            self._ask_preview()

    def _take_statistics(self, names: tuple[str, ...]) -> None:
        if self._shown is not None and self._shown.layer.name in names:
            self._put(replace(self._shown, statistics=self._session.statistics[self._shown.layer.name]))

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask(self, key: str, function: Callable[..., Any], *args: Any, done: Callable[[Any], None],
             delay_ms: int = AFTER_PAINT_MS) -> None:
        work = self._works[key]

        def take(result: Any) -> None:
            if self._works.get(key) is work:
                done(result)

        def failed(error: FeatherweightError) -> None:
            if self._works.get(key) is work and self._shown is not None:
                self._put(replace(self._shown, problem=str(error)))

        self._session.tasks.thread(key, function, work, *args, coalesce=True, delay_ms=delay_ms, done=take,
                                   failed=failed)

    def _take_preparation(self) -> None:
        if self._asked_of is self._session.prepared:
            return  # it is told twice: when it is there, and when the sizes are
        self._ask_preview()
        if self._wants_details:
            self._rest.start()

    def _ask_preview(self, delay_ms: int = 0) -> None:
        if self._shown is not None:
            self._asked_of = self._session.prepared
            self._ask(PREVIEW, _preview, self._shown.steps, self._session.prepared, done=self._take_preview,
                      delay_ms=delay_ms)

    def _take_preview(self, preview: LayerPreview) -> None:
        if self._shown is None:
            return
        self._put(replace(self._shown, preview=preview, problem=""))
        if self._wants_details:
            self._rest.start()

    def _ask_channels(self) -> None:
        if self._shown is not None and self._wants_details:
            self._ask(CHANNELS, _channels, self._shown.steps, self._session.prepared, done=self._take_channels)

    def _take_channels(self, channels: tuple[ChannelRanges, ChannelRanges | None]) -> None:
        if self._shown is not None:
            self._put(replace(self._shown, channels=channels))

    def _ask_spectra(self) -> None:
        self._ask(SPECTRA, _spectra, done=self._take_spectra)

    def _take_spectra(self, spectra: Spectra) -> None:
        if self._shown is not None:
            while len(self._spectra) >= _MOST_SPECTRA:
                del self._spectra[next(iter(self._spectra))]  # the oldest
            self._spectra[self._shown.layer.name] = spectra
            self._put(replace(self._shown, spectra=spectra))

    def _put(self, shown: Shown | None) -> None:
        if shown is not self._shown or shown is None:
            self._shown = shown
            self.changed.emit()


class _Work:
    """A layer's weight and what was computed of it, for the threads of one task key (they run one after the other)."""

    def __init__(self, model: Model, layer: Layer) -> None:
        self.model, self.layer = model, layer
        self._memo: Memo | None = None
        self._read: tuple[Array, Encoding] | None = None
        self._start: tuple[Prepared, frozenset[Need], Start | None] | None = None

    @property
    def memo(self) -> Memo:
        from core.methods.base import Memo

        if self._memo is None:
            self._memo = Memo()
        return self._memo

    def read(self) -> tuple[Array, Encoding]:
        """The weight and its encoding, read once."""
        if self._read is None:
            self._read = self.model.weight(self.layer.name), self.model.encoding(self.layer.name)
        return self._read

    def start(self, steps: tuple[Step, ...], prepared: Prepared | None) -> Start | None:
        """What cuts and samples leave of the layer, made once: its weight stays the same memory for the memo."""
        from core.methods.base import Stage
        from core.preparing import needs

        if prepared is None:
            return None
        wanted = needs(steps, Stage.WEIGHTS)
        if self._start is None or self._start[0] is not prepared or self._start[1] != wanted:
            self._start = (prepared, wanted, prepared.start(self.layer.name, steps))
        return self._start[2]


def _preview(work: _Work, steps: tuple[Step, ...], prepared: Prepared | None, reporter: Reporter) -> LayerPreview:
    from core.analysis.preview import preview

    weight, encoding = work.read()
    start = work.start(steps, prepared)
    return preview(work.layer, weight, encoding, steps, work.memo, work.model.opset, reporter=reporter, start=start)


def _channels(
    work: _Work, steps: tuple[Step, ...], prepared: Prepared | None, reporter: Reporter
) -> tuple[ChannelRanges, ChannelRanges | None]:
    from core.analysis.channels import channel_ranges
    from core.methods.base import Context
    from core.pipeline import apply_steps

    weight, encoding = work.read()
    axis = work.layer.output_axis
    before: ChannelRanges = work.memo.of("channels", weight, lambda: channel_ranges(weight, axis))
    start = work.start(steps, prepared)
    if not steps and start is None:
        return before, None
    context = Context(work.layer, work.memo, reporter=reporter, opset=work.model.opset)
    if start is not None:
        context = replace(context, layer=start.layer, inputs=start.inputs, why_no_inputs=start.why_no_inputs)
        encoding = start.encoding
    found, _skipped = apply_steps(context.layer, encoding, steps, context)
    reporter.check()
    if found is None or (axis is not None and found.shape[axis] != before.low.size):
        return before, None  # channels were cut: those that stay do not lie beside what they were
    return before, channel_ranges(found.decode(), axis)


def _spectra(work: _Work, reporter: Reporter) -> Spectra:
    from core.analysis.spectra import frequency_energy, singular_values

    weight, _encoding = work.read()
    try:
        singular = singular_values(weight, work.layer)
        reporter.check()
        return Spectra(singular, frequency_energy(weight, work.layer))
    except LayerSkipped as error:
        return Spectra(reason=error.what)
