"""Review tasks: leases, rules' marks and audits."""
