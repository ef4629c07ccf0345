"""From the shapes of the catalogue's sources to the contract's sets and printings."""
