"""For programs that import moreh: the device is there already, and the hints are torch.moreh's."""
