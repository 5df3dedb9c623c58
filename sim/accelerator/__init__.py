"""What a whole accelerator costs: area, clock and energy of a tile with engines, rings, feeders and registers."""
