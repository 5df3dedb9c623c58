"""What formats cost a model: the model itself, measured with its numbers stored as a tile would have them."""
