-- What each process serves, so that others leave it to that one: a JSON list of {"service", "method"}. NULL: not said.

-- unless gaia_nodes.methods
ALTER TABLE gaia_nodes ADD COLUMN methods mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL;
