"""The station's database: outbox, images and review tasks in one SQLite file."""
