"""Two models side by side, and one click to have the other."""

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_unet.jobs import TrainResult
from napari_unet.plugin.outcome import measured
from napari_unet.plugin.section import button

NAME, DICE, BUTTON = range(3)
USE = "Use this model from now on"


class Contest(QWidget):
    """A row for the model before and one for the new model: held-out Dice, and Use.

    Signals
    -------
    chosen(Path)
        The user wants this model's file from now on.
    asked(Path, Path)
        The user wants to see where the labels of these two differ.
    """

    chosen = Signal(object)
    asked = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("unet-rows")
        self.names = [QLabel("Before"), QLabel("New")]
        self.dices = [QLabel(), QLabel()]
        self.uses = [button("Use", USE) for _ in range(2)]
        self.compare = button("See what changed", "Show where the labels of the two models differ")
        self._paths: list[Path] = []
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setColumnStretch(NAME, 1)
        for row, use in enumerate(self.uses):
            self.dices[row].setAlignment(
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            )
            layout.addWidget(self.names[row], row, NAME)
            layout.addWidget(self.dices[row], row, DICE)
            layout.addWidget(use, row, BUTTON)
            use.clicked.connect(lambda _=False, row=row: self._choose(row))
        layout.addWidget(self.compare, len(self.uses), NAME, 1, BUTTON + 1)
        self.compare.clicked.connect(lambda: self.asked.emit(*self._paths))
        self.hide()

    @property
    def rivals(self) -> list[tuple[Path, str]]:
        """The two models' files, each with its Dice as it is told; none while there is no choice."""
        told = [dice.text() for dice in self.dices]
        return [] if self.isHidden() else list(zip(self._paths, told, strict=True))

    def show_models(self, before: Path, result: TrainResult) -> None:
        """Show what came of a training, the model before first."""
        new = Path(result["model"])
        self.show_rivals(
            [(before, measured(result["base"])), (new, measured(result["validation"]))]
        )
        self.mark(new if result["promoted"] else before)

    def show_rivals(self, rivals: list[tuple[Path, str]]) -> None:
        """Show two models' files with what is told of their Dice, the model before first."""
        self._paths = [path for path, _ in rivals]
        for (path, told), name, dice in zip(rivals, self.names, self.dices, strict=True):
            name.setToolTip(str(path))
            dice.setText(told)
        self.show()

    def mark(self, path: Path | None) -> None:
        """Show which of the two is in use; none when it is another one."""
        for mine, name, use in zip(self._paths, self.names, self.uses, strict=False):
            used = mine == path
            use.setText("In use" if used else "Use")
            use.setEnabled(not used)
            use.setToolTip("This model is in use already." if used else USE)
            font = name.font()
            font.setBold(used)
            name.setFont(font)

    def _choose(self, row: int) -> None:
        self.mark(self._paths[row])
        self.chosen.emit(self._paths[row])
