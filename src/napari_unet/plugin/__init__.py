"""The window: everything that knows napari and Qt, and nothing that knows torch."""
