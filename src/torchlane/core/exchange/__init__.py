"""Models to and from the formats of others."""

from torchlane.core.exchange.exporting import FORMATS, Export, export_model
from torchlane.core.exchange.importing import Import, import_weights

__all__ = ["FORMATS", "Export", "Import", "export_model", "import_weights"]
