"""What the fleet is to use, and what its stations report."""
