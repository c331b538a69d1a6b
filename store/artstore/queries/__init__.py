"""What is read of a workspace and changes nothing."""
