-- Workers of the theme on every node; NULL = as many as each node says for itself.
ALTER TABLE gaia_themes ADD COLUMN workers INTEGER DEFAULT NULL;
-- Grows with every such order: a node follows each order once, so that a later resize of its own stands.
ALTER TABLE gaia_themes ADD COLUMN size_order BIGINT NOT NULL DEFAULT 0;
