"""Postgres: the tables, the migrations' run, and all SQL, named."""
