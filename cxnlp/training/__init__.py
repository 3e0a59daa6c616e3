"""From annotated comments to a model folder, and its scores."""
