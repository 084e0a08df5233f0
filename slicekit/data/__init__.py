"""Datasets, slices, clips, phantoms and their augmentation: what training draws from."""
