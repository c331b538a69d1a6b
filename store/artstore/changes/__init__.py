"""What changes the catalogue, one operation a module."""
