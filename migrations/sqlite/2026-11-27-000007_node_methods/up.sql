-- What each process serves, so that others leave it to that one: a JSON list of {"service", "method"}. NULL: not said.
ALTER TABLE gaia_nodes ADD COLUMN methods TEXT;
