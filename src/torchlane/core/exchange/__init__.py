"""Exchange of models with other programs: export to their formats, import of weights from them."""

from torchlane.core.exchange.exporting import Export, export_model
from torchlane.core.exchange.importing import Import, import_weights

__all__ = ["Export", "Import", "export_model", "import_weights"]
