"""From a trained model and a scan to a label map: reference, selection, propagation."""
