"""Write the summary of the results: a short paper whose numbers come from the table of claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dynamical_loss.errors import UserError
from dynamical_loss.report import captions, claims, summary
from dynamical_loss.results import sidecars
from dynamical_loss.results.files import atomic_path
from dynamical_loss.results.record import Provenance


def run(table: Path, figures: Sequence[Path], output: Path) -> None:
    """Write the PDF and a sidecar with its provenance.

    Args:
        table: table of claims (CSV) with its sidecar.
        figures: PNG files of figures, with their sidecars; the summary shows some of them.
        output: PDF file to write.

    Raises:
        UserError: if the table is missing or damaged, or `output` is no PDF.
    """
    if output.suffix != ".pdf":
        raise UserError(f"--output {output}: give it the suffix .pdf")
    record = Provenance(__name__, {"claims": table.name}, [], "float64")
    record.inputs.compare(table)
    described = {picture: captions.caption(picture) for picture in figures}
    for picture, caption in described.items():
        if caption.is_intact:
            record.inputs.compare(picture)
    with atomic_path(output) as temporary:
        summary.write(claims.read(table), described, temporary)
    sidecars.write([output], record.attributes(output.parent), record.inputs.paths)
