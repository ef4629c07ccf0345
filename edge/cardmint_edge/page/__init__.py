"""The local page: what the operator sees and answers, with no network at all."""
