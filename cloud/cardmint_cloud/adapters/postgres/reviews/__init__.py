"""Tables of reviews: leases, the rules' progress, audits, and what stations must get."""
