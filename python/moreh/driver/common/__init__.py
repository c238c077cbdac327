"""Settings of a driver that does not exist here."""
